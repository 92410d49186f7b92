"""How a corpus becomes numbers of words, and these the ids of a vocabulary."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.corpus import bad_byte, chunks, is_list_of_files
from kxfast.dispatch import implementation
from kxfast.shards import Documents, Lines

UNKNOWN, BREAK = -2, -1
_PIECE = 1 << 12  # documents in memory that are numbered together


class Reader:
    """Numbers the words of a corpus in the order in which they first come; -1 stands behind each document."""

    def __init__(
        self, errors: str, backend: str | None, threads: int, report: Callable[[int], None] | None = None
    ) -> None:
        self.tokenizer = implementation("cooccurrence", "Tokenizer", backend)(threads)
        self._errors, self._report = errors, report

    def pieces(self, corpus: Any) -> Iterator[checks.Array]:
        """Yield the numbers of a corpus, of a shard, or of documents, a piece at a time."""
        if isinstance(corpus, Lines):
            yield from self._file(corpus.path, corpus.start, corpus.stop)
            return
        if isinstance(corpus, (str, os.PathLike)):
            corpus = [Path(corpus)]
        elif isinstance(corpus, (bytes, bytearray)) or not isinstance(corpus, (Iterable, Documents)):
            raise TypeError(f"corpus must be a path, paths, strings, token lists or ids; got {type(corpus).__name__}")
        if isinstance(corpus, (list, tuple)):
            corpus = [Path(each) for each in corpus] if is_list_of_files(corpus) else corpus
            for each in corpus:
                if isinstance(each, os.PathLike):
                    checks.readable_file("corpus", each)
        for number, each in enumerate(corpus.members if isinstance(corpus, Documents) else corpus):
            if isinstance(each, os.PathLike):
                yield from self._file(checks.readable_file("corpus", each))
            else:
                self._document(each)
            if number % _PIECE == _PIECE - 1:
                yield self.tokenizer.take_numbers()
        yield self.tokenizer.take_numbers()

    def _file(self, path: Path, start: int = 0, stop: int | None = None) -> Iterator[checks.Array]:
        yield self.tokenizer.take_numbers()
        self.tokenizer.begin(start)
        decoder = codecs.getincrementaldecoder("utf-8")("replace") if self._errors == "replace" else None
        for data in chunks(path, "corpus", start, stop):
            self._check(self.tokenizer.feed(data if decoder is None else decoder.decode(data).encode()), path)
            yield self.tokenizer.take_numbers()
            if self._report:
                self._report(len(data))
        if decoder is not None:
            self.tokenizer.feed(decoder.decode(b"", final=True).encode())
        self._check(self.tokenizer.finish(), path)
        yield self.tokenizer.take_numbers()

    @staticmethod
    def _check(bad: tuple[int, int] | None, path: Path) -> None:
        if bad is not None:
            raise bad_byte(bad[1], bad[0], path, "corpus")

    def _document(self, member: Any) -> None:
        if isinstance(member, str):
            self.tokenizer.add_document(member)
        elif isinstance(member, (bytes, bytearray)) or not isinstance(member, Iterable):
            raise TypeError(f"corpus must hold paths, strings or lists of tokens; got {type(member).__name__}")
        else:
            words = list(member)
            for word in words:
                if not isinstance(word, str):
                    raise TypeError(f"corpus must hold lists of str; got a list with {type(word).__name__}")
            self.tokenizer.add_tokens(words)

    def words(self, numbers: checks.Array) -> list[str]:
        """Return the words with some numbers."""
        found: list[str] = self.tokenizer.words(np.asarray(numbers, np.int64))
        return found


def new_vocabulary(
    words: Callable[[checks.Array], list[str]], counts: checks.Array, min_count: int, max_size: int | None
) -> tuple[Vocabulary, checks.Array]:
    """Return a vocabulary, the most frequent words first, equal ones in their order, and the rank of each number."""
    numbers = np.flatnonzero(counts >= min_count)
    texts = words(numbers)
    descending = (-counts[numbers]).tolist()
    order = sorted(range(len(texts)), key=lambda i: (descending[i], texts[i]))[:max_size]
    chosen = numbers[order]
    rank = no_ranks(len(counts))
    rank[chosen] = np.arange(len(chosen))
    return Vocabulary([texts[i] for i in order], counts[chosen]), rank


def given_vocabulary(
    words: Callable[[checks.Array], list[str]], counts: checks.Array, vocabulary: Vocabulary
) -> tuple[Vocabulary, checks.Array]:
    """Return a vocabulary with the counts of a corpus, and the rank in it of each number."""
    rank = no_ranks(len(counts))
    rank[:-2] = [vocabulary.id_of.get(word, UNKNOWN) for word in words(np.arange(len(counts)))]
    return recounted(vocabulary, rank[:-2], counts), rank


def no_ranks(words: int) -> checks.Array:
    """Return the rank of no word: the last two entries are of the number `words`, which none has, and of breaks."""
    return np.array([UNKNOWN] * (words + 1) + [BREAK], np.int32)


def recounted(vocabulary: Vocabulary, rank: checks.Array, counts: checks.Array) -> Vocabulary:
    """Return a vocabulary with the counts of numbers that have these ranks in it."""
    found = np.zeros(len(vocabulary), np.int64)
    np.add.at(found, rank[rank >= 0], counts[rank >= 0])
    return Vocabulary(vocabulary.words, found)


class Thinning:
    """Leaves out tokens of frequent words, by a random number for each token of the corpus in turn."""

    def __init__(self, vocabulary: Vocabulary, rank: checks.Array, subsample: float, key: int) -> None:
        counts = vocabulary.counts.astype(np.float64)
        share = np.divide(counts, counts.sum(), out=np.ones_like(counts), where=counts > 0)
        keep = np.concatenate([np.sqrt(subsample / share), [1.0, 1.0]])
        self._keep = keep[rank]
        self._key = key

    def thinned(self, pieces: Iterable[checks.Array], start: int = 0) -> Iterator[checks.Array]:
        """Yield the pieces that begin at token `start`; what is left out has the number that no word has."""
        bits = np.random.PCG64(self._key)
        bits.advance(start)  # a step for each number
        rng = np.random.Generator(bits)
        nobody = len(self._keep) - 2
        for piece in pieces:
            yield np.where(rng.random(len(piece)) < self._keep[piece], piece, np.int32(nobody)).astype(np.int32)
