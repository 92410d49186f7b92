from __future__ import annotations

import typing

import numpy
import numpy.typing

class Tokenizer:
    """
    Text to word numbers, in the order in which words first come.
    """
    def __init__(self) -> None: ...
    def add_document(self, text: str) -> None:
        """
        Take a document that is a string.
        """
    def add_tokens(self, tokens: list[typing.Any]) -> None:
        """
        Take a document that is a list[typing.Any] of strings.
        """
    def feed(self, data: bytes) -> typing.Any:
        """
        Take the next bytes of a file; None, or (offset, value) of a byte that is not UTF-8.
        """
    def finish(self) -> typing.Any:
        """
        End a file; as feed.
        """
    def take_numbers(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        The numbers of all tokens since the last call, -1 after each line.
        """
    def words(self) -> list[str]:
        """
        The words by number.
        """

def pairs(
    ids: numpy.typing.NDArray[numpy.int64],
    vocabulary_size: typing.SupportsInt | typing.SupportsIndex,
    window: typing.SupportsInt | typing.SupportsIndex,
    weighting: str,
    direction: str,
) -> tuple[typing.Any, ...]:
    """
    Counts of ordered pairs as (indptr, indices, data), columns of each row in order.
    """

@typing.overload
def pmi(
    matrix: tuple[
        numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int64]
    ],
    counts: numpy.typing.NDArray[numpy.int64] | None,
    positive: bool,
    shift: typing.SupportsFloat | typing.SupportsIndex,
    smoothing: typing.SupportsFloat | typing.SupportsIndex,
    normalized: bool,
) -> tuple[typing.Any, ...]:
    """
    PMI of a matrix of counts, both as (indptr, indices, data).
    """

@typing.overload
def pmi(
    matrix: tuple[
        numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.float64]
    ],
    counts: numpy.typing.NDArray[numpy.int64] | None,
    positive: bool,
    shift: typing.SupportsFloat | typing.SupportsIndex,
    smoothing: typing.SupportsFloat | typing.SupportsIndex,
    normalized: bool,
) -> tuple[typing.Any, ...]:
    """
    PMI of a matrix of counts, both as (indptr, indices, data).
    """

@typing.overload
def pmi(
    matrix: tuple[
        numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]
    ],
    counts: numpy.typing.NDArray[numpy.int64] | None,
    positive: bool,
    shift: typing.SupportsFloat | typing.SupportsIndex,
    smoothing: typing.SupportsFloat | typing.SupportsIndex,
    normalized: bool,
) -> tuple[typing.Any, ...]:
    """
    PMI of a matrix of counts, both as (indptr, indices, data).
    """

@typing.overload
def pmi(
    matrix: tuple[
        numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]
    ],
    counts: numpy.typing.NDArray[numpy.int64] | None,
    positive: bool,
    shift: typing.SupportsFloat | typing.SupportsIndex,
    smoothing: typing.SupportsFloat | typing.SupportsIndex,
    normalized: bool,
) -> tuple[typing.Any, ...]:
    """
    PMI of a matrix of counts, both as (indptr, indices, data).
    """

def train_pmi(
    rows: numpy.typing.NDArray[numpy.int64],
    columns: numpy.typing.NDArray[numpy.int64],
    values: numpy.typing.NDArray[numpy.float64],
    weights: numpy.typing.NDArray[numpy.float64],
    vectors: numpy.typing.NDArray[numpy.float64],
    contexts: numpy.typing.NDArray[numpy.float64] | None,
    epochs: typing.SupportsInt | typing.SupportsIndex,
    eta: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    AdaGrad on the records in their order; vectors, contexts, and the cost of each epoch.
    """
