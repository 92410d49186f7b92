from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class Utf8Runs:
    """
    Bytes of UTF-8 to runs of accepted code points.
    """
    def __init__(self, accepted: numpy.typing.NDArray[numpy.uint8], join: bool, as_bytes: bool) -> None: ...
    def __len__(self) -> int: ...
    def append(self, other: Utf8Runs) -> None:
        """
        Add what another has read, behind a break.
        """
    def end_of_file(self) -> int:
        """
        End a file; the offset of its first bad byte, or -1.
        """
    def feed(self, data: bytes) -> int:
        """
        Read a chunk; the offset of the file's first bad byte, or -1.
        """
    def take_all(self) -> numpy.typing.NDArray[numpy.uint32]:
        """
        All code points.
        """
    def take_runs(self) -> numpy.typing.NDArray[numpy.uint32]:
        """
        The code points up to the last break.
        """

class Segmenter:
    """
    Words with their scores, ready to cut.
    """
    def __init__(
        self,
        words: tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
            typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ],
        edges: numpy.typing.NDArray[numpy.float64],
        ids: numpy.typing.NDArray[numpy.int32],
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

def build_trie(
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int32], bool]:
    """
    The words as a trie: its edges, the word that ends at each, and whether one is repeated.
    """

def cohesion(
    tables: collections.abc.Sequence[
        tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
            typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ]
    ],
    total: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Least ratio over all splits of each n-gram of one order.
    """

def count_ngrams(
    codes: numpy.typing.NDArray[numpy.uint32],
    max_order: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    report: typing.Any,
) -> tuple[typing.Any, ...]:
    """
    Tables (grams (G, n), counts) of the orders 1 .. max_order, and the total of 1-grams.
    """

def count_with_entropies(
    codes: numpy.typing.NDArray[numpy.uint32],
    max_order: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    report: typing.Any,
) -> tuple[typing.Any, ...]:
    """
    The same, and the entropies left and right of each n-gram by order.
    """

def entropies_of_runs(
    runs: collections.abc.Sequence[typing.Any],
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Entropies of the words' neighbours, from runs of neighbours.
    """

def kept_ngrams(
    tables: collections.abc.Sequence[
        tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
            typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ]
    ],
    total: typing.SupportsInt | typing.SupportsIndex,
    min_ratio: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
    above: bool,
) -> tuple[typing.Any, ...]:
    """
    n-grams whose least ratio is at least (or above) the bound of their length.
    """

def kept_pairs(
    tables: collections.abc.Sequence[
        tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
            typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ]
    ],
    min_proba: typing.SupportsFloat | typing.SupportsIndex,
    min_pmi: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Pairs of probability and PMI above the bounds.
    """

def merge_runs(runs: collections.abc.Sequence[typing.Any], path: typing.Any) -> typing.Any:
    """
    One run of several.
    """

def neighbor_entropy(
    codes: numpy.typing.NDArray[numpy.uint32],
    grams: collections.abc.Sequence[typing.Annotated[numpy.typing.ArrayLike, numpy.uint32]],
    threads: typing.SupportsInt | typing.SupportsIndex,
) -> list[tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]]:
    """
    Entropies of the characters left and right of each gram, for arrays of sorted (G, n) grams.
    """

def neighbor_run(
    codes: numpy.typing.NDArray[numpy.uint32],
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    left: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
    report: typing.Any,
    path: typing.Any,
) -> typing.Any:
    """
    The characters beside each word, with their counts, as a sorted run.
    """

def ngram_run(
    codes: numpy.typing.NDArray[numpy.uint32],
    order: typing.SupportsInt | typing.SupportsIndex,
    kenlm: bool,
    threads: typing.SupportsInt | typing.SupportsIndex,
    report: typing.Any,
    path: typing.Any,
) -> typing.Any:
    """
    The n-grams of one order, and those that a run's end cuts off, with their counts, as a sorted run.
    """

def parse_lexicon(data: bytes) -> tuple[typing.Any, numpy.typing.NDArray[numpy.int64], int, int]:
    """
    Words and counts of lines 'word count …', and the first line and the first byte that are wrong.
    """

def run_of_words(
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
) -> typing.Any:
    """
    A run of words in order of code points.
    """

def segment_run(
    codes: numpy.typing.NDArray[numpy.uint32],
    kept: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    known: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    check: str,
    max_length: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    report: typing.Any,
    path: typing.Any,
) -> typing.Any:
    """
    The segments of a corpus that pass the check back, with their counts, as a sorted run.
    """

def tables_of_runs(
    runs: collections.abc.Sequence[typing.Any],
    max_order: typing.SupportsInt | typing.SupportsIndex,
    min_count: typing.SupportsInt | typing.SupportsIndex,
    kenlm: bool,
) -> tuple[typing.Any, ...]:
    """
    The tables and the total that count_ngrams gives, from runs of n-grams.
    """

def without_redundant(
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
    counts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    threshold: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    The lexicon without the words that their parts explain.
    """

def word_ratios(
    tables: collections.abc.Sequence[
        tuple[
            typing.Annotated[numpy.typing.ArrayLike, numpy.uint32],
            typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        ]
    ],
    total: typing.SupportsInt | typing.SupportsIndex,
    words: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
) -> tuple[typing.Any, ...]:
    """
    Counts of words and their least ratios.
    """

def words_of_runs(
    runs: collections.abc.Sequence[typing.Any],
    min_count: typing.SupportsInt | typing.SupportsIndex,
    known: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.uint32], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ],
) -> tuple[typing.Any, ...]:
    """
    Frequent and known segments in order of code points, their counts, and the total of all.
    """
