"""Counts of character n-grams, with cohesion and neighbour entropy."""

from __future__ import annotations

from functools import cached_property
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.words.text import MAX_ORDER, encode


class NGrams:
    """Counts of the n-grams of a corpus, as `count_ngrams` returns them.

    ``ng["的"]`` is a count (0 for what was not seen or fell below `min_count`), ``len(ng)`` the number of n-grams kept.

    Attributes
    ----------
    max_order : int
        The longest n.
    total : int
        N of the definitions: the sum of the kept 1-grams' counts (for ``counts="kenlm"`` that of the kept rows).

    """

    def __init__(
        self, codes: NDArray[np.uint32], tables: list[tuple[Any, Any]], total: int, threads: int, backend: str | None
    ) -> None:
        self._codes, self._tables, self._threads, self._backend = codes, tables, threads, backend
        self.total = total
        self.max_order = len(tables)

    def __len__(self) -> int:
        """Return the number of n-grams."""
        return sum(len(counts) for _, counts in self._tables)

    def __getitem__(self, gram: str) -> int:
        """Return the count of one n-gram."""
        if not isinstance(gram, str) or not 1 <= len(gram) <= self.max_order:
            raise KeyError(f"gram must be a str of 1 to {self.max_order} characters; got {gram!r}")
        row = self._index[len(gram) - 1].get(gram)
        return 0 if row is None else int(self._tables[len(gram) - 1][1][row])

    def ngrams(self, n: int) -> tuple[list[str], NDArray[np.int64]]:
        """Return the n-grams of one order, sorted by code points, and their counts."""
        n = checks.integer("n", n, 1, self.max_order)
        return list(self._index[n - 1]), self._tables[n - 1][1]

    def cohesion(self, n: int) -> NDArray[np.float64]:
        """Return the least PMI over all splits of each n-gram of one order (n at least 2), natural logarithm.

        ``min over i of ln( N c(w) / (c(w[:i]) c(w[i:])) )``; a part that was pruned counts N.
        """
        n = checks.integer("n", n, 2, self.max_order)
        grams, counts = self.ngrams(n)
        part = [
            [max(self[gram[:i]] or self.total, 1) * (self[gram[i:]] or self.total) for i in range(1, n)]
            for gram in grams
        ]
        return np.array(
            [log(self.total * int(c) / max(products)) for c, products in zip(counts, part, strict=True)], np.float64
        )

    def entropies(self, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the entropies (nats) of the characters left and right of each n-gram of one order.

        Only occurrences that have both neighbours within their run count.
        """
        n = checks.integer("n", n, 1, self.max_order)
        serve = implementation("words", "neighbor_entropy", self._backend)
        left, right = serve(self._codes, self._tables[n - 1][0], self._threads)
        return left, right

    @cached_property
    def _index(self) -> list[dict[str, int]]:
        """Rows by n-gram, made at the first question."""
        decode = implementation("words", "decode", self._backend)
        indexes = []
        for n, (grams, counts) in enumerate(self._tables, 1):
            listed = decode(grams.reshape(-1), np.arange(len(counts) + 1, dtype=np.int64) * n)
            indexes.append({gram: row for row, gram in enumerate(listed)})
        return indexes


def count_ngrams(
    corpus: Any,
    *,
    max_order: int = 4,
    min_count: int = 1,
    counts: str = "exact",
    errors: str = "strict",
    threads: int | None = None,
    backend: str | None = None,
) -> NGrams:
    """Count every n-gram of characters, n = 1 .. `max_order`, within runs of Chinese characters, digits and letters.

    Parameters
    ----------
    corpus : path, paths, or iterable of str
        Files (.txt, .gz, .xz, .zst; one document a line) or documents in memory.
    max_order : int
        The longest n, 1 to 8.
    min_count : int
        n-grams with lower counts are left out.
    counts : {"exact", "kenlm"}
        ``"kenlm"`` gives the counts of the original pipeline: padded lines, rare rows dropped before shorter n-grams
        are summed from their prefixes.
    errors : {"strict", "replace"}
        What to do with bytes that are not UTF-8.
    threads : int, optional
        Number of threads; all by default.
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
    checks.choice("counts", counts, ("exact", "kenlm"))
    limit = checks.threads(threads)
    codes = encode(corpus, errors, backend)
    if counts == "kenlm":
        tables, total = implementation("words", "count_ngrams_kenlm", backend)(codes, max_order, min_count)
    else:
        tables, total = implementation("words", "count_ngrams", backend)(codes, max_order, min_count, limit)
    return NGrams(codes, tables, total, limit, backend)
