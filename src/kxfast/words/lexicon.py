"""Lexicons: words with their counts."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.corpus import bad_byte, content
from kxfast.dispatch import implementation
from kxfast.files import whole_file
from kxfast.words.text import Words


class Lexicon(Mapping[Any, int]):
    """A mapping from words to counts that keeps the order it was given (`discover`: by falling count).

    Parameters
    ----------
    counts : mapping from str (or bytes) to int
        Words and their counts; words are not empty, strings hold no white space, and counts are not negative.

    Examples
    --------
    >>> import kxfast as kx
    >>> lex = kx.words.Lexicon({"科学": 3, "空间": 2})
    >>> lex["科学"], len(lex), "时间" in lex
    (3, 2, False)

    """

    def __init__(self, counts: Mapping[Any, int]) -> None:
        if not isinstance(counts, Mapping):
            raise TypeError(f"counts must be a mapping from words to counts; got {type(counts).__name__}")
        self._counts = dict(counts)
        self._columns: dict[str, NDArray[np.float64]] = {}
        kind = bytes if any(isinstance(word, bytes) for word in self._counts) else str
        for word, count in self._counts.items():
            if not isinstance(word, kind) or not word or (kind is str and [word] != word.split()):
                raise ValueError(f"counts must have words without white space as keys; got {word!r}")
            if type(count) is not int or count < 0:
                raise ValueError(f"counts must be ints that are at least 0; got {count!r} for {word!r}")

    @classmethod
    def _found(cls, counts: dict[Any, int], columns: dict[str, NDArray[np.float64]]) -> Lexicon:
        """Return a lexicon of counts that need no check, with columns for `to_dataframe`."""
        made = cls({})
        made._counts, made._columns = counts, columns
        return made

    def __getitem__(self, word: str | bytes) -> int:
        """Return the count of a word."""
        return self._counts[word]

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the words."""
        return iter(self._counts)

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self._counts)

    def __repr__(self) -> str:
        """Show the first words."""
        first = ", ".join(f"{word} {count}" for word, count in list(self._counts.items())[:5])
        return f"<Lexicon of {len(self)} words: {first}{', …' if len(self) > 5 else ''}>"

    def lines(self, *, report: bool = False) -> Iterator[str]:
        """Yield one ``word count`` a line; with `report` the PMI and entropies that `discover` found follow.

        Words of bytes are written in base64.
        """
        columns = [column.tolist() for column in self._columns.values()] if checks.boolean("report", report) else []
        for row, (word, count) in enumerate(self._counts.items()):
            shown = b64encode(word).decode() if isinstance(word, bytes) else word
            yield " ".join([shown, str(count), *(f"{column[row]:.4f}" for column in columns)]) + "\n"

    def save(self, path: str | os.PathLike[str], *, report: bool = False) -> None:
        """Write `lines`, which `load` and jieba read; the file appears whole or not at all."""
        with whole_file(path) as stream:
            stream.writelines(line.encode() for line in self.lines(report=report))

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with the columns word and count, and what `discover` found beside them.

        That is the pmi, and with ``report=True`` left_entropy and right_entropy, all in nats.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_dataframe needs pandas; install it") from None
        return pandas.DataFrame({"word": list(self._counts), "count": list(self._counts.values()), **self._columns})


def load(path: str | os.PathLike[str], *, base64: bool = False) -> Lexicon:
    """Read a lexicon: a word and its count on each line, parted by a tab or spaces; further columns are ignored.

    Parameters
    ----------
    path : str or path
        A text file, also .gz, .xz or .zst; jieba's dictionaries have this form. Empty lines are passed over; of a word
        that comes twice, the last count holds.
    base64 : bool
        Whether words are bytes in base64, as a lexicon of bytes saves them.

    Returns
    -------
    Lexicon

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, is not UTF-8, or a line is not of this form.

    Examples
    --------
    >>> import kxfast as kx, tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "words.txt")
    ...     kx.words.Lexicon({"科学": 3}).save(path)
    ...     kx.words.load(path)
    <Lexicon of 1 words: 科学 3>

    """
    checks.boolean("base64", base64)
    words, counts = dictionary_of(checks.readable_file("path", path))
    listed = implementation("words", "decode")(*words)
    if base64:
        listed = [_from_base64(word, path) for word in listed]
    return Lexicon._found(dict(zip(listed, counts.tolist(), strict=True)), {})


def _from_base64(word: str, path: Any) -> bytes:
    try:
        return b64decode(word, validate=True)
    except ValueError:
        raise ValueError(f"path must hold words in base64; got {word[:40]!r} in '{path}'") from None


def dictionary_of(path: Path) -> tuple[Words, NDArray[np.int64]]:
    """Return the words and counts of a file's lines, in their order, or raise what is wrong with them."""
    data = content(path, "path")
    words, counts, line, byte = implementation("words", "parse_lexicon")(data)
    if byte >= 0:
        raise bad_byte(data[byte], byte, path, "path")
    if line:
        shown = data.split(b"\n")[line - 1].decode("utf-8", "replace").strip()
        raise ValueError(f"path must hold lines 'word count'; got {shown[:40]!r} in line {line} of '{path}'")
    return words, counts
