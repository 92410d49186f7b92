"""Counts of pairs as values: added, merged, saved, loaded."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from scipy import sparse

from kxfast import checks
from kxfast.cooccurrence.npz import Members, is_ours, member, write
from kxfast.cooccurrence.vocabulary import Vocabulary

FORMAT = "kxfast cooccurrence 1"


@dataclass(frozen=True, eq=False)
class Cooccurrence:
    """Counts of pairs of words.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array, shape (V, V)
        int64 for uniform weights, float64 for harmonic ones; columns in order, no zeros stored.
    vocabulary : Vocabulary
        The words, with the counts of the tokens that were counted.
    window, weighting, direction
        As given to `count`.

    """

    matrix: Any
    vocabulary: Vocabulary
    window: int | None = 5
    weighting: str = "uniform"
    direction: str = "symmetric"

    def __add__(self, other: Any) -> Cooccurrence:
        """Add the counts of another corpus: of the same words, counted in the same way."""
        if not isinstance(other, Cooccurrence):
            return NotImplemented
        self._check_alike(other)
        if self.vocabulary.words != other.vocabulary.words:
            raise ValueError(
                f"vocabulary must have the same {len(self.vocabulary)} words in both terms; got "
                f"{len(other.vocabulary)} others (kx.cooccurrence.merge adds counts of different words)"
            )
        matrix = _added(self.matrix, other.matrix, self._unit())
        vocabulary = Vocabulary(self.vocabulary.words, self.vocabulary.counts + other.vocabulary.counts)
        return Cooccurrence(matrix, vocabulary, self.window, self.weighting, self.direction)

    def _check_alike(self, other: Cooccurrence) -> None:
        for name in "window", "weighting", "direction":
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"{name} must be {mine!r} in both terms; got {theirs!r}")

    def _unit(self) -> int:
        """Return what harmonic sums are divided by: 1 where it is too large for a double to hold sums of it."""
        exact = self.weighting == "harmonic" and self.window is not None and self.window <= 26
        return lcm(*range(1, (self.window or 0) + 1)) if exact else 1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file; it appears whole or not at all."""
        matrix = self.matrix
        write(path, {**self.head(), "indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data})

    def head(self) -> Members:
        """Return what a file holds besides the matrix."""
        encoded = [word.encode("utf-8", "surrogatepass") for word in self.vocabulary.words]
        return {
            "format": np.array(FORMAT),
            "text": np.frombuffer(b"".join(encoded), np.uint8),
            "lengths": np.array([len(each) for each in encoded], np.int64),
            "counts": self.vocabulary.counts,
            "window": np.array(-1 if self.window is None else self.window),
            "weighting": np.array(self.weighting),
            "direction": np.array(self.direction),
        }


def _added(first: Any, second: Any, unit: int) -> Any:
    """Add counts; harmonic ones as the integers they were divided from, so that sums are those of all documents."""
    if unit == 1:
        total = sparse.csr_array(first + second)
    else:
        first, second = first * float(unit), second * float(unit)
        first.data, second.data = np.rint(first.data), np.rint(second.data)
        total = sparse.csr_array(first + second)
        total.data /= unit
    total.sort_indices()
    return total


def merge(parts: Iterable[Cooccurrence]) -> Cooccurrence:
    """Add counts of several corpora, each with its own vocabulary.

    Parameters
    ----------
    parts : iterable of Cooccurrence
        Counted with the same window, weighting and direction.

    Returns
    -------
    Cooccurrence
        Of all words of all parts, by descending count, equal ones in the order of their characters.

    Raises
    ------
    TypeError, ValueError
        If there are no parts, one is no Cooccurrence, or they were counted differently.

    Notes
    -----
    A word that a part's ``min_count`` has left out is missing from that part's counts.

    Examples
    --------
    >>> import kxfast as kx
    >>> a, b = kx.cooccurrence.count(["a b"]), kx.cooccurrence.count(["b c"])
    >>> found = kx.cooccurrence.merge([a, b])
    >>> found.vocabulary.words, found.matrix.toarray().tolist()
    (('b', 'a', 'c'), [[0, 1, 1], [1, 0, 0], [1, 0, 0]])

    """
    given = list(parts) if isinstance(parts, Iterable) else [parts]
    for each in given:
        if not isinstance(each, Cooccurrence):
            raise TypeError(f"parts must hold Cooccurrence objects, as count returns them; got {type(each).__name__}")
    if not given:
        raise ValueError("parts must hold at least one Cooccurrence; got none")
    counts: dict[str, int] = {}
    for each in given:
        given[0]._check_alike(each)
        for word, number in zip(each.vocabulary.words, each.vocabulary.counts.tolist(), strict=True):
            counts[word] = counts.get(word, 0) + number
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = Vocabulary(words, [counts[word] for word in words])
    level = [_in_order_of(each, vocabulary) for each in given]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [_added(a, b, given[0]._unit()) for a, b in pairs] + level[len(level) // 2 * 2 :]
    return Cooccurrence(level[0], vocabulary, given[0].window, given[0].weighting, given[0].direction)


def _in_order_of(co: Cooccurrence, vocabulary: Vocabulary) -> Any:
    ids = np.array([vocabulary.id_of[word] for word in co.vocabulary.words], np.int64)
    cells = co.matrix.tocoo()
    rows, columns = cells.coords
    matrix = sparse.coo_array((cells.data, (ids[rows], ids[columns])), (len(vocabulary),) * 2).tocsr()
    matrix.sort_indices()
    return matrix


def load(path: str | os.PathLike[str], *, memory_map: bool = False) -> Cooccurrence:
    """Read what `Cooccurrence.save` or ``count(output=...)`` wrote.

    Parameters
    ----------
    path : path
    memory_map : bool
        Leave the matrix in the file: its arrays are read-only and come into memory as they are used.

    Returns
    -------
    Cooccurrence

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is another kind of file.

    Examples
    --------
    >>> import kxfast as kx, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kx.cooccurrence.count(["a b"]).save(f"{folder}/counts")
    ...     kx.cooccurrence.load(f"{folder}/counts").matrix.toarray().tolist()
    [[0, 1], [1, 0]]

    """
    file = checks.readable_file("path", path)
    memory_map = checks.boolean("memory_map", memory_map)
    try:
        with zipfile.ZipFile(file) as archive:
            if not is_ours(archive, FORMAT):
                raise ValueError("format")
            small = {name: member(archive, file, name) for name in ("text", "lengths", "counts", "window")}
            weighting, direction = (str(member(archive, file, name)) for name in ("weighting", "direction"))
            large = [member(archive, file, name, memory_map) for name in ("data", "indices", "indptr")]
        ends = np.cumsum(small["lengths"])
        text = small["text"].tobytes()
        words = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        data, indices, indptr = large
        if len(indptr) != len(words) + 1 or indptr[-1] != len(data) or len(indices) != len(data):
            raise ValueError("lengths")
        matrix = sparse.csr_array((len(words), len(words)), dtype=data.dtype)
        matrix.data, matrix.indices, matrix.indptr = data, indices, indptr  # not looked at: a map is not read
        window = None if small["window"] < 0 else int(small["window"])
        return Cooccurrence(matrix, Vocabulary(words, small["counts"]), window, weighting, direction)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"path must be a file that Cooccurrence.save wrote; got '{file}'") from None
