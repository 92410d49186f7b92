"""Strings to code points and back.

A corpus is one uint32 array of code points in which 0 stands between runs; a list of words is the array of their code
points one after another with the offsets where each begins, and one more for the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Words = tuple[Codes, NDArray[np.int64]]

RUN = re.compile("[\u4e00-\u9fa50-9a-zA-Z]+")


def code_points(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def decode(codes: Codes, offsets: NDArray[np.int64]) -> list[str]:
    return [text(codes[a:b]) for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def text(codes: Codes) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def runs(documents: Iterable[str], join: bool) -> Codes:
    """Keep the Chinese characters, digits and Latin letters; a 0 for every gap, or only between documents (`join`)."""
    gap = "" if join else "\0"
    found = (gap.join(RUN.findall(document)) for document in documents)
    return code_points("\0".join(run for run in found if run))


def pieces(string: str, ends: NDArray[np.int64], ids: NDArray[np.int64], words: list[str]) -> list[str]:
    return [string[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def encode_words(words: Iterable[str]) -> Words:
    listed = list(words)
    return code_points("".join(listed)), np.cumsum([0, *map(len, listed)], dtype=np.int64)


def ranked(counts: dict[str, int]) -> tuple[Codes, NDArray[np.int64], NDArray[np.int64]]:
    """Return words by falling count, then by string, with their counts."""
    order = sorted(counts, key=lambda word: (-counts[word], word))
    return *encode_words(order), np.array([counts[word] for word in order], np.int64)


def split(codes: Codes) -> list[str]:
    return [run for run in text(codes).split("\0") if run]


Table = tuple[NDArray[Any], NDArray[np.int64]]
