"""Corpora as arrays of code points."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.corpus import bad_byte, chunks
from kxfast.dispatch import implementation
from kxfast.shards import Documents, Lines, shards
from kxfast.threads import shared

MAX_ORDER = 8
CHARACTERS = {
    "chinese": ("\u4e00-\u9fa5", "0-9", "A-Z", "a-z"),  # what the published variants keep
    "letters": (),  # letters, marks and numbers of all scripts, by their Unicode category
    "bytes": ("\1-\t", "\x0b-\f", "\x0e-\xff"),  # of UTF-8, each as a code point; none where a line ends
}

Codes = NDArray[np.uint32]
Words = tuple[Codes, NDArray[np.int64]]  # code points one word after another; where each begins, and the end
NO_WORDS: Words = (np.empty(0, np.uint32), np.zeros(1, np.int64))
Piece = Lines | Documents


def pieces_of(corpus: Any, size: int) -> Iterator[Piece]:
    """Divide a corpus of strings; a str with a line feed in it is a text, any other is a path."""
    if isinstance(corpus, str) and "\n" in corpus:
        corpus = [corpus]
    if isinstance(corpus, (list, tuple)):
        for each in corpus:
            _checked(each)
    return shards(corpus, size)


def _checked(each: Any) -> Any:
    if not isinstance(each, (str, os.PathLike)):
        raise TypeError(f"corpus must hold paths or strings; got {type(each).__name__}")
    return each


def character_ranges(characters: str | Sequence[str]) -> tuple[str, ...] | str:
    """Check the argument `characters`: a name, or characters and ranges such as ``"a-z"``."""
    if isinstance(characters, str):
        return checks.choice("characters", characters, tuple(CHARACTERS))
    if not isinstance(characters, Sequence) or not characters:
        raise TypeError(f"characters must be a name or a sequence of str; got {type(characters).__name__}")
    for each in characters:
        if not isinstance(each, str) or not (
            len(each) == 1 or (len(each) == 3 and each[1] == "-" and each[0] <= each[2])
        ):
            raise ValueError(f"characters must hold single characters and ranges such as 'a-z'; got {each!r}")
        if ord(each[0]) <= 0x20:
            raise ValueError(f"characters must be above U+0020; got {each!r}")
    return tuple(characters)


@lru_cache(maxsize=8)
def accepted(characters: tuple[str, ...] | str) -> NDArray[np.uint8]:
    """Return for each code point whether it belongs to runs."""
    if characters == "letters":
        kinds = (unicodedata.category(chr(code))[0] in "LMN" for code in range(0x110000))
        return np.fromiter(kinds, np.uint8, 0x110000)
    table = np.zeros(0x110000, np.uint8)
    for each in CHARACTERS[characters] if isinstance(characters, str) else characters:
        table[ord(each[0]) : ord(each[-1]) + 1] = 1
    return table


def written(text: str | bytes) -> str:
    """Return bytes, or those of a text in UTF-8, as a string with a character for each, as the backends have them."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return data.decode("latin-1")


def shown(words: list[str], as_bytes: bool) -> list[Any]:
    """Return words as users have them: bytes where bytes were counted."""
    return [word.encode("latin-1") for word in words] if as_bytes else words


def encode_words(words: Sequence[str], backend: str | None) -> Words:
    """Return words as code points and offsets."""
    codes: Codes = implementation("words", "code_points", backend)("".join(words))
    return codes, offsets_of(words)


def offsets_of(strings: Sequence[str]) -> NDArray[np.int64]:
    """Return where each of the strings begins when they are joined, and the end."""
    offsets = np.zeros(len(strings) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, strings), np.int64, len(strings)), out=offsets[1:])
    return offsets


@dataclass(frozen=True)
class Reading:
    """How text becomes runs: sent to other processes with the pieces they read.

    With `join` the runs of a document are joined, and 0 stands between documents only.
    """

    characters: tuple[str, ...] | str
    join: bool
    errors: str
    backend: str | None

    @property
    def as_bytes(self) -> bool:
        """Whether bytes are counted, and words are bytes."""
        return self.characters == "bytes"

    def whole(self, pieces: Iterable[Piece], step: Any = None) -> Codes:
        """Return the runs of all pieces, with 0 between them."""
        blocks = list(self.blocks(pieces, None, step))
        if len(blocks) == 1:
            return blocks[0]
        gap = np.zeros(1, np.uint32)
        parted = [part for block in blocks if len(block) for part in (gap, block)]
        return np.concatenate(parted[1:]) if parted else np.empty(0, np.uint32)

    def together(self, pieces: Sequence[Lines], step: Any, threads: int) -> Codes:
        """Return what `whole` does, from pieces of files that are read on several threads."""
        amounts: deque[int] = deque()  # of bytes read: `step` is called by this thread alone
        ended = Event()

        def read(part: Sequence[Lines]) -> Any:
            reader = self._reader()
            for piece in part:
                for data in self._fed(reader, piece):
                    amounts.append(len(data))
                    if ended.is_set():
                        return reader
            return reader

        def tell() -> None:
            while step and amounts:
                step(amounts.popleft())

        bounds = [len(pieces) * part // threads for part in range(threads + 1)]
        parts = [pieces[a:b] for a, b in pairwise(bounds)]
        first, *others = shared(read, parts, threads, meanwhile=tell, interrupted=ended.set)
        for other in others:
            first.append(other)
        codes: Codes = first.take_all()
        return codes

    def _reader(self) -> Any:
        return implementation("words", "Utf8Runs", self.backend)(accepted(self.characters), self.join, self.as_bytes)

    def blocks(self, pieces: Iterable[Piece], size: int | None, step: Any = None) -> Iterator[Codes]:
        """Yield the runs in blocks of about `size` characters; `step(n)` hears of n bytes or characters read."""
        table = accepted(self.characters)
        reader = self._reader()
        runs = implementation("words", "runs", self.backend)
        for piece in pieces:
            if isinstance(piece, Documents):
                if len(reader):
                    yield reader.take_all()
                members = [_checked(each) for each in piece.members]
                if self.as_bytes:
                    members = [written(each) for each in members]
                yield runs(members, self.join, table)
                if step:
                    step(sum(map(len, members)))
                continue
            for data in self._fed(reader, piece):
                if step:
                    step(len(data))
                if size and len(reader) >= size:
                    yield reader.take_runs()
        if len(reader):
            yield reader.take_all()

    def _fed(self, reader: Any, piece: Lines) -> Iterator[bytes]:
        before = b""
        offset = 0
        for data in chunks(piece.path, "corpus", piece.start, piece.stop):
            self._refuse(reader.feed(data), before + data, offset - len(before), piece)
            offset += len(data)
            before = data[-4:]
            yield data
        self._refuse(reader.end_of_file(), before, offset - len(before), piece)

    def _refuse(self, bad: int, data: bytes, offset: int, piece: Lines) -> None:
        if bad >= 0 and self.errors == "strict":
            raise bad_byte(data[bad - offset], piece.start + bad, piece.path, "corpus")
