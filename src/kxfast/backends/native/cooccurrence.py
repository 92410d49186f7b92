"""Co-occurrence counts and word vectors, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native.cooccurrence import Merger, PairCounter, Tokenizer, cells_of, decoded, pmi, train_pmi

__all__ = ["Merger", "PairCounter", "Tokenizer", "cells_of", "decoded", "pairs", "pmi", "train_pmi"]


def pairs(
    numbers: list[NDArray[Any]], rank: NDArray[Any] | None, vocabulary_size: int, window: int, weighting: str,
    direction: str, threads: int, progress: Any,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:  # fmt: skip
    """Count a corpus in memory."""
    counter = PairCounter(numbers, rank, vocabulary_size, window, weighting, direction, threads)
    run = counter.count(0, counter.groups, progress)
    del counter
    rows, cells, columns, values = decoded(run, window, weighting, threads)
    indptr = np.zeros(vocabulary_size + 1, np.int64)
    indptr[rows.astype(np.int64) + 1] = cells
    return np.cumsum(indptr, out=indptr), columns, values
