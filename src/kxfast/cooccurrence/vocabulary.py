"""Vocabularies, and how a corpus becomes an array of ids."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.corpus import documents, is_list_of_files

_TOKENS = re.compile(r"[^ \t\n\r]+")
_UNKNOWN, _BREAK = -2, -1


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words with their ids and counts.

    Parameters
    ----------
    words : sequence of str
        The word of each id; no word twice.
    counts : array, shape (V,), optional
        How often each occurs; 0 if left out.

    Attributes
    ----------
    id_of : dict
        The id of each word.

    Raises
    ------
    TypeError, ValueError
        If a word is no str or occurs twice, or if the counts do not fit.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.cooccurrence.Vocabulary(["b", "a"], [4, 3]).id_of["a"]
    1

    """

    words: Sequence[str]
    counts: Any = None
    id_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.words, str) or not isinstance(self.words, Iterable):
            raise TypeError(f"words must be a sequence of str; got {type(self.words).__name__}")
        words = tuple(self.words)
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"words must hold str; got {type(word).__name__}")
        ids = {word: i for i, word in enumerate(words)}
        if len(ids) != len(words):
            twice = next(word for i, word in enumerate(words) if ids[word] != i)
            raise ValueError(f"words must be different from each other; got {twice!r} twice")
        counts = np.zeros(len(words), np.int64)
        if self.counts is not None:
            counts = checks.integers("counts", self.counts, ndim=1, low=0)
            checks.shape("counts", counts, (len(words),), f"({len(words)},)", f"to match {len(words)} words")
        for name, value in ("words", words), ("counts", counts), ("id_of", ids):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        """Whether a word has an id."""
        return word in self.id_of


class _Numbering(dict[str, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class _Known(dict[str, int]):
    """The ids of a given vocabulary; other words are unknown."""

    def __missing__(self, word: str) -> int:
        return _UNKNOWN


def tokens(text: str) -> list[str]:
    """Split a document into tokens: runs between spaces, tabs, line feeds and carriage returns."""
    return _TOKENS.findall(text)


def token_lists(corpus: Any, errors: str) -> Iterator[Sequence[str]]:
    """Return the tokens of each document of any corpus but one of ids."""
    if isinstance(corpus, (str, os.PathLike)) or (isinstance(corpus, (list, tuple)) and is_list_of_files(corpus)):
        return map(tokens, documents(corpus, errors=errors))
    if isinstance(corpus, (bytes, bytearray)) or not isinstance(corpus, Iterable):
        raise TypeError(f"corpus must be a path, paths, strings, token lists or ids; got {type(corpus).__name__}")
    checks.choice("errors", errors, ("strict", "replace"))
    if isinstance(corpus, (list, tuple)):
        for each in corpus:
            if isinstance(each, os.PathLike):
                checks.readable_file("corpus", each)
    return _members(corpus, errors)


def _members(corpus: Iterable[Any], errors: str) -> Iterator[Sequence[str]]:
    for each in corpus:
        if isinstance(each, str):
            yield tokens(each)
        elif isinstance(each, os.PathLike):
            yield from map(tokens, documents(each, errors=errors))
        elif isinstance(each, (bytes, bytearray)) or not isinstance(each, Iterable):
            raise TypeError(f"corpus must hold paths, strings or lists of tokens; got {type(each).__name__}")
        else:
            yield list(_checked(each))


def _checked(words: Iterable[Any]) -> Iterator[str]:
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"corpus must hold lists of str; got a list with {type(word).__name__}")
        yield word


def read(lists: Iterable[Sequence[str]], table: dict[str, int]) -> checks.Array:
    """Return the numbers of all tokens, with a break after each document."""
    ids = array("q")
    for words in lists:
        ids.extend(map(table.__getitem__, words))
        ids.append(_BREAK)
    return np.frombuffer(ids, np.int64).copy() if ids else np.zeros(0, np.int64)


def with_new_vocabulary(
    lists: Iterable[Sequence[str]], min_count: int, max_size: int | None
) -> tuple[checks.Array, Vocabulary]:
    """Return the ids of a corpus and its vocabulary, the most frequent words first, equal ones in their order."""
    table = _Numbering()
    raw = read(lists, table)
    words, counts = list(table), np.bincount(raw[raw >= 0], minlength=len(table))
    order = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    order = [i for i in order if counts[i] >= min_count][:max_size]
    rank = np.full(len(words) + 1, _UNKNOWN)  # the last entry is for breaks, which are -1
    rank[order] = np.arange(len(order))
    rank[-1] = _BREAK
    ids = rank[raw]
    return ids[ids != _UNKNOWN], Vocabulary([words[i] for i in order], counts[order])


def with_given_vocabulary(lists: Iterable[Sequence[str]], vocabulary: Vocabulary) -> tuple[checks.Array, Vocabulary]:
    """Return the ids of a corpus in a vocabulary, and this with the corpus's counts."""
    ids = read(lists, _Known(vocabulary.id_of))
    ids = ids[ids != _UNKNOWN]
    return ids, recounted(ids, vocabulary)


def recounted(ids: checks.Array, vocabulary: Vocabulary) -> Vocabulary:
    """Return the vocabulary with the counts of some ids."""
    return Vocabulary(vocabulary.words, np.bincount(ids[ids >= 0], minlength=len(vocabulary)))
