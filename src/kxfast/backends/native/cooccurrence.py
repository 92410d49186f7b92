"""Co-occurrence counts and word vectors, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kxfast._native.cooccurrence import (
    DoubleTrainer,
    FloatTrainer,
    Merger,
    PairCounter,
    Tokenizer,
    cells_of,
    decoded,
    multiplied_doubles,
    multiplied_floats,
    pmi,
)

__all__ = ["Merger", "PairCounter", "Tokenizer", "cells_of", "decoded", "pairs", "pmi", "svd_vectors", "trainer"]

Array = NDArray[Any]


def pairs(
    numbers: list[Array], rank: Array | None, vocabulary_size: int, window: int, weighting: str, direction: str,
    threads: int, progress: Any,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Count a corpus in memory."""
    counter = PairCounter(numbers, rank, vocabulary_size, window, weighting, direction, threads)
    run = counter.count(0, counter.groups, progress)
    del counter
    rows, cells, columns, values = decoded(run, window, weighting, threads)
    indptr = np.zeros(vocabulary_size + 1, np.int64)
    indptr[rows.astype(np.int64) + 1] = cells
    return np.cumsum(indptr, out=indptr), columns, values


def trainer(*given: Any) -> FloatTrainer | DoubleTrainer:
    """Return the trainer of the vectors' type."""
    make: Any = FloatTrainer if given[7].dtype == np.float32 else DoubleTrainer
    made: FloatTrainer | DoubleTrainer = make(*given)
    return made


def svd_vectors(matrix: tuple[Array, Array, Array], sketch: Array, dim: int, n_iter: int, threads: int) -> Array:
    """Return U sqrt(S) of the leading `dim` singular triples, by a randomised range finder (Halko et al. 2011).

    Products with the sparse matrix are on all cores; what is between them needs no more than a well-conditioned basis,
    which the Gram matrix gives: one product and a small factorisation in place of a QR decomposition.
    """
    indptr, indices, data = (np.ascontiguousarray(each) for each in matrix)
    size, kind, columns = len(indptr) - 1, sketch.dtype, sketch.shape[1]
    indptr, indices, data = indptr.astype(np.int32, copy=False), indices.astype(np.int32, copy=False), data.astype(kind)
    flipped = sparse.csr_array((data, indices, indptr), (size, size)).T.tocsr()
    flipped.sort_indices()
    if all(np.array_equal(a, b) for a, b in ((flipped.indptr, indptr), (flipped.indices, indices))) and np.allclose(
        flipped.data, data, rtol=1e-6, atol=0
    ):
        flipped = sparse.csr_array((data, indices, indptr), (size, size))

    multiplied: Any = multiplied_floats if kind == np.float32 else multiplied_doubles

    def forward(x: Array) -> Any:
        return multiplied(indptr, indices, data, padded(x), threads)[:, :columns]

    def back(x: Array) -> Any:
        return multiplied(flipped.indptr, flipped.indices, flipped.data, padded(x), threads)[:, :columns]

    q = basis(forward(sketch))
    for _ in range(n_iter):
        q = basis(forward(basis(back(q))))
    q = np.linalg.qr(q)[0]
    small: Any = np.linalg.qr(back(q), mode="r")
    right, s, _ = np.linalg.svd(small.T)
    right, s = right[:, :dim], s[:dim]
    vectors = (q @ right) * np.sqrt(s)
    largest = np.argmax(np.abs(vectors), axis=0)
    result: Array = vectors * np.where(vectors[largest, np.arange(dim)] < 0, -1, 1).astype(kind)
    return result


def padded(x: Array) -> Array:
    """Return rows with zeros behind them, up to whole registers: the product is then twice as fast."""
    lanes = 64 // x.itemsize
    wide = np.zeros((len(x), -(-x.shape[1] // (4 * lanes)) * 4 * lanes), x.dtype)
    wide[:, : x.shape[1]] = x
    return wide


def basis(x: Array) -> Array:
    """Return nearly orthonormal columns with the same span."""
    double = x.astype(np.float64)
    values, right = np.linalg.eigh(double.T @ double)
    keep = values > values[-1] * np.finfo(np.float64).eps * len(values)
    scaled = right * np.where(keep, 1 / np.sqrt(np.where(keep, values, 1)), 0)
    result: Array = x @ scaled.astype(x.dtype)
    return result
