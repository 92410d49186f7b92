"""Vocabularies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kxfast import checks

_TOKENS = re.compile(r"[^ \t\n\r]+")


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

    def members(self) -> dict[str, Any]:
        """Return the words and their counts as arrays."""
        encoded = [word.encode("utf-8", "surrogatepass") for word in self.words]
        lengths = np.array([len(each) for each in encoded], np.int64)
        return {"text": np.frombuffer(b"".join(encoded), np.uint8), "lengths": lengths, "counts": self.counts}

    @classmethod
    def from_members(cls, arrays: dict[str, Any]) -> Vocabulary:
        """Return the vocabulary that these arrays are."""
        ends, text = np.cumsum(arrays["lengths"]).tolist(), arrays["text"].tobytes()
        words = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return cls(words, arrays["counts"])


def tokens(text: str) -> list[str]:
    """Split a document into tokens: runs between spaces, tabs, line feeds and carriage returns."""
    return _TOKENS.findall(text)
