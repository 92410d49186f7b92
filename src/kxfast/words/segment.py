"""Segmentation with a lexicon."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.words.lexicon import Lexicon, load
from kxfast.words.text import offsets_of

TIES = ("longest_first", "longest_last")


class Segmenter:
    """Cuts text into the words of a lexicon so that the product of their frequencies is largest.

    A word scores ``ln count - ln total`` (a count of 0: not a word); the best path is found by dynamic programming.

    Parameters
    ----------
    lexicon : mapping from str to int, or path
        Words and counts, such as a `Lexicon`, or a file that `load` reads.
    tie : {"longest_first", "longest_last"}
        Which of two equally good paths is taken. ``"longest_first"``, as in jieba, works from the right, prefers the
        longer first word, and takes a single unknown character only where no word starts. ``"longest_last"``, as in
        the author's nlp-zero, works from the left, prefers the longer last word, and takes one only where no word ends.
    unknown : float
        Score of a single unknown character.
    backend : str, optional
        See `kxfast.use_backend`.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If the lexicon is empty or not of this form, or another argument is wrong.

    Examples
    --------
    >>> import kxfast as kx
    >>> seg = kx.words.Segmenter({"科学": 5, "空间": 4, "科": 1, "学空": 1})
    >>> seg.cut("科学空间!")
    ['科学', '空间', '!']

    """

    def __init__(
        self,
        lexicon: Mapping[str, int] | str | os.PathLike[str],
        *,
        tie: str = "longest_first",
        unknown: float = -100.0,
        backend: str | None = None,
    ) -> None:
        checks.choice("tie", tie, TIES)
        unknown = checks.number("unknown", unknown, high=0)
        self._build(lexicon, tie, unknown, False, backend)

    @classmethod
    def jieba(cls, dictionary: Mapping[str, int] | str | os.PathLike[str], *, backend: str | None = None) -> Segmenter:
        """Return a segmenter that cuts as ``jieba.cut(text, HMM=False)`` does with this dictionary."""
        made = cls.__new__(cls)
        made._build(dictionary, "longest_first", None, True, backend)
        return made

    def _build(
        self,
        lexicon: Mapping[str, int] | str | os.PathLike[str],
        tie: str,
        unknown: float | None,
        jieba: bool,
        backend: str | None,
    ) -> None:
        if isinstance(lexicon, (str, os.PathLike)):
            lexicon = load(lexicon)
        if not isinstance(lexicon, Mapping):
            raise TypeError(f"lexicon must be a mapping from words to counts, or a path; got {type(lexicon).__name__}")
        self._words, counts = _words_of(lexicon)
        scores, log_total = implementation("words", "log_scores", backend)(counts)
        codes = implementation("words", "code_points", backend)("".join(self._words))
        offsets = offsets_of(self._words)
        self._state = (lexicon, tie, unknown, jieba, backend)
        make = implementation("words", "Segmenter", backend)
        self._cutter = make(codes, offsets, scores, -log_total if unknown is None else unknown, tie, jieba)
        self._code_points = implementation("words", "code_points", backend)
        self._pieces = implementation("words", "pieces", backend)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments; the trie is built again."""
        return _rebuild, self._state

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self._words)

    def cut(self, text: str) -> list[str]:
        """Return the words of a text, one after another; together they are the text."""
        codes = self._codes(text)
        ends, ids, first = self._cutter.segment(codes, np.array([0, len(codes)], np.int64), 1)
        pieces: list[str] = self._pieces(text, ends, ids, first, self._words)[0]
        return pieces

    def cut_many(self, texts: Iterable[str], threads: int | None = None) -> list[list[str]]:
        """Return the words of each of many texts, cut on `threads` threads (all by default)."""
        limit = checks.threads(threads)
        if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
            raise TypeError(f"texts must be an iterable of str; got {type(texts).__name__}")
        listed = list(texts)
        for text in listed:
            if not isinstance(text, str):
                raise TypeError(f"texts must hold str; got {type(text).__name__}")
        joined = "".join(listed)
        ends, ids, first = self._cutter.segment(self._code_points(joined), offsets_of(listed), limit)
        pieces: list[list[str]] = self._pieces(joined, ends, ids, first, self._words)
        return pieces

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each word begins and ends, shape (n, 2), in characters."""
        codes = self._codes(text)
        ends, _, _ = self._cutter.segment(codes, np.array([0, len(codes)], np.int64), 1)
        return np.stack([np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)], ends], axis=1)

    def sample(self, text: str, alpha: float, seed: Any = None) -> list[str]:
        """Draw a segmentation with probability proportional to exp(`alpha` x its score)."""
        codes = self._codes(text)
        ends = self._cutter.sample(codes, checks.number("alpha", alpha, 0), checks.seed(seed))
        ids, first = np.full(len(ends), -1, np.int64), np.array([0, len(ends)], np.int64)
        pieces: list[str] = self._pieces(text, ends, ids, first, self._words)[0]
        return pieces

    def _codes(self, text: str) -> NDArray[np.uint32]:
        if not isinstance(text, str):
            raise TypeError(f"text must be a str; got {type(text).__name__}")
        codes: NDArray[np.uint32] = self._code_points(text)
        return codes


def _words_of(lexicon: Mapping[str, int]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the words with a count above 0, and these."""
    if not isinstance(lexicon, Lexicon):  # which has been checked
        for word, count in lexicon.items():
            if not isinstance(word, str) or not word or type(count) is not int or count < 0:
                raise ValueError(f"lexicon must map words to ints that are at least 0; got {word!r}: {count!r}")
    words = [word for word, count in lexicon.items() if count]
    if not words:
        raise ValueError("lexicon must hold a word with a count above 0; got none")
    return words, np.fromiter(filter(None, lexicon.values()), np.int64, len(words))


def _rebuild(*state: Any) -> Segmenter:
    made = Segmenter.__new__(Segmenter)
    made._build(*state)
    return made
