"""How to count, and a corpus that is ready to be counted: in memory, or as numbers in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.reading import (
    UNKNOWN,
    Reader,
    Thinning,
    given_vocabulary,
    new_vocabulary,
    recounted,
)
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.dispatch import implementation

Run = list[checks.Array]  # rows of counts as bytes, in parts (csrc/cooccurrence/runs.hpp)
WHOLE = 1 << 40  # a window that no document fills
_PIECE = 1 << 18  # numbers that are read from a file at a time


@dataclass(frozen=True)
class Rules:
    """How to count."""

    window: int | None
    weighting: str
    direction: str
    min_count: int
    max_size: int | None
    subsample: float | None
    key: int
    errors: str
    backend: str | None
    threads: int

    @property
    def reach(self) -> int:
        """The window as a number."""
        return WHOLE if self.window is None else min(self.window, WHOLE)

    def vocabulary(
        self, words: Callable[[checks.Array], list[str]], counts: checks.Array, given: Vocabulary | None
    ) -> tuple[Vocabulary, checks.Array]:
        """Return the vocabulary of a corpus and the rank of each of its words."""
        if given is not None:
            return given_vocabulary(words, counts, given)
        return new_vocabulary(words, counts, self.min_count, self.max_size)

    def counter(self, pieces: list[checks.Array], rank: checks.Array | None, size: int) -> Any:
        """Return a stretch of the corpus that is ready to be counted."""
        make = implementation("cooccurrence", "PairCounter", self.backend)
        return make(pieces, rank, size, self.reach, self.weighting, self.direction, self.threads)

    def merger(self, runs: list[Any], size: int, minus: Sequence[Run] = ()) -> Any:
        """Return the sum of runs, less others."""
        make = implementation("cooccurrence", "Merger", self.backend)
        return make(runs, list(minus), size, self.reach, self.weighting)

    def decoded(self, run: Run) -> tuple[checks.Array, checks.Array, checks.Array, checks.Array]:
        """Return the rows of a run, the cells of each, columns and values."""
        decode = implementation("cooccurrence", "decoded", self.backend)
        rows, cells, columns, values = decode(run, self.reach, self.weighting, self.threads)
        return rows, cells, columns, values


@dataclass
class Tokens:
    """A corpus as numbers of words."""

    pieces: Iterable[checks.Array]
    rank: checks.Array | None
    vocabulary: Vocabulary

    def thinned(self, rules: Rules, start: int = 0) -> Tokens:
        """Leave out tokens of frequent words; the first number is the corpus's number `start`."""
        if rules.subsample is None:
            return self
        size = len(self.vocabulary)
        rank = np.array([*range(size), UNKNOWN, -1], np.int32) if self.rank is None else self.rank
        thinning = Thinning(self.vocabulary, rank, rules.subsample, rules.key)
        pieces = self.pieces
        kept = np.zeros(len(rank), np.int64)
        for piece in thinning.thinned(pieces, start):
            kept += np.bincount(piece[piece >= 0], minlength=len(rank))
        return Tokens(_Again(lambda: thinning.thinned(pieces, start)), rank, recounted(self.vocabulary, rank, kept))


@dataclass
class _Again:
    """An iterable that can be walked more than once."""

    start: Callable[[], Iterator[checks.Array]]

    def __iter__(self) -> Iterator[checks.Array]:
        return self.start()


def in_memory(tokens: Tokens, rules: Rules, report: Any) -> Any:
    """Return (indptr, indices, data) of a corpus that fits."""
    run = implementation("cooccurrence", "pairs", rules.backend)
    size, pieces = len(tokens.vocabulary), list(tokens.pieces)
    return run(pieces, tokens.rank, size, rules.reach, rules.weighting, rules.direction, rules.threads, report)


def stored(pieces: Iterable[checks.Array], path: Path) -> _Again:
    """Write numbers to a file, and return them as what can be read from it."""
    with open(path, "wb") as stream:
        for piece in pieces:
            piece.tofile(stream)

    def read() -> Iterator[checks.Array]:
        with open(path, "rb") as stream:
            while len(piece := np.fromfile(stream, np.int32, _PIECE)):
                yield piece

    return _Again(read)


def begins(rows: checks.Array, cells: checks.Array, size: int) -> checks.Array:
    """Return where the rows of a matrix begin, from the numbers of cells in those that are not empty."""
    indptr = np.zeros(size + 1, np.int64)
    indptr[rows.astype(np.int64) + 1] = cells
    return np.cumsum(indptr, out=indptr)


def read(corpus: Any, given: Vocabulary | None, rules: Rules, folder: Path | None, report: Any) -> Tokens:
    """Read a corpus: numbers into memory, or into a file of a folder."""
    reader = Reader(rules.errors, rules.backend, rules.threads, report)
    pieces: Any = reader.pieces(corpus)
    pieces = list(pieces) if folder is None else stored(pieces, folder / "numbers")
    vocabulary, rank = rules.vocabulary(reader.words, reader.tokenizer.counts(), given)
    return Tokens(pieces, rank, vocabulary)
