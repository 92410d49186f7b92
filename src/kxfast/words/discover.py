"""Unsupervised word discovery."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.words.lexicon import Lexicon
from kxfast.words.text import MAX_ORDER, encode

METHODS = ("cut", "strict", "entropy", "pairs", "minimum_entropy")

# Published ratios of variants B and E0, by length.
_STRICT_RATIOS = (0.0, 5.0, 25.0, 125.0)
_ENTROPY_RATIO = 30.0


def discover(
    corpus: Any,
    *,
    method: str = "cut",
    max_length: int = 4,
    min_count: int = 32,
    min_pmi: float | Sequence[float] | None = None,
    min_entropy: float | None = None,
    min_proba: float = 1e-7,
    redundancy: float | None = None,
    counts: str = "exact",
    errors: str = "strict",
    threads: int | None = None,
    backend: str | None = None,
) -> Lexicon:
    """Find the words of a language in raw text: strings whose characters hold together more than chance would have it.

    Parameters
    ----------
    corpus : path, paths, or iterable of str
        Files (.txt, .gz, .xz, .zst; one document a line) or documents in memory.
    method : {"cut", "strict", "entropy", "pairs", "minimum_entropy"}
        The published variants: ``"cut"`` (2019, C) keeps n-grams by their least PMI, cuts the text where none covers a
        gap and checks the segments back; ``"strict"`` (2017, B) checks every window; ``"entropy"`` (2015, E0) keeps
        n-grams by PMI and neighbour entropy; ``"pairs"`` (2016, A) cuts between weak pairs of characters;
        ``"minimum_entropy"`` (2018, D) does so too and removes words that their parts explain.
    max_length : int
        Longest n-gram that is counted, 2 to 8 (``"pairs"`` and ``"minimum_entropy"`` count pairs only). Words may be
        longer: segments are as long as n-grams overlap.
    min_count : int
        Lowest count of an n-gram and of a word (``"entropy"``: the count must be above it; ``"minimum_entropy"`` uses
        `min_proba` in its place).
    min_pmi : float or sequence of float, optional
        Lowest PMI (nats) of an n-gram by its length 1 .. max_length, or one for all. Default: (0, 2, 4, 6, 8, …) for
        ``"cut"``, the published ratios 5, 25, 125 for ``"strict"`` and 30 for ``"entropy"``, 1 for the others.
    min_entropy : float, optional
        ``"entropy"`` only: both neighbour entropies (nats) must be above it; default 3.
    min_proba : float
        ``"minimum_entropy"`` only: lowest probability of a pair and of a word.
    redundancy : float, optional
        ``"minimum_entropy"`` only: a word stays if its information exceeds its parts' by this; default its length - 1.
    counts : {"exact", "kenlm"}
        ``"kenlm"`` (method ``"cut"`` only) reproduces the biased counts of the original pipeline.
    errors : {"strict", "replace"}
        What to do with bytes that are not UTF-8.
    threads : int, optional
        Number of threads; all by default. The lexicon does not depend on it.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Lexicon
        Words by falling count, then by string.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If an argument is wrong, a file is missing, or its bytes are not UTF-8.

    Notes
    -----
    Source: articles 3491, 3913, 4256, 5476 and 6920 of kexue.fm and their code.

    Examples
    --------
    >>> import kxfast as kx
    >>> lines = ["abcab", "abxab", "xyzab", "abcxyz", "zabc"]
    >>> dict(kx.words.discover(lines, max_length=3, min_count=1, min_pmi=(0, .5, 1)))
    {'ab': 1, 'abc': 1, 'abcxyz': 1}

    """
    checks.choice("method", method, METHODS)
    checks.choice("counts", counts, ("exact", "kenlm"))
    max_length = checks.integer("max_length", max_length, 2, MAX_ORDER)
    min_count = checks.integer("min_count", min_count, 1)
    limit = checks.threads(threads)
    if counts == "kenlm" and method != "cut":
        raise ValueError(f"counts must be 'exact' for method={method!r}; got 'kenlm'")
    if min_entropy is not None and method != "entropy":
        raise ValueError(f"min_entropy must be None for method={method!r}; got {min_entropy!r}")
    bounds: tuple[Any, ...]
    if method in ("pairs", "minimum_entropy"):
        pmi = checks.number("min_pmi", 1.0 if min_pmi is None else min_pmi)
        if method == "pairs":
            bounds = (min_count, pmi)
        else:
            wanted = None if redundancy is None else checks.number("redundancy", redundancy)
            bounds = (checks.number("min_proba", min_proba, 0, 1), pmi, wanted)
    else:
        bounds = (max_length, min_count, _ratios(method, min_pmi, max_length))
        if method == "entropy":
            bounds += (checks.number("min_entropy", 3.0 if min_entropy is None else min_entropy, 0),)
        else:
            bounds += (limit,)
    name = f"discover_{method}" + ("_kenlm" if counts == "kenlm" else "")
    codes = encode(corpus, errors, backend, join=method == "entropy")
    found, offsets, frequencies = implementation("words", name, backend)(codes, *bounds)
    words = implementation("words", "decode", backend)(found, offsets)
    return Lexicon(dict(zip(words, frequencies.tolist(), strict=True)))


def _ratios(method: str, min_pmi: float | Sequence[float] | None, max_length: int) -> tuple[float, ...]:
    """Return the least ratio N c(w) / (c(left) c(right)) by length."""
    if min_pmi is None:
        if method == "entropy":
            return (_ENTROPY_RATIO,) * max_length
        if method == "strict":
            return tuple([*_STRICT_RATIOS, *(5.0**n for n in range(4, max_length))][:max_length])
        min_pmi = [2.0 * n for n in range(max_length)]
    if isinstance(min_pmi, str) or not isinstance(min_pmi, Sequence):
        return (exp(checks.number("min_pmi", min_pmi)),) * max_length
    if len(min_pmi) < max_length:
        raise ValueError(f"min_pmi must have a value for each length up to max_length={max_length}; got {len(min_pmi)}")
    return tuple(exp(checks.number("min_pmi", each)) for each in min_pmi[:max_length])
