"""Counting the pairs of words that stand near each other."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from scipy import sparse

from kxfast import checks
from kxfast.cooccurrence.reading import numbered, recounted, with_given_vocabulary, with_new_vocabulary
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.dispatch import implementation
from kxfast.files import whole_file

WEIGHTINGS = ("uniform", "harmonic")
DIRECTIONS = ("symmetric", "left", "right")


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
    window: int = 5
    weighting: str = "uniform"
    direction: str = "symmetric"

    def __add__(self, other: Any) -> Cooccurrence:
        """Add the counts of another corpus: of the same words, counted in the same way."""
        if not isinstance(other, Cooccurrence):
            return NotImplemented
        for name in "window", "weighting", "direction":
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"{name} must be {mine!r} in both terms; got {theirs!r}")
        if self.vocabulary.words != other.vocabulary.words:
            raise ValueError(
                f"vocabulary must have the same {len(self.vocabulary)} words in both terms; got "
                f"{len(other.vocabulary)} others (count with vocabulary=)"
            )
        exact = self.weighting == "harmonic" and self.window <= 26  # the integers stay well below 2^53
        matrix = _added(self.matrix, other.matrix, lcm(*range(1, self.window + 1)) if exact else 1)
        matrix.sort_indices()
        vocabulary = Vocabulary(self.vocabulary.words, self.vocabulary.counts + other.vocabulary.counts)
        return Cooccurrence(matrix, vocabulary, self.window, self.weighting, self.direction)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file; it appears whole or not at all."""
        matrix, words = self.matrix, self.vocabulary.words
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        with whole_file(path) as stream:
            np.savez(
                stream,
                format=np.array("kxfast cooccurrence 1"),
                indptr=matrix.indptr, indices=matrix.indices, data=matrix.data,
                text=np.frombuffer(b"".join(encoded), np.uint8), lengths=np.array([len(e) for e in encoded], np.int64),
                counts=self.vocabulary.counts,
                window=self.window, weighting=np.array(self.weighting), direction=np.array(self.direction),
            )  # fmt: skip


def _added(first: Any, second: Any, unit: int) -> Any:
    """Add counts; harmonic ones as the integers they were divided from, so that sums are those of all documents."""
    if unit == 1:
        return sparse.csr_array(first + second)
    first, second = first * float(unit), second * float(unit)
    first.data, second.data = np.rint(first.data), np.rint(second.data)
    total = sparse.csr_array(first + second)
    total.data /= unit
    return total


def load(path: str | os.PathLike[str]) -> Cooccurrence:
    """Read what `Cooccurrence.save` wrote.

    Parameters
    ----------
    path : path

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
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as z:
            if str(z["format"]) != "kxfast cooccurrence 1":
                raise ValueError(str(z["format"]))
            ends = np.cumsum(z["lengths"])
            text = z["text"].tobytes()
            words = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
            matrix = sparse.csr_array((z["data"], z["indices"], z["indptr"]), (len(words), len(words)))
            vocabulary = Vocabulary(words, z["counts"])
            return Cooccurrence(matrix, vocabulary, int(z["window"]), str(z["weighting"]), str(z["direction"]))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError):
        raise ValueError(f"path must be a file that Cooccurrence.save wrote; got '{file}'") from None


def count(
    corpus: Any,
    *,
    window: int = 5,
    weighting: str = "uniform",
    direction: str = "symmetric",
    vocabulary: Any = None,
    min_count: int = 1,
    max_size: int | None = None,
    subsample: float | None = None,
    seed: Any = None,
    errors: str = "strict",
    backend: str | None = None,
) -> Cooccurrence:
    """Count how often each two words stand within `window` tokens of each other in a document.

    Words outside the vocabulary are taken out first: they fill no place of the window.

    Parameters
    ----------
    corpus : path, iterable of paths, of str or of token lists, or 1-D array of ids
        Files (.txt, .gz, .xz, .zst) hold one document a line; a str in an iterable is one document. Tokens are runs
        between spaces, tabs and line ends. In an array of ids -1 ends a document.
    window : int
        The largest distance, in tokens; 0 counts nothing.
    weighting : {"uniform", "harmonic"}
        A pair at distance d counts 1 or 1/d; the latter are summed exactly.
    direction : {"symmetric", "left", "right"}
        "left": ``X[a, b]`` counts a to the left of b; "right" its transpose; "symmetric" their sum.
    vocabulary : Vocabulary or sequence of str, optional
        The words to count. By default those of the corpus, by descending count, equal ones in the order of their
        characters. For ids the default is as many words as the largest id needs, named by their numbers.
    min_count : int
        Words that occur less often are left out of a vocabulary made here.
    max_size : int, optional
        Most words of a vocabulary made here.
    subsample : float, optional
        A token of a word with the share f of all tokens is kept with probability ``min(1, sqrt(subsample / f))``.
    seed : int, SeedSequence or Generator, optional
        Of the subsampling.
    errors : {"strict", "replace"}
        What to do with bytes of files that are not UTF-8.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Cooccurrence

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a file is not UTF-8.
    FileNotFoundError
        If a file is missing.

    Notes
    -----
    Sources: article 4667 and following of kexue.fm; Pennington et al. 2014; Mikolov et al. 2013 (subsampling).

    Examples
    --------
    >>> import kxfast as kx
    >>> found = kx.cooccurrence.count(["a b a c", "b c d b", "a b"], window=1, min_count=2)
    >>> found.vocabulary.words, found.matrix.toarray().tolist()
    (('b', 'a', 'c'), [[0, 3, 2], [3, 0, 1], [2, 1, 0]])

    """
    window = checks.integer("window", window, low=0)
    checks.choice("weighting", weighting, WEIGHTINGS)
    checks.choice("direction", direction, DIRECTIONS)
    min_count = checks.integer("min_count", min_count, low=1)
    max_size = None if max_size is None else checks.integer("max_size", max_size, low=0)
    subsample = None if subsample is None else checks.number("subsample", subsample, above=0)
    checks.choice("errors", errors, ("strict", "replace"))
    run = implementation("cooccurrence", "pairs", backend)
    given = vocabulary if vocabulary is None or isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
    if given is not None and (min_count > 1 or max_size is not None):
        name, value = ("min_count", min_count) if min_count > 1 else ("max_size", max_size)
        raise ValueError(f"{name} must be left out when a vocabulary is given; got {value}")
    if _is_ids(corpus):
        if min_count > 1 or max_size is not None:
            name, value = ("min_count", min_count) if min_count > 1 else ("max_size", max_size)
            raise ValueError(f"{name} must be left out for a corpus of ids; got {value}")
        ids, found = _from_ids(corpus, given)
    else:
        raw, words = numbered(corpus, errors, backend)
        if given is not None:
            ids, found = with_given_vocabulary(raw, words, given)
        else:
            ids, found = with_new_vocabulary(raw, words, min_count, max_size)
    if subsample is not None:
        ids = _thinned(ids, found, subsample, checks.seed(seed))
        found = recounted(ids, found)
    matrix = as_matrix(run(ids, len(found), window, weighting, direction))
    return Cooccurrence(matrix, found, window, weighting, direction)


def as_matrix(plain: tuple[checks.Array, checks.Array, checks.Array]) -> Any:
    """Return (indptr, indices, data) of a square matrix as a csr_array, indices of 32 bits where they are enough."""
    indptr, indices, data = plain
    size = len(indptr) - 1
    index = np.int32 if max(size, len(indices)) < 2**31 else np.int64
    return sparse.csr_array((data, indices.astype(index), indptr.astype(index)), (size, size))


def _is_ids(corpus: Any) -> bool:
    if isinstance(corpus, np.ndarray):
        return corpus.dtype.kind in "iubfc"
    if isinstance(corpus, (list, tuple)):
        return bool(corpus) and all(hasattr(each, "__index__") and np.ndim(each) == 0 for each in corpus[:8])
    return hasattr(corpus, "__dlpack__")


def _from_ids(corpus: Any, given: Vocabulary | None) -> tuple[checks.Array, Vocabulary]:
    ids = checks.integers("corpus", corpus, ndim=1, low=-1)
    largest = int(ids.max(initial=-1))
    if given is None:
        given = Vocabulary([str(i) for i in range(largest + 1)])
    if largest >= len(given):
        raise ValueError(f"corpus must hold ids below the vocabulary's size {len(given)}; got {largest}")
    return ids, recounted(ids, given)


def _thinned(ids: checks.Array, vocabulary: Vocabulary, subsample: float, key: int) -> checks.Array:
    counts = vocabulary.counts.astype(np.float64)
    share = np.divide(counts, counts.sum(), out=np.ones_like(counts), where=counts > 0)
    keep = np.append(np.sqrt(subsample / share), 1.0)  # the last entry is for breaks, which are -1
    return ids[np.random.default_rng(key).random(len(ids)) < keep[ids]]
