"""Unsupervised word discovery."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from math import exp, nan
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.files import scratch_folder
from kxfast.words.collect import Corpus
from kxfast.words.finding import PAIRS, Finding, Rules
from kxfast.words.lexicon import Lexicon, load
from kxfast.words.ngrams import NGrams
from kxfast.words.text import MAX_ORDER, Reading, character_ranges, encode_words, shown, written

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
    include: Any = None,
    exclude: Any = None,
    ngrams: NGrams | None = None,
    report: bool = False,
    characters: str | Sequence[str] = "chinese",
    errors: str = "strict",
    memory_limit: int | None = None,
    threads: int | None = None,
    executor: Any = None,
    progress: bool | Callable[..., Any] = False,
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
    include : iterable of str, or path of a lexicon, optional
        Known words: the text is never cut inside of one, and those that come as a whole segment are words whatever
        their PMI and count (not for ``"entropy"``).
    exclude : iterable of str, or path of a lexicon, optional
        Words that the result leaves out, such as a dictionary's, so that only new words are listed.
    ngrams : NGrams, optional
        Counts to judge by (not for ``counts="kenlm"``), in place of those of `corpus`: with
        ``seen += count_ngrams(new)`` new text is counted alone and judged with all text so far.
    report : bool
        Neighbour entropies of every word for ``to_dataframe``: two more passes over the corpus.
    characters, errors, memory_limit, threads, executor, progress
        See `count_ngrams`. The lexicon does not depend on the last four.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Lexicon
        Words (``bytes`` for ``characters="bytes"``) by falling count, then by string. ``to_dataframe()`` shows each
        one's PMI (nats; the least over its splits, of a word longer than `max_length` that of its weakest window) and,
        with `report`, the entropies (nats) of the characters left and right of it.

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
    kenlm = checks.choice("counts", counts, ("exact", "kenlm")) == "kenlm"
    max_length = checks.integer("max_length", max_length, 2, MAX_ORDER)
    if kenlm and method != "cut":
        raise ValueError(f"counts must be 'exact' for method={method!r}; got 'kenlm'")
    if min_entropy is not None and method != "entropy":
        raise ValueError(f"min_entropy must be None for method={method!r}; got {min_entropy!r}")
    if include is not None and method == "entropy":
        raise ValueError(f"include must be None for method='entropy'; got {type(include).__name__}")
    reading = Reading(character_ranges(characters), method == "entropy", errors, backend)
    entropy = checks.number("min_entropy", 3.0 if min_entropy is None else min_entropy, 0)
    rules = Rules(
        method=method,
        max_length=2 if method in PAIRS else max_length,
        min_count=checks.integer("min_count", min_count, 1),
        ratios=_ratios(method, min_pmi, max_length),
        min_proba=checks.number("min_proba", min_proba, 0, 1),
        min_entropy=entropy,
        redundancy=nan if redundancy is None else checks.number("redundancy", redundancy),
        kenlm=kenlm,
        known=encode_words(_listed("include", include, reading.as_bytes), backend),
    )
    if ngrams is not None:
        _check_ngrams(ngrams, rules, reading.as_bytes)
    unwanted = frozenset(_listed("exclude", exclude, reading.as_bytes))
    wants_report = checks.boolean("report", report)
    source = Corpus(corpus, reading, checks.threads(threads), memory_limit, executor, progress)
    source.expect(source.in_memory + (ngrams is None) + 1 + (method == "entropy") + 2 * wants_report)
    with scratch_folder() as folder:
        finding = Finding(source, rules, folder)
        found, frequencies = finding.words(ngrams)
        words = implementation("words", "decode", backend)(*found)
        if unwanted:
            left = np.array([word not in unwanted for word in words], bool)
            words, frequencies = [word for word in words if word not in unwanted], frequencies[left]
            found = encode_words(words, backend)
        columns = finding.columns(found, wants_report)
    source.finish()
    order = np.argsort(-frequencies, kind="stable")
    words = shown(words, reading.as_bytes)
    chosen = dict(zip((words[row] for row in order), frequencies[order].tolist(), strict=True))
    return Lexicon._found(chosen, {name: column[order] for name, column in columns.items()})


def _listed(name: str, words: Any, as_bytes: bool) -> list[str]:
    if words is None:
        return []
    if isinstance(words, (str, os.PathLike)):
        words = load(words, base64=as_bytes)
    if not isinstance(words, Iterable):
        raise TypeError(f"{name} must be words or the path of a lexicon; got {type(words).__name__}")
    listed = list(words)
    kind = bytes if as_bytes else str
    for word in listed:
        if not isinstance(word, kind) or not word:
            raise ValueError(f"{name} must hold {kind.__name__} that are not empty; got {word!r}")
    return [written(word) for word in listed] if as_bytes else listed


def _check_ngrams(ngrams: Any, rules: Rules, as_bytes: bool) -> None:
    if not isinstance(ngrams, NGrams):
        raise TypeError(f"ngrams must be what count_ngrams returns; got {type(ngrams).__name__}")
    if rules.kenlm:
        raise ValueError("ngrams must be None for counts='kenlm'; got NGrams")
    if ngrams.as_bytes != as_bytes:
        raise ValueError(f"ngrams must be of {'bytes' if as_bytes else 'characters'}, as the corpus is read")
    if ngrams.max_order < rules.max_length:
        raise ValueError(f"ngrams must have orders up to {rules.max_length}; got {ngrams.max_order}")
    if ngrams.min_count > rules.least_count:
        raise ValueError(f"ngrams must be counted with min_count up to {rules.least_count}; got {ngrams.min_count}")


def _ratios(method: str, min_pmi: float | Sequence[float] | None, max_length: int) -> tuple[float, ...]:
    """Return the least ratio N c(w) / (c(left) c(right)) by length; the PMI itself for ``"minimum_entropy"``."""
    if method in PAIRS:
        pmi = checks.number("min_pmi", 1.0 if min_pmi is None else min_pmi)
        return (0.0, pmi if method == "minimum_entropy" else exp(pmi))
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
