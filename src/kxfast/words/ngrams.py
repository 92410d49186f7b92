"""Counts of character n-grams, with cohesion and neighbour entropy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.files import scratch_folder
from kxfast.words.collect import Corpus, subfolder
from kxfast.words.text import MAX_ORDER, NO_WORDS, Reading, Words, character_ranges, shown, written

Table = tuple[NDArray[np.uint32], NDArray[np.int64]]
Sides = tuple[NDArray[np.float64], NDArray[np.float64]]  # entropies left and right


class NGrams:
    """Counts of the n-grams of a corpus, as `count_ngrams` returns them.

    ``ng["的"]`` is a count (0 for what was not seen or fell below `min_count`), ``len(ng)`` the number of n-grams
    kept, and ``a + b`` the counts of both corpora. No Python object is made for an n-gram before it is asked for.

    Attributes
    ----------
    max_order : int
        The longest n.
    min_count : int
        The lowest count that was kept.
    total : int
        N of the definitions: the sum of the kept 1-grams' counts (for ``counts="kenlm"`` that of the kept rows).

    """

    def __init__(
        self,
        tables: list[Table],
        total: int,
        min_count: int,
        backend: str | None,
        corpora: list[Corpus],
        entropies: Sequence[Sides] = (),
    ) -> None:
        self._tables, self._backend, self._corpora = tables, backend, corpora
        self.total, self.min_count = total, min_count
        self.max_order = len(tables)
        self._entropies = entropies

    def __len__(self) -> int:
        """Return the number of n-grams."""
        return sum(len(counts) for _, counts in self._tables)

    @property
    def as_bytes(self) -> bool:
        """Whether the n-grams are of bytes."""
        return self._corpora[0].reading.as_bytes

    def __getitem__(self, gram: str | bytes) -> int:
        """Return the count of one n-gram."""
        kind = bytes if self.as_bytes else str
        if not isinstance(gram, kind) or not 1 <= len(gram) <= self.max_order:
            raise KeyError(f"gram must be {kind.__name__} of 1 to {self.max_order} characters; got {gram!r}")
        gram = written(gram) if isinstance(gram, bytes) else gram
        grams, counts = self._tables[len(gram) - 1]
        low, high = 0, len(counts)
        for place, character in enumerate(gram):  # the rows that begin like the n-gram
            column = grams[low:high, place]
            code = np.uint32(ord(character))
            first, end = np.searchsorted(column, code), np.searchsorted(column, code, "right")
            low, high = low + int(first), low + int(end)
        return int(counts[low]) if low < high else 0

    def __add__(self, other: NGrams) -> NGrams:
        """Return the counts of both corpora together; both must hold all counts (``min_count=1``)."""
        if not isinstance(other, NGrams):
            return NotImplemented
        for each in (self, other):
            if each.min_count != 1:
                raise ValueError(f"n-grams that are added must be counted with min_count=1; got {each.min_count}")
        if other.max_order != self.max_order:
            raise ValueError(
                f"n-grams that are added must have one max_order; got {self.max_order} and {other.max_order}"
            )
        stage = partial(implementation, "words", backend=self._backend)
        if other.as_bytes != self.as_bytes:
            raise ValueError("n-grams that are added must be of characters, or of bytes; got one of each")
        tables = []
        for n, pair in enumerate(zip(self._tables, other._tables, strict=True), 1):
            runs = [stage("run_of_words")(_as_words(grams), counts) for grams, counts in pair]
            codes, _, counts, _ = stage("words_of_runs")(runs, 1, NO_WORDS)
            tables.append((codes.reshape(-1, n), counts))
        return NGrams(tables, self.total + other.total, 1, self._backend, self._corpora + other._corpora)

    def ngrams(self, n: int) -> tuple[list[Any], NDArray[np.int64]]:
        """Return the n-grams of one order (str, or bytes), sorted by code points, and their counts."""
        grams, counts = self.tables(n)
        listed: list[str] = implementation("words", "decode", self._backend)(*_as_words(grams))
        return shown(listed, self.as_bytes), counts

    def tables(self, n: int) -> Table:
        """Return the n-grams of one order as code points, shape (G, n), sorted, and their counts, shape (G,)."""
        return self._tables[checks.integer("n", n, 1, self.max_order) - 1]

    def cohesion(self, n: int) -> NDArray[np.float64]:
        """Return the least PMI over all splits of each n-gram of one order (n at least 2), natural logarithm.

        ``min over i of ln( N c(w) / (c(w[:i]) c(w[i:])) )``; a part that was pruned counts N.
        """
        n = checks.integer("n", n, 2, self.max_order)
        ratios = implementation("words", "cohesion", self._backend)(self._tables, self.total, n)
        return cast("NDArray[np.float64]", np.log(ratios))

    def entropies(self, n: int) -> Sides:
        """Return the entropies (nats) of the characters left and right of each n-gram of one order.

        Only occurrences that have both neighbours within their run count. The first call finds those of all orders;
        a corpus that was counted in blocks or shards is read again for each order.
        """
        grams, _ = self.tables(n)
        if len(self._corpora) == 1 and self._corpora[0].in_memory:
            if not self._entropies:
                corpus = self._corpora[0]
                serve = implementation("words", "neighbor_entropy", self._backend)
                self._entropies = serve(corpus.codes(), [each for each, _ in self._tables], corpus.threads)
            left, right = self._entropies[n - 1]
            return left, right
        return word_entropies(self._corpora, _as_words(grams), self._backend)


def _as_words(grams: NDArray[np.uint32]) -> Words:
    return grams.reshape(-1), np.arange(len(grams) + 1, dtype=np.int64) * grams.shape[1]


def word_entropies(corpora: list[Corpus], words: Words, backend: str | None) -> Sides:
    """Return the entropies left and right of words in order of code points."""
    sides = []
    for left in (True, False):
        with scratch_folder() as folder:
            runs = [
                run
                for number, corpus in enumerate(corpora)
                for run in corpus.runs("neighbor_run", words, left, folder=subfolder(folder, number))
            ]
            sides.append(implementation("words", "entropies_of_runs", backend)(runs, words))
    return sides[0], sides[1]


def counted(corpus: Corpus, max_order: int, min_count: int, kenlm: bool, folder: Path) -> tuple[list[Table], int]:
    """Count the n-grams of a corpus: the tables of all orders, and the total."""
    backend = corpus.reading.backend
    tables: list[Table]
    if corpus.in_memory and not kenlm:
        count = implementation("words", "count_ngrams", backend)
        tables, total = count(corpus.codes(), max_order, min_count, corpus.threads, corpus.report())
        return tables, total
    runs = corpus.runs("ngram_run", max_order, kenlm, folder=folder)
    tables, total = implementation("words", "tables_of_runs", backend)(runs, max_order, min_count, kenlm)
    return tables, total


def count_ngrams(
    corpus: Any,
    *,
    max_order: int = 4,
    min_count: int = 1,
    counts: str = "exact",
    entropies: bool = False,
    characters: str | Sequence[str] = "chinese",
    errors: str = "strict",
    memory_limit: int | None = None,
    threads: int | None = None,
    executor: Any = None,
    progress: bool | Callable[..., Any] = False,
    backend: str | None = None,
) -> NGrams:
    """Count every n-gram of characters, n = 1 .. `max_order`, within runs of Chinese characters, digits and letters.

    Parameters
    ----------
    corpus : path, paths, or iterable of str
        Files (.txt, .gz, .xz, .zst; one document a line) or documents in memory; a str that holds a line feed is a
        text, any other str is a path.
    max_order : int
        The longest n, 1 to 8.
    min_count : int
        n-grams with lower counts are left out.
    counts : {"exact", "kenlm"}
        ``"kenlm"`` gives the counts of the original pipeline: padded lines, rare rows dropped before shorter n-grams
        are summed from their prefixes.
    entropies : bool
        Whether ``entropies(n)`` will be asked for: with exact counts in memory they are then found by the sort that
        counts, in less time. They may be asked for whatever this says.
    characters : {"chinese", "letters", "bytes"} or sequence of str
        What runs consist of; everything else ends a run. ``"chinese"``: U+4E00 to U+9FA5, digits and Latin letters;
        ``"letters"``: letters, marks and numbers of all scripts; or characters and ranges such as ``["ก-๛", "0-9"]``.
        ``"bytes"``: the bytes of the text's UTF-8 (of files any bytes) but 0 and line ends; n-grams are then ``bytes``.
    errors : {"strict", "replace"}
        What to do with bytes that are not UTF-8.
    memory_limit : int, optional
        Bytes (at least 32 MiB) that the work may take, the result apart: the corpus is read in blocks, whose sorted
        counts wait in files below ``TMPDIR`` to be merged. A line longer than a block is not divided.
    threads : int, optional
        Number of threads; all by default, one in each worker of an executor.
    executor : concurrent.futures.Executor, optional
        Counts shards of the corpus in its workers (processes, Dask, MPI); the counts are the same.
    progress : bool or callable
        ``True`` shows a bar; a callable is called with (done, total, "B") now and then.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    NGrams

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument is wrong, a file is missing, or its bytes are not UTF-8.

    Notes
    -----
    Source: articles 3491 and 6920 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> ng = kx.words.count_ngrams(["abcab", "abxab"], max_order=2)
    >>> ng["ab"], ng["zz"], ng.total
    (4, 0, 10)
    >>> ng.ngrams(1)[0]
    ['a', 'b', 'c', 'x']

    """
    max_order = checks.integer("max_order", max_order, 1, MAX_ORDER)
    min_count = checks.integer("min_count", min_count, 1)
    kenlm = checks.choice("counts", counts, ("exact", "kenlm")) == "kenlm"
    reading = Reading(character_ranges(characters), False, errors, backend)
    source = Corpus(corpus, reading, checks.threads(threads), memory_limit, executor, progress)
    together = checks.boolean("entropies", entropies) and source.in_memory and not kenlm
    source.expect(2 if source.in_memory else 1)
    sides: list[Sides] = []
    if together:
        serve = implementation("words", "count_with_entropies", backend)
        tables, total, sides = serve(source.codes(), max_order, min_count, source.threads, source.report())
    else:
        with scratch_folder() as folder:
            tables, total = counted(source, max_order, min_count, kenlm, folder)
    source.finish()
    return NGrams(tables, total, min_count, backend, [source], sides)
