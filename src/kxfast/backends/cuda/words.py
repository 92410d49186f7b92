"""Counts of n-grams with the entropies beside them, on the GPU; text is read, and tables are used, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast.backends.cuda import load
from kxfast.backends.cuda.words_order import Order, Text

try:
    from kxfast.backends.native.words import Utf8Runs, cohesion, decode, run_of_words, runs, words_of_runs
except ImportError:  # not compiled
    from kxfast.backends.reference.words import (  # type: ignore[assignment,unused-ignore]  # their twins
        Utf8Runs,
        cohesion,
        decode,
        run_of_words,
        runs,
        words_of_runs,
    )

__all__ = [
    "Utf8Runs",
    "cohesion",
    "count_ngrams",
    "count_with_entropies",
    "decode",
    "missing",
    "neighbor_entropy",
    "run_of_words",
    "runs",
    "words_of_runs",
]

Array = np.ndarray[Any, Any]
Table = tuple[Array, Array]
Sides = tuple[Array, Array]
FROM_HOST = True


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


def count_ngrams(
    codes: Array, max_order: int, min_count: int, threads: int = 1, report: Any = None
) -> tuple[list[Table], int]:
    """See the reference."""
    text = Text(load.device().upload(codes), "count_ngrams")
    tables, _ = counted(text, max_order, min_count, False, _Steps(report, max_order))
    return _downloaded(tables)


def count_with_entropies(
    codes: Array, max_order: int, min_count: int, threads: int = 1, report: Any = None
) -> tuple[list[Table], int, list[Sides]]:
    """See the reference."""
    text = Text(load.device().upload(codes), "count_with_entropies")
    steps = _Steps(report, 2 * max_order)
    tables, right = counted(text, max_order, min_count, True, steps)
    left = entropies_of(text, [grams for grams, _ in tables], -1, min_count, steps)
    return *_downloaded(tables), _paired(left, right)


def neighbor_entropy(codes: Array, grams: list[Array], threads: int = 1) -> list[Sides]:
    """See the reference."""
    device = load.device()
    text = Text(device.upload(codes), "neighbor_entropy")
    wanted = [device.upload(each) for each in grams]
    left, right = (entropies_of(text, wanted, direction, 1) for direction in (-1, 1))
    return _paired(left, right)


def _downloaded(tables: list[tuple[Any, Any]]) -> tuple[list[Table], int]:
    download = load.device().download
    found = [(download(grams), download(counts)) for grams, counts in tables]
    return found, int(found[0][1].sum())


def _paired(left: list[Any], right: list[Any]) -> list[Sides]:
    download = load.device().download
    return [(download(a), download(b)) for a, b in zip(left, right, strict=True)]


class _Steps:
    """Tells a caller's `report` how much is done."""

    def __init__(self, report: Any, total: int) -> None:
        self._report, self._done, self._total = report, 0, total

    def __call__(self) -> None:
        self._done += 1
        if self._report:
            self._report(self._done, self._total)


def counted(
    text: Text, max_order: int, least: int, entropies: bool, step: Any = None
) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Return the tables of all orders, and the entropies of what stands right of their n-grams, on the device."""
    order = Order(text, max_order + entropies, 1, entropies)
    tables, right = [], []
    for level in order.levels(max_order, least):
        tables.append(level.table())
        if entropies:
            right.append(level.entropies())
        if step:
            step()
    return tables, right


def entropies_of(text: Text, grams: list[Any], direction: int, least: int, step: Any = None) -> list[Any]:
    """Return the entropies on one side of n-grams of orders 1, 2, …; `least` is at most the count of any of them."""
    order = Order(text, len(grams) + 1, direction, True)
    found = []
    for level, wanted in zip(order.levels(len(grams), least), grams, strict=True):
        found.append(level.look_up(wanted))
        if step:
            step()
    return found
