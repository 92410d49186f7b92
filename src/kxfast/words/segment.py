"""Segmentation with a lexicon."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.words.lexicon import Lexicon, dictionary_of, load
from kxfast.words.saved import ARRAYS, SegmenterRules, read, write
from kxfast.words.text import Words, encode_words, offsets_of, shown, written

TIES = ("longest_first", "longest_last")


class Segmenter:
    """Cuts text into the words of a lexicon so that the product of their frequencies is largest.

    A word scores ``ln count - ln total`` (a count of 0: not a word); the best path is found by dynamic programming.

    Parameters
    ----------
    lexicon : mapping from str (or bytes) to int, or path
        Words and counts, such as a `Lexicon`, or a file that `load` reads. With words of bytes, texts are bytes (of a
        str those of its UTF-8), and so is what they are cut into; spans and ends count bytes.
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
        lexicon: Mapping[Any, int] | str | os.PathLike[str],
        *,
        tie: str = "longest_first",
        unknown: float = -100.0,
        backend: str | None = None,
    ) -> None:
        checks.choice("tie", tie, TIES)
        unknown = checks.number("unknown", unknown, high=0)
        words, as_bytes = _words_of(lexicon, backend)
        self._build(words, tie, unknown, False, as_bytes, backend)

    @classmethod
    def jieba(cls, dictionary: Mapping[str, int] | str | os.PathLike[str], *, backend: str | None = None) -> Segmenter:
        """Return a segmenter that cuts as ``jieba.cut(text, HMM=False)`` does with this dictionary."""
        made = cls.__new__(cls)
        words, as_bytes = _words_of(dictionary, backend)
        if as_bytes:
            raise ValueError("dictionary must map str to counts; got bytes")
        made._build(words, "longest_first", None, True, False, backend)
        return made

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, backend: str | None = None) -> Segmenter:
        """Return a segmenter that `save` wrote: the file is mapped into memory, nothing is built.

        Raises FileNotFoundError or ValueError if the file is missing or is no such file.
        """
        made = cls.__new__(cls)
        made._set(*read(checks.readable_file("path", path)), backend)
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the segmenter to a file for `load`; the file appears whole or not at all."""
        write(path, self._rules, self._arrays)

    def _build(
        self,
        lexicon: tuple[Words, NDArray[np.int64]],
        tie: str,
        unknown: float | None,
        jieba: bool,
        as_bytes: bool,
        backend: str | None,
    ) -> None:
        words, counts = lexicon
        scores, log_total = implementation("words", "log_scores", backend)(counts)
        *trie, repeats = implementation("words", "build_trie", backend)(words, scores)
        if repeats and not jieba:  # the last line of a word holds; jieba leaves the others in its total
            held = np.zeros(len(counts), bool)
            held[trie[1][trie[1] >= 0]] = True
            listed = implementation("words", "decode", backend)(*words)
            words = encode_words([word for word, each in zip(listed, held, strict=True) if each], backend)
            self._build((words, counts[held]), tie, unknown, jieba, as_bytes, backend)
            return
        rules = SegmenterRules(tie, -log_total if unknown is None else unknown, jieba, as_bytes)
        self._set(rules, dict(zip(ARRAYS, (*words, scores, *trie), strict=True)), backend)

    def _set(self, rules: SegmenterRules, arrays: dict[str, NDArray[Any]], backend: str | None) -> None:
        self._rules, self._arrays, self._backend = rules, arrays, backend
        words = arrays["codes"], arrays["offsets"]
        make = implementation("words", "Segmenter", backend)
        trie = [arrays["edges"], arrays["ids"]]
        if (len(trie[0]) == 2 * len(trie[1])) != make.__module__.startswith("kxfast._native"):  # another backend's trie
            *trie, _ = implementation("words", "build_trie", backend)(words, arrays["scores"])
        self._cutter = make(words, *trie, rules.unknown, rules.tie, rules.jieba)
        self._words: list[str | None] = [None] * (len(words[1]) - 1)
        self._code_points = implementation("words", "code_points", backend)
        self._pieces = implementation("words", "pieces", backend)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the trie."""
        return _restored, (self._rules, {name: np.array(array) for name, array in self._arrays.items()}, self._backend)

    def __len__(self) -> int:
        """Return the number of words."""
        return int(np.count_nonzero(self._arrays["ids"] >= 0))

    def cut(self, text: str | bytes) -> list[Any]:
        """Return the words of a text, one after another; together they are the text."""
        text, codes = self._read(text)
        ends, ids, first = self._cutter.segment(codes, np.array([0, len(codes)], np.int64), 1)
        return shown(self._pieces(text, ends, ids, first, self._words)[0], self._rules.as_bytes)

    def cut_many(self, texts: Iterable[str | bytes], threads: int | None = None) -> list[list[Any]]:
        """Return the words of each of many texts, cut on `threads` threads (all by default)."""
        joined, ends, ids, first = self._segmented(texts, threads)
        pieces: list[list[str]] = self._pieces(joined, ends, ids, first, self._words)
        return [shown(words, True) for words in pieces] if self._rules.as_bytes else pieces

    def join_many(
        self, texts: Iterable[str | bytes], separator: str | bytes = " ", threads: int | None = None
    ) -> list[Any]:
        """Return each of many texts with a separator between its words; no string is made for a word."""
        between = self._text("separator", separator)
        joined, ends, _, first = self._segmented(texts, threads)
        strings: list[str] = implementation("words", "joined", self._backend)(joined, ends, first, between)
        return shown(strings, self._rules.as_bytes)

    def ends_many(
        self, texts: Iterable[str | bytes], threads: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the words of many texts end, in characters of all texts together, and each text's first word.

        Text t has the words that end at ``ends[first[t] : first[t + 1]]``; it begins where the text before it ends.
        """
        _, ends, _, first = self._segmented(texts, threads)
        return ends, first

    def _segmented(self, texts: Iterable[str | bytes], threads: int | None) -> tuple[str, Any, Any, Any]:
        limit = checks.threads(threads)
        if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
            raise TypeError(f"texts must be an iterable of str; got {type(texts).__name__}")
        listed: list[Any] = list(texts)
        for text in listed:
            if not isinstance(text, str) and not (self._rules.as_bytes and isinstance(text, bytes)):
                raise TypeError(f"texts must hold str; got {type(text).__name__}")
        if self._rules.as_bytes:
            listed = [written(text) for text in listed]
        joined = "".join(listed)
        ends, ids, first = self._cutter.segment(self._code_points(joined), offsets_of(listed), limit)
        return joined, ends, ids, first

    def spans(self, text: str | bytes) -> NDArray[np.int64]:
        """Return where each word begins and ends, shape (n, 2), in characters."""
        _, codes = self._read(text)
        ends, _, _ = self._cutter.segment(codes, np.array([0, len(codes)], np.int64), 1)
        return np.stack([np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)], ends], axis=1)

    def sample(self, text: str | bytes, alpha: float, seed: Any = None) -> list[Any]:
        """Draw a segmentation with probability proportional to exp(`alpha` x its score)."""
        text, codes = self._read(text)
        ends = self._cutter.sample(codes, checks.number("alpha", alpha, 0), checks.seed(seed))
        ids, first = np.full(len(ends), -1, np.int64), np.array([0, len(ends)], np.int64)
        return shown(self._pieces(text, ends, ids, first, self._words)[0], self._rules.as_bytes)

    def _text(self, name: str, text: str | bytes) -> str:
        if self._rules.as_bytes and isinstance(text, (str, bytes)):
            return written(text)
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a str; got {type(text).__name__}")
        return text

    def _read(self, text: str | bytes) -> tuple[str, NDArray[np.uint32]]:
        checked = self._text("text", text)
        return checked, self._code_points(checked)


def _words_of(
    lexicon: Mapping[Any, int] | str | os.PathLike[str], backend: str | None
) -> tuple[tuple[Words, NDArray[np.int64]], bool]:
    """Return the words with a count above 0, and these; and whether words are bytes."""
    if isinstance(lexicon, (str, os.PathLike)):
        words, counts = dictionary_of(checks.readable_file("path", lexicon))
        if len(counts) and counts.all():
            return (words, counts), False
        lexicon = load(lexicon)
    if not isinstance(lexicon, Mapping):
        raise TypeError(f"lexicon must be a mapping from words to counts, or a path; got {type(lexicon).__name__}")
    as_bytes = isinstance(next(iter(lexicon), None), bytes)
    if not isinstance(lexicon, Lexicon):  # which has been checked
        for word, count in lexicon.items():
            if not isinstance(word, bytes if as_bytes else str) or not word or type(count) is not int or count < 0:
                raise ValueError(f"lexicon must map words to ints that are at least 0; got {word!r}: {count!r}")
    listed = [word for word, count in lexicon.items() if count]
    if not listed:
        raise ValueError("lexicon must hold a word with a count above 0; got none")
    words = encode_words([written(word) for word in listed] if as_bytes else listed, backend)
    return (words, np.fromiter(filter(None, lexicon.values()), np.int64, len(listed))), as_bytes


def _restored(rules: SegmenterRules, arrays: dict[str, NDArray[Any]], backend: str | None) -> Segmenter:
    made = Segmenter.__new__(Segmenter)
    made._set(rules, arrays, backend)
    return made
