from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class Segmenter:
    """
    Words with their scores, ready to cut.
    """
    def __init__(
        self,
        codes: numpy.typing.NDArray[numpy.uint32],
        offsets: numpy.typing.NDArray[numpy.int64],
        scores: numpy.typing.NDArray[numpy.float64],
        unknown: typing.SupportsFloat | typing.SupportsIndex,
        tie: str,
        jieba: bool,
    ) -> None: ...
    def sample(
        self,
        codes: numpy.typing.NDArray[numpy.uint32],
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        seed: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.int64]:
        """
        Token ends of a path drawn at random.
        """
    def segment(
        self,
        codes: numpy.typing.NDArray[numpy.uint32],
        offsets: numpy.typing.NDArray[numpy.int64],
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]:
        """
        Token ends, word ids (-1: none) and first tokens of the documents codes[offsets[i] : offsets[i + 1]].
        """

def count_ngrams(
    codes: numpy.typing.NDArray[numpy.uint32],
    max_order: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Tables (grams (G, n), counts) of the orders 1 .. max_order, and the total of 1-grams.
    """

def discover_cut(
    codes: numpy.typing.NDArray[numpy.uint32],
    max_length: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    min_ratio: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Words as codes, offsets and counts.
    """

def discover_strict(
    codes: numpy.typing.NDArray[numpy.uint32],
    max_length: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    min_ratio: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Words as codes, offsets and counts.
    """

def neighbor_entropy(
    codes: numpy.typing.NDArray[numpy.uint32],
    grams: numpy.typing.NDArray[numpy.uint32],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Entropies of the characters left and right of each gram, a row of sorted (G, n) grams.
    """
