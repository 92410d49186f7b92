"""Counting n-grams of code points within runs (spec, section 2)."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kxfast.backends.reference.words.strings import Codes, Table, code_points, split, text

START, END = "\2", "\1"


def count_ngrams(
    codes: Codes, max_order: int, min_count: int, threads: int = 1, report: object = None
) -> tuple[list[Table], int]:
    """Count every substring of length 1 .. max_order of every run; the total is that of the kept 1-grams."""
    tables = []
    for n in range(1, max_order + 1):
        windows = sliding_window_view(codes, n) if len(codes) >= n else np.empty((0, n), np.uint32)
        grams, counts = np.unique(windows[np.all(windows, axis=1)], axis=0, return_counts=True)
        tables.append((grams[counts >= min_count], counts[counts >= min_count]))
    return tables, int(tables[0][1].sum())


def count_with_entropies(
    codes: Codes, max_order: int, min_count: int, threads: int = 1, report: object = None
) -> tuple[list[Table], int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Do both."""
    tables, total = count_ngrams(codes, max_order, min_count)
    return tables, total, neighbor_entropy(codes, [grams for grams, _ in tables])


def count_rows(runs: list[str], order: int) -> Counter[str]:
    """Count the n-grams of one order, and the shorter ones that a run's end cuts off."""
    return Counter(run[i : i + order] for run in runs for i in range(len(run)))


def kenlm_rows(runs: list[str], order: int) -> Counter[str]:
    """Count the rows of KenLM's counter: n-grams of padded lines (section 2b)."""
    padded = (START * (order - 1) + run + END for run in runs)
    return Counter(line[i : i + order] for line in padded for i in range(len(line) - order + 1))


def strip(rows: dict[str, int]) -> Counter[str]:
    """Take the symbols off the rows."""
    stripped: Counter[str] = Counter()
    for row, count in rows.items():
        stripped[row.strip(START + END)] += count
    return stripped


def prefixes(rows: dict[str, int], max_order: int, min_count: int) -> list[Table]:
    """Credit every prefix of a row with the row's count."""
    credited: Counter[str] = Counter()
    for row, count in rows.items():
        for n in range(1, len(row) + 1):
            credited[row[:n]] += count
    tables = []
    for n in range(1, max_order + 1):
        order = sorted(gram for gram, count in credited.items() if len(gram) == n and count >= min_count)
        grams = code_points("".join(order)).reshape(-1, n)
        tables.append((grams, np.array([credited[gram] for gram in order], np.int64)))
    return tables


def neighbor_entropy(
    codes: Codes, grams: list[NDArray[np.uint32]], threads: int = 1
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Entropy of the characters left and right of each gram, over occurrences that have both neighbours (section 3)."""
    return [_sides(codes, each) for each in grams]


def _sides(codes: Codes, grams: NDArray[np.uint32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = grams.shape[1]
    left: dict[str, Counter[str]] = {text(gram): Counter() for gram in grams}
    right: dict[str, Counter[str]] = {gram: Counter() for gram in left}
    for run in split(codes):
        for i in range(1, len(run) - n):
            gram = run[i : i + n]
            if gram in left:
                left[gram][run[i - 1]] += 1
                right[gram][run[i + n]] += 1
    entropies = [[entropy(side[gram]) for gram in left] for side in (left, right)]
    return np.array(entropies[0], np.float64), np.array(entropies[1], np.float64)


def entropy(counts: Counter[str]) -> float:
    total = sum(counts.values())
    return -sum(c / total * log(c / total) for c in counts.values())


def as_dict(tables: list[Table]) -> dict[str, int]:
    return {text(gram): int(count) for grams, counts in tables for gram, count in zip(grams, counts, strict=True)}
