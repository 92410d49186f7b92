from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class FloatTrainer:
    """
    AdaGrad on pairs of words, in tasks that share no word in a round.
    """
    def __init__(
        self,
        rows: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        columns: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        order: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        tasks: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        rounds: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        vectors: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        contexts: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
        eta: typing.SupportsFloat | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def epoch(self, progress: typing.Any) -> float:
        """
        Visit all pairs once; their cost.
        """
    def vectors(self, contexts: bool) -> numpy.typing.NDArray[numpy.float32]:
        """
        The vectors of the words, or as contexts.
        """

class DoubleTrainer:
    """
    AdaGrad on pairs of words, in tasks that share no word in a round.
    """
    def __init__(
        self,
        rows: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        columns: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        order: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        tasks: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        rounds: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        vectors: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
        contexts: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
        eta: typing.SupportsFloat | typing.SupportsIndex,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def epoch(self, progress: typing.Any) -> float:
        """
        Visit all pairs once; their cost.
        """
    def vectors(self, contexts: bool) -> numpy.typing.NDArray[numpy.float64]:
        """
        The vectors of the words, or as contexts.
        """

class Tokenizer:
    """
    Text to word numbers, in the order in which words first come.
    """
    def __init__(self, threads: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def add_document(self, text: str) -> None:
        """
        Take a document that is a string.
        """
    def add_tokens(self, tokens: list[typing.Any]) -> None:
        """
        Take a document that is a list of strings.
        """
    def begin(self, offset: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Begin a file, or a part of it from a byte on.
        """
    def counts(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        How often each word has come.
        """
    def feed(self, data: bytes) -> typing.Any:
        """
        Take the next bytes of a file; None, or (offset, value) of a byte that is not UTF-8.
        """
    def finish(self) -> typing.Any:
        """
        End a file; as feed.
        """
    def take_numbers(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        The numbers of all tokens since the last call, -1 after each line.
        """
    def words(self, numbers: typing.Annotated[numpy.typing.ArrayLike, numpy.int64]) -> list[str]:
        """
        The words with these numbers.
        """

class PairCounter:
    """
    A stretch of the corpus; its pairs as runs of rows.
    """
    def __init__(
        self,
        numbers: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.int32]],
        rank: typing.Annotated[numpy.typing.ArrayLike, numpy.int32] | None,
        vocabulary_size: typing.SupportsInt | typing.SupportsIndex,
        window: typing.SupportsInt | typing.SupportsIndex,
        weighting: str,
        direction: str,
        threads: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def count(
        self,
        begin: typing.SupportsInt | typing.SupportsIndex,
        end: typing.SupportsInt | typing.SupportsIndex,
        progress: typing.Any,
    ) -> list[numpy.typing.NDArray[numpy.uint8]]:
        """
        The rows of groups begin .. end as a run.
        """
    @property
    def groups(self) -> int: ...
    @property
    def tokens(self) -> int: ...

class Merger:
    """
    The sum of runs, in memory or files, less runs in memory.
    """
    def __init__(
        self,
        runs: collections.abc.Sequence[
            collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]] | str
        ],
        minus: collections.abc.Sequence[
            collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]]
        ],
        vocabulary_size: typing.SupportsInt | typing.SupportsIndex,
        window: typing.SupportsInt | typing.SupportsIndex,
        weighting: str,
    ) -> None: ...
    def take(self, size: typing.SupportsInt | typing.SupportsIndex) -> typing.Any:
        """
        The next rows as a run of about so many bytes; None at the end.
        """

def cells_of(part: numpy.typing.NDArray[numpy.uint8]) -> int:
    """
    The number of cells in a part of a run.
    """

def decoded(
    run: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]],
    window: typing.SupportsInt | typing.SupportsIndex,
    weighting: str,
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    A run as (rows, cells of each, columns, values).
    """

def multiplied_doubles(
    indptr: numpy.typing.NDArray[numpy.int32],
    indices: numpy.typing.NDArray[numpy.int32],
    data: numpy.typing.NDArray[numpy.float64],
    dense: numpy.typing.NDArray[numpy.float64],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    A matrix in rows times a dense one.
    """

def multiplied_floats(
    indptr: numpy.typing.NDArray[numpy.int32],
    indices: numpy.typing.NDArray[numpy.int32],
    data: numpy.typing.NDArray[numpy.float32],
    dense: numpy.typing.NDArray[numpy.float32],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    A matrix in rows times a dense one.
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
    threads: typing.SupportsInt | typing.SupportsIndex,
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
    threads: typing.SupportsInt | typing.SupportsIndex,
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
    threads: typing.SupportsInt | typing.SupportsIndex,
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
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    PMI of a matrix of counts, both as (indptr, indices, data).
    """
