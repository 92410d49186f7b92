"""Strings to code points and back.

A corpus is one uint32 array of code points in which 0 stands between runs; a list of words is the array of their code
points one after another with the offsets where each begins, and one more for the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Words = tuple[Codes, NDArray[np.int64]]


def code_points(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def decode(codes: Codes, offsets: NDArray[np.int64]) -> list[str]:
    return [text(codes[a:b]) for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def text(codes: Codes) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def runs(documents: Iterable[str], join: bool, accepted: NDArray[np.uint8]) -> Codes:
    """Keep the accepted characters; a 0 for every gap, or only between documents (`join`)."""
    found = []
    for document in documents:
        codes = code_points(document)
        inside = accepted[codes].astype(bool)
        gaps = codes[inside] if join else np.where(inside, codes, 0).astype(np.uint32)
        found.append(text(gaps))
    return code_points("\0".join(run for each in found for run in each.split("\0") if run))


class Utf8Runs:
    """Bytes of UTF-8 (or bytes as they are), a chunk at a time, to the runs of their lines."""

    def __init__(self, accepted: NDArray[np.uint8], join: bool, as_bytes: bool) -> None:
        self._accepted, self._join, self._as_bytes = accepted, join, as_bytes
        self._open, self._lines = b"", b""

    def __len__(self) -> int:
        return len(self._lines)

    def feed(self, data: bytes) -> int:
        self._open += data
        bad = self._first_bad()
        return -1 if bad is None or bad.reason == "unexpected end of data" else bad.start

    def _first_bad(self) -> UnicodeDecodeError | None:
        try:
            self._open.decode("latin-1" if self._as_bytes else "utf-8")
        except UnicodeDecodeError as error:
            return error
        return None

    def end_of_file(self) -> int:
        """Return where the first byte of the file that is not UTF-8 is, or -1."""
        bad = self._first_bad()
        self._lines += (self._open if self._as_bytes else self._open.removeprefix(b"\xef\xbb\xbf")) + b"\n"
        self._open = b""
        return -1 if bad is None else bad.start

    def append(self, other: Utf8Runs) -> None:
        self._lines += other._lines

    def take_runs(self) -> Codes:
        return np.empty(0, np.uint32)  # a reference keeps the text until all is read

    def take_all(self) -> Codes:
        text, self._lines = self._lines.decode("latin-1" if self._as_bytes else "utf-8", "replace"), b""
        lines = text.split("\n")
        return runs(lines, self._join, self._accepted)


def pieces(
    string: str,
    ends: NDArray[np.int64],
    ids: NDArray[np.int64],
    first: NDArray[np.int64],
    words: Sequence[str | None],
) -> list[list[str]]:
    parts = [string[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    return [parts[a:b] for a, b in zip(first[:-1], first[1:], strict=True)]


def joined(string: str, ends: NDArray[np.int64], first: NDArray[np.int64], separator: str) -> list[str]:
    return [separator.join(parts) for parts in pieces(string, ends, ends, first, [])]


def parse_lexicon(data: bytes) -> tuple[Words, NDArray[np.int64], int, int]:
    """Return the words and counts of lines 'word count …', and the first line and byte that are wrong (0, -1: none)."""
    words: list[str] = []
    counts: list[int] = []
    bad_line, bad_byte, offset = 0, -1, 0
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        columns = line.split()
        if columns:
            try:
                word = columns[0].decode()
            except UnicodeDecodeError as error:
                bad_byte = data.index(line, offset) + line.index(columns[0]) + error.start
                break
            if len(columns) < 2 or not re.fullmatch(rb"[0-9]{1,18}", columns[1]):
                bad_line = number
                break
            words.append(word)
            counts.append(int(columns[1]))
        offset += len(line) + 1
    return encode_words(words), np.array(counts, np.int64), bad_line, bad_byte


def log_scores(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    log_total = log(int(counts.sum()))
    return np.array([log(count) - log_total for count in counts.tolist()], np.float64), log_total


def encode_words(words: Iterable[str]) -> Words:
    listed = list(words)
    return code_points("".join(listed)), np.cumsum([0, *map(len, listed)], dtype=np.int64)


def split(codes: Codes) -> list[str]:
    return [run for run in text(codes).split("\0") if run]


Table = tuple[NDArray[Any], NDArray[np.int64]]
