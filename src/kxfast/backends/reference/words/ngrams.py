"""Counting n-grams of code points within runs (spec, section 2)."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kxfast.backends.reference.words.strings import Codes, Table, code_points, split, text


def count_ngrams(codes: Codes, max_order: int, min_count: int, threads: int = 1) -> tuple[list[Table], int]:
    """Count every substring of length 1 .. max_order of every run; the total is that of the kept 1-grams."""
    tables = []
    for n in range(1, max_order + 1):
        windows = sliding_window_view(codes, n) if len(codes) >= n else np.empty((0, n), np.uint32)
        grams, counts = np.unique(windows[np.all(windows, axis=1)], axis=0, return_counts=True)
        tables.append((grams[counts >= min_count], counts[counts >= min_count]))
    return tables, int(tables[0][1].sum())


def count_ngrams_kenlm(codes: Codes, max_order: int, min_count: int) -> tuple[list[Table], int]:
    """Count as KenLM's counter does: rows of a padded line, rare rows dropped, every prefix credited (section 2b)."""
    start, end = "\1", "\2"
    rows: Counter[str] = Counter()
    for run in split(codes):
        line = start * (max_order - 1) + run + end
        rows.update(line[i : i + max_order] for i in range(len(run) + 1))
    kept = {row: count for row, count in rows.items() if count >= min_count}
    prefixes: Counter[str] = Counter()
    for row, count in kept.items():
        remainder = row.strip(start + end)
        for n in range(1, len(remainder) + 1):
            prefixes[remainder[:n]] += count
    tables = []
    for n in range(1, max_order + 1):
        order = sorted(gram for gram in prefixes if len(gram) == n)
        grams = code_points("".join(order)).reshape(-1, n)
        tables.append((grams, np.array([prefixes[gram] for gram in order], np.int64)))
    return tables, sum(kept.values())


def neighbor_entropy(
    codes: Codes, grams: NDArray[np.uint32], threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Entropy of the characters left and right of each gram, over occurrences that have both neighbours (section 3)."""
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
