"""Peers of the stem words: sorting and group-by for n-grams, jieba and its ports for segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]


def packed(codes: Codes, order: int) -> NDArray[np.uint64]:
    """Return the n-grams of one order as 16-bit codes in one word; n-grams across a break are left out."""
    narrow = np.where(codes < 1 << 16, codes, 0).astype(np.uint64)
    key = np.zeros(len(codes) - order + 1, np.uint64)
    inside = np.ones(len(key), bool)
    for k in range(order):
        part = narrow[k : len(codes) - order + 1 + k]
        key |= part << np.uint64(16 * (order - 1 - k))
        inside &= part != 0
    return key[inside]


def numpy_sort() -> Callable[[Codes], Any]:
    """Return np.unique, which sorts with AVX-512."""
    return lambda codes: [np.unique(packed(codes, n), return_counts=True) for n in (1, 2, 3, 4)]


def polars_group() -> Callable[[Codes], Any]:
    """Return the group-by of polars, on all threads."""
    import polars

    return lambda codes: [polars.DataFrame({"g": packed(codes, n)}).group_by("g").len() for n in (1, 2, 3, 4)]


def duckdb_group() -> Callable[[Codes], Any]:
    """Return the group-by of DuckDB, on all threads."""
    import duckdb

    def count(codes: Codes) -> Any:
        found = []
        for n in (1, 2, 3, 4):
            keys = {"g": packed(codes, n)}
            found.append(duckdb.sql("select g, count(*) c from keys group by g").fetchnumpy())
            del keys
        return found

    return count


NGRAMS: dict[str, Callable[[], Callable[[Codes], Any]]] = {
    "numpy sort (from codes)": numpy_sort,
    "polars (from codes)": polars_group,
    "duckdb (from codes)": duckdb_group,
}


class JiebaCutter:
    """jieba with a given dictionary, HMM off."""

    def __init__(self, dictionary: Path) -> None:
        import jieba

        self._tokenizer = jieba.Tokenizer(str(dictionary))
        self._tokenizer.cache_file = str(dictionary) + ".cache"
        self._tokenizer.initialize()

    def cut(self, texts: list[str]) -> list[list[str]]:
        """Cut each text."""
        return [list(self._tokenizer.cut(text, HMM=False)) for text in texts]


class RjiebaCutter:
    """The port of jieba to Rust, with the dictionary it carries."""

    def __init__(self, dictionary: Path) -> None:
        import rjieba

        self._cut = rjieba.cut
        self._cut("")

    def cut(self, texts: list[str]) -> list[list[str]]:
        """Cut each text."""
        return [self._cut(text, hmm=False) for text in texts]
