"""Pointwise mutual information of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.count import as_matrix
from kxfast.cooccurrence.matrix import Cooccurrence
from kxfast.dispatch import implementation


def checked(value: Any) -> Cooccurrence:
    """Return `value` if it is a Cooccurrence."""
    if not isinstance(value, Cooccurrence):
        raise TypeError(f"co must be a Cooccurrence, as count returns it; got {type(value).__name__}")
    return value


def pmi(
    co: Cooccurrence,
    *,
    positive: bool = False,
    shift: float = 0.0,
    smoothing: float = 1.0,
    normalized: bool = False,
    marginals: str = "corpus",
    threads: int | None = None,
    backend: str | None = None,
) -> Any:
    """Return the pointwise mutual information of each pair of different words that was seen.

    ``PMI(i, j) = ln P(i, j) - ln P(i) - ln P(j)``. Pairs that were never seen, and those of a word with itself, have
    no value and are not stored.

    Parameters
    ----------
    co : Cooccurrence
    positive : bool
        Keep only values above 0 (PPMI).
    shift : float
        Subtracted from each value: ln k for k negative samples.
    smoothing : float
        The second word's counts are raised to this power; 0.75 is common.
    normalized : bool
        Divide by ``-ln P(i, j)``, so that the largest value is 1 (NPMI); before the shift.
    marginals : {"corpus", "rows"}
        "corpus": ``P(i) = c_i / N`` of the tokens, and P(i, j) of pairs of different words. "rows": P(i) and P(j) from
        the sums of the rows and columns of all counts, the diagonal among them.
    threads : int, optional
        By default those of `kxfast.get_num_threads`.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    scipy.sparse.csr_array, shape (V, V), float64
        In natural logarithms.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a word of a pair has the count 0.

    Notes
    -----
    Sources: article 4667 and following of kexue.fm; Levy and Goldberg 2014 (shift); Bouma 2009 (normalised).

    Examples
    --------
    >>> import kxfast as kx
    >>> found = kx.cooccurrence.count(["a b a c", "b c d b", "a b"], window=1, min_count=2)
    >>> round(float(kx.cooccurrence.pmi(found)[0, 1]), 9)
    0.523248144

    """
    co = checked(co)
    positive, normalized = checks.boolean("positive", positive), checks.boolean("normalized", normalized)
    shift, smoothing = checks.number("shift", shift), checks.number("smoothing", smoothing, low=0)
    checks.choice("marginals", marginals, ("corpus", "rows"))
    workers = checks.threads(threads)
    matrix, counts = co.matrix, co.vocabulary.counts
    if marginals == "corpus":
        used = np.diff(matrix.indptr) > 0
        used[matrix.indices] = True
        wrong = np.flatnonzero(used & (counts == 0))
        if len(wrong):
            word = co.vocabulary.words[wrong[0]]
            raise ValueError(f"co must have counts above 0 for words in pairs; got 0 for {word!r}")
    run = implementation("cooccurrence", "pmi", backend)
    plain = matrix.indptr, matrix.indices, matrix.data
    chosen = counts if marginals == "corpus" else None
    return as_matrix(run(plain, chosen, positive, shift, smoothing, normalized, workers))
