"""Windowed co-occurrence counts, PMI and word vectors (spec: Windowed co-occurrence counting, PMI, word vectors).

A matrix is (indptr, indices, data) with the columns of each row in order.
"""

from __future__ import annotations

import re
from math import isfinite, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[Any]
Matrix = tuple[Array, Array, Array]


class Tokenizer:
    """Section 1: words are numbered in the order in which they first come; -1 stands after each document."""

    def __init__(self, threads: int) -> None:
        self._number: dict[str, int] = {}
        self._counts: list[int] = []
        self._numbers: list[int] = []
        self._file, self._offset = b"", 0

    def begin(self, offset: int) -> None:
        """Begin a file, or a part of it from a byte on."""
        self._offset = offset

    def feed(self, data: bytes) -> tuple[int, int] | None:
        """Take bytes of a file; return (offset, value) of a byte that is not UTF-8."""
        self._file += data
        return None

    def finish(self) -> tuple[int, int] | None:
        """End a file: each line is a document."""
        data, offset, self._file, self._offset = self._file, self._offset, b"", 0
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            return offset + error.start, data[error.start]
        text = text if offset else text.removeprefix("\ufeff")
        for line in text.removesuffix("\n").split("\n") if text else ():
            self.add_document(line)
        return None

    def add_document(self, text: str) -> None:
        self.add_tokens(re.findall(r"[^ \t\n\r]+", text))

    def add_tokens(self, tokens: list[str]) -> None:
        for token in tokens:
            number = self._number.setdefault(token, len(self._number))
            self._counts += [0] * (len(self._number) - len(self._counts))
            self._counts[number] += 1
            self._numbers.append(number)
        self._numbers.append(-1)

    def take_numbers(self) -> Array:
        taken, self._numbers = self._numbers, []
        return np.array(taken, np.int32)

    def counts(self) -> Array:
        return np.array(self._counts, np.int64)

    def words(self, numbers: Array) -> list[str]:
        every = list(self._number)
        return [every[number] for number in numbers]


def _at_distance(ids: Array, document: Array, size: int, d: int, direction: str) -> sparse.csr_array:
    """Count the ordered pairs of words that stand `d` apart, the left one in front."""
    a, b = ids[:-d], ids[d:]
    together = (a >= 0) & (b >= 0) & (document[:-d] == document[d:])
    ones = np.ones(np.count_nonzero(together), np.int64)
    left = sparse.coo_array((ones, (a[together], b[together])), (size, size)).tocsr()
    if direction == "left":
        return left
    right = left.T.tocsr()
    return right if direction == "right" else left + right


def pairs(
    numbers: list[Array], rank: Array | None, vocabulary_size: int, window: int, weighting: str, direction: str,
    threads: int, progress: Any,
) -> Matrix:  # fmt: skip
    """Section 2; ids are the ranks of numbers, -1 between documents, and unknown words, -2, are left out.

    Harmonic sums are of integers over the least common multiple of the distances, divided at the end. Where these
    integers could overflow, the exact counts of each distance are added as fractions, nearest first.
    """
    ids = np.concatenate([np.zeros(0, np.int32), *numbers])
    if rank is not None:
        ids = rank[ids]
    ids = ids[ids >= -1]
    breaks = np.flatnonzero(np.concatenate([[True], ids < 0, [True]]))
    harmonic, reach = weighting == "harmonic", min(window, int(np.diff(breaks).max()) - 2)
    scale = lcm(*range(1, min(reach, 64) + 1)) if harmonic else 1
    exact = not harmonic or (reach < 64 and 2 * scale * len(ids) * max(reach, 1) < 2**63)
    total = sparse.csr_array((vocabulary_size, vocabulary_size), dtype=np.int64 if exact else np.float64)
    document = np.cumsum(ids < 0)
    for d in range(1, reach + 1):
        found = _at_distance(ids, document, vocabulary_size, d, direction)
        if harmonic:
            found = found * (scale // d) if exact else found / d
        total = total + found
    total.sort_indices()
    data = total.data / scale if harmonic and exact else total.data
    return total.indptr, total.indices, data


def _log(x: Array) -> Array:
    with np.errstate(divide="ignore"):
        result: Array = np.log(x)
    return result


def pmi(
    matrix: Matrix, counts: Array | None, positive: bool, shift: float, smoothing: float, normalized: bool, threads: int
) -> Matrix:
    """Section 3. With counts the corpus gives the marginals, and T leaves the diagonal out; without, X gives all."""
    indptr, indices, data = matrix
    size = len(indptr) - 1
    rows = np.repeat(np.arange(size), np.diff(indptr))
    x = data.astype(np.float64)
    kept = (rows != indices) & (x > 0)
    if counts is None:
        first, second = np.bincount(rows, x, size), np.bincount(indices, x, size)
        total = x.sum()
    else:
        first = second = counts.astype(np.float64)
        total = x[kept].sum()
    rows, columns, x = rows[kept], indices[kept], x[kept]
    context = second**smoothing
    joint = np.log(x) - _log(total)
    value = joint - (_log(first) - _log(first.sum()))[rows] - (_log(context) - _log(context.sum()))[columns]
    if normalized:
        value = np.divide(value, -joint, out=np.ones_like(value), where=joint != 0)
    value = value - shift
    stays = value > 0 if positive else np.ones(len(value), bool)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(rows[stays], minlength=size))])
    return pointer, columns[stays], value[stays]


class Trainer:
    """Section 4: AdaGrad on one record after the other, in the order given; tasks and rounds are for others' use."""

    def __init__(
        self, rows: Array, columns: Array, values: Array, weights: Array, order: Array, tasks: Array, rounds: Array,
        vectors: Array, contexts: Array | None, eta: float, threads: int,
    ) -> None:  # fmt: skip
        kind = vectors.dtype.type
        self._records = [each[order].tolist() for each in (rows, columns)] + [
            list(each[order].astype(kind)) for each in (values, weights)
        ]
        self._v = vectors.copy()
        self._c = self._v if contexts is None else contexts.copy()
        self._seen_v = np.ones_like(vectors)
        self._seen_c = self._seen_v if contexts is None else np.ones_like(self._c)
        self._eta = kind(eta)

    def epoch(self, progress: Any) -> float:
        """Visit all records once; return their cost."""
        v, c, seen_v, seen_c, eta, cost = self._v, self._c, self._seen_v, self._seen_c, self._eta, 0.0
        for i, j, value, f in zip(*self._records, strict=True):
            e = v[i] @ c[j] - value
            q = f * e
            if not (isfinite(e) and isfinite(q)):
                continue
            cost += 0.5 * float(q) * float(e)
            g_v, g_c = q * c[j], q * v[i]
            new_v, new_c = seen_v[i] + g_v**2, seen_c[j] + g_c**2
            tiny = v.dtype.type(1e-8)
            move_v, move_c = eta * g_v / np.sqrt(new_v + tiny), eta * g_c / np.sqrt(new_c + tiny)
            if isfinite(move_v.sum()) and isfinite(move_c.sum()):
                seen_v[i], seen_c[j] = new_v, new_c
                v[i] -= move_v
                c[j] -= move_c
        return cost

    def vectors(self, contexts: bool) -> Array:
        """Return the vectors of the words, or as contexts."""
        return self._c if contexts else self._v


trainer = Trainer


def svd_vectors(matrix: Matrix, sketch: Array, dim: int, n_iter: int, threads: int) -> Array:
    """Return U sqrt(S) of the leading `dim` singular triples, by a randomised range finder (Halko et al. 2011)."""
    indptr, indices, data = matrix
    size = len(indptr) - 1
    m = sparse.csr_array((data.astype(sketch.dtype), indices, indptr), (size, size))
    q = np.linalg.qr(m @ sketch)[0]
    for _ in range(n_iter):
        q = np.linalg.qr(m @ np.linalg.qr(m.T @ q)[0])[0]
    u, s, _ = np.linalg.svd((m.T @ q).T, full_matrices=False)
    vectors = (q @ u)[:, :dim] * np.sqrt(s[:dim])
    largest = np.argmax(np.abs(vectors), axis=0)
    result: Array = vectors * np.where(vectors[largest, np.arange(dim)] < 0, -1, 1).astype(sketch.dtype)
    return result


def nearest(vectors: Array, query: Array, k: int) -> tuple[Array, Array]:
    """Return the ids of the largest inner products in descending order, lower ids first among equals, and these."""
    scores = vectors @ query
    best = np.argsort(-scores, kind="stable")[:k]
    return best, scores[best]


def profile_root(vectors: Array, first: int, jitter: float) -> Array:
    """Return U with ``U U' = C'C`` for the centred first vectors C: inner products of rows of E U are covariances of
    PMI profiles (section 5)."""
    c = vectors[:first] - vectors[:first].mean(axis=0)
    gram = c.T @ c
    dim = len(gram)
    gram[np.arange(dim), np.arange(dim)] += jitter * (np.trace(gram) / max(dim, 1) or 1.0)
    return np.linalg.cholesky(gram)
