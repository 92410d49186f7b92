"""Files of other programs: GloVe's records of pairs, and vocabularies as text."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import sparse

from kxfast import checks
from kxfast.cooccurrence.matrix import Cooccurrence
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.corpus import lines
from kxfast.files import whole_file

_RECORD = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f8")])
_AT_ONCE = 1 << 20  # records that are converted together


def write_glove(co: Cooccurrence, path: str | os.PathLike[str]) -> None:
    """Write counts as GloVe's tools read them: records of two int32 ids from 1 and a double, by row and column.

    Parameters
    ----------
    co : Cooccurrence
    path : path
        The file appears whole or not at all. GloVe's trainer needs it shuffled, and a vocabulary file: see
        `write_vocabulary`.

    Raises
    ------
    TypeError
        If `co` is no Cooccurrence.

    Examples
    --------
    >>> import kxfast as kx, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kx.cooccurrence.write_glove(kx.cooccurrence.count(["a b"]), f"{folder}/cooccurrence.bin")
    ...     os.path.getsize(f"{folder}/cooccurrence.bin")
    32

    """
    if not isinstance(co, Cooccurrence):
        raise TypeError(f"co must be a Cooccurrence, as count returns it; got {type(co).__name__}")
    matrix = co.matrix
    ends = matrix.indptr[1:]
    with whole_file(path) as stream:
        for begin in range(0, matrix.nnz, _AT_ONCE):
            end = min(begin + _AT_ONCE, matrix.nnz)
            part = np.empty(end - begin, _RECORD)
            part["row"] = np.searchsorted(ends, np.arange(begin, end), side="right") + 1
            part["column"] = matrix.indices[begin:end] + 1
            part["value"] = matrix.data[begin:end]
            stream.write(part.data)


def read_glove(
    path: str | os.PathLike[str], vocabulary: Any, *, window: int | None = 15, weighting: str = "harmonic",
    direction: str = "symmetric",
) -> Cooccurrence:  # fmt: skip
    """Read the records that GloVe's tools write (``cooccur``), in any order; records of one pair are added.

    Parameters
    ----------
    path : path
    vocabulary : Vocabulary or sequence of str
        As `read_vocabulary` reads it from the file of GloVe's ``vocab_count``.
    window, weighting, direction
        What the file holds; the file does not say. The defaults are the tools' own. "uniform" gives int64.

    Returns
    -------
    Cooccurrence

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If an argument has the wrong type or value, the file is cut off, an id is no word's, or a value is not finite
        or, for uniform weights, no whole number.

    Examples
    --------
    >>> import kxfast as kx, tempfile
    >>> co = kx.cooccurrence.count(["a b a"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kx.cooccurrence.write_glove(co, f"{folder}/x.bin")
    ...     again = kx.cooccurrence.read_glove(f"{folder}/x.bin", co.vocabulary, weighting="uniform")
    >>> again.matrix.toarray().tolist() == co.matrix.toarray().tolist()
    True

    """
    file = checks.readable_file("path", path)
    window = None if window is None else checks.integer("window", window, low=0)
    checks.choice("weighting", weighting, ("uniform", "harmonic"))
    checks.choice("direction", direction, ("symmetric", "left", "right"))
    words = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
    if file.stat().st_size % _RECORD.itemsize:
        raise ValueError(f"path must hold records of 16 bytes; got {file.stat().st_size} bytes in '{file}'")
    records = np.fromfile(file, _RECORD)
    rows, columns, values = (np.ascontiguousarray(records[name]) for name in ("row", "column", "value"))
    del records
    low = min(rows.min(initial=1), columns.min(initial=1))
    high = max(rows.max(initial=0), columns.max(initial=0))
    if low < 1 or high > len(words):
        raise ValueError(f"path must hold ids from 1 to {len(words)}, the vocabulary's size; got {low} to {high}")
    if not np.all(np.isfinite(values)) or (weighting == "uniform" and np.any(values != np.rint(values))):
        wanted = "whole numbers for uniform weights" if weighting == "uniform" else "finite values"
        raise ValueError(f"path must hold {wanted}; got others in '{file}'")
    typed = values.astype(np.int64) if weighting == "uniform" else values
    matrix = sparse.coo_array((typed, (rows - 1, columns - 1)), (len(words),) * 2).tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    return Cooccurrence(matrix, words, window, weighting, direction)


def write_vocabulary(vocabulary: Any, path: str | os.PathLike[str]) -> None:
    """Write a vocabulary as text, a word and its count a line, as GloVe's and word2vec's tools do.

    Parameters
    ----------
    vocabulary : Vocabulary
    path : path
        The file appears whole or not at all.

    Raises
    ------
    TypeError, ValueError
        If `vocabulary` is no Vocabulary, or a word is empty or has white space.

    Examples
    --------
    >>> import kxfast as kx, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kx.cooccurrence.write_vocabulary(kx.cooccurrence.Vocabulary(["b", "a"], [4, 3]), f"{folder}/vocab.txt")
    ...     kx.cooccurrence.read_vocabulary(f"{folder}/vocab.txt").words
    ('b', 'a')

    """
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(f"vocabulary must be a Vocabulary; got {type(vocabulary).__name__}")
    for word in vocabulary.words:
        if word.split() != [word]:
            raise ValueError(f"words must have no white space to be written; got {word!r}")
    with whole_file(path) as stream:
        for word, count in zip(vocabulary.words, vocabulary.counts.tolist(), strict=True):
            stream.write(f"{word} {count}\n".encode())


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """Read a vocabulary: a word and its count a line, with one space or tab between, in the order of the ids.

    Parameters
    ----------
    path : path

    Returns
    -------
    Vocabulary

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is no word and count, or a word comes twice.

    Examples
    --------
    >>> import kxfast as kx, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "vocab.txt")
    ...     _ = file.write_text("b 4\\na 3\\n")
    ...     kx.cooccurrence.read_vocabulary(file).counts.tolist()
    [4, 3]

    """
    file = checks.readable_file("path", path)
    words, counts = [], []
    for number, line in enumerate(lines(file, name="path"), 1):
        word, _, count = line.replace("\t", " ").rpartition(" ")
        if not word or not count.isdecimal():
            raise ValueError(f"path must hold a word and its count in each line; got line {number} of '{file}'")
        words.append(word)
        counts.append(int(count))
    return Vocabulary(words, counts)
