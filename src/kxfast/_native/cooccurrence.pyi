from __future__ import annotations

import typing

import numpy
import numpy.typing

class Tokenizer:
    """
    Text to word numbers, in the order in which words first come.
    """
    def __init__(self) -> None: ...
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
