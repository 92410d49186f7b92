"""The five published variants of word discovery (spec, sections 1 and 3 to 5)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from math import log

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.words.ngrams import as_dict, count_ngrams, count_ngrams_kenlm, neighbor_entropy
from kxfast.backends.reference.words.segment import Segmenter
from kxfast.backends.reference.words.strings import Codes, Table, code_points, encode_words, ranked, split

ALPHANUMERIC = re.compile(r"[a-zA-Z\d.]+")

Ranked = tuple[Codes, NDArray[np.int64], NDArray[np.int64]]


def least_ratio(word: str, count: dict[str, int], total: int) -> float:
    """Cohesion: min over splits of N c(w) / (c(left) c(right)); a part that was pruned counts N (section 3)."""
    splits = ((word[:i], word[i:]) for i in range(1, len(word)))
    return min(float(total * count[word]) / float(count.get(a, total) * count.get(b, total)) for a, b in splits)


def glued(run: str, kept: set[str], longest: int) -> Iterable[str]:
    """Cut a run where no kept n-gram covers the gap (section 4)."""
    start, end = 0, 1
    for i in range(len(run)):
        if i == end:
            yield run[start:end]
            start, end = i, i + 1
        end = max(end, i + max((n for n in range(2, longest + 1) if run[i : i + n] in kept), default=1))
    if run:
        yield run[start : len(run)]


def windows(word: str, n: int) -> Iterable[str]:
    return (word[i : i + n] for i in range(len(word) - n + 1))


def _discover(codes: Codes, kept: set[str], longest: int, min_count: int, check: Callable[[str], bool]) -> Ranked:
    segments = Counter(segment for run in split(codes) for segment in glued(run, kept, longest))
    return ranked({word: count for word, count in segments.items() if count >= min_count and check(word)})


def discover_cut(codes: Codes, max_length: int, min_count: int, min_ratio: tuple[float, ...], threads: int) -> Ranked:
    """Variant C with exact counts."""
    return _cut(codes, *count_ngrams(codes, max_length, min_count), max_length, min_count, min_ratio)


def discover_cut_kenlm(
    codes: Codes, max_length: int, min_count: int, min_ratio: tuple[float, ...], threads: int
) -> Ranked:
    """Variant C as it was published."""
    return _cut(codes, *count_ngrams_kenlm(codes, max_length, min_count), max_length, min_count, min_ratio)


def _cut(
    codes: Codes, tables: list[Table], total: int, max_length: int, min_count: int, min_ratio: tuple[float, ...]
) -> Ranked:
    count = as_dict(tables)
    kept = {w for w in count if len(w) > 1 and least_ratio(w, count, total) >= min_ratio[len(w) - 1]}

    def check(word: str) -> bool:
        if len(word) < 3:
            return True
        return all(part in kept for part in windows(word, min(len(word), max_length)))

    return _discover(codes, kept, max_length, min_count, check)


def discover_strict(
    codes: Codes, max_length: int, min_count: int, min_ratio: tuple[float, ...], threads: int
) -> Ranked:
    """Variant B."""
    tables, total = count_ngrams(codes, max_length, min_count)
    count = as_dict(tables)
    kept = {w for w in count if len(w) > 1 and least_ratio(w, count, total) > min_ratio[len(w) - 1]}

    def check(word: str) -> bool:
        return all(part in kept for n in range(3, max_length + 1) for part in windows(word, n))

    return _discover(codes, kept, max_length, min_count, check)


def discover_entropy(
    codes: Codes, max_length: int, min_count: int, min_ratio: tuple[float, ...], min_entropy: float
) -> Ranked:
    """Variant E0: n-grams above all three bounds are the words."""
    tables, total = count_ngrams(codes, max_length, min_count + 1)
    count = as_dict(tables)
    words = {}
    for n in range(2, max_length + 1):
        candidates = [w for w in count if len(w) == n and least_ratio(w, count, total) > min_ratio[n - 1]]
        left, right = neighbor_entropy(codes, code_points("".join(candidates)).reshape(-1, n))
        words.update({w: count[w] for w, a, b in zip(candidates, left, right, strict=True) if min(a, b) > min_entropy})
    return ranked(words)


def discover_pairs(codes: Codes, min_count: int, min_pmi: float) -> Ranked:
    """Variant A: cut between adjacent characters unless the pair is kept."""
    (chars, pairs), total = count_ngrams(codes, 2, 1)
    single, pair = as_dict([chars]), as_dict([pairs])
    kept = {
        w
        for w, c in pair.items()
        if min(c, single[w[0]], single[w[1]]) >= min_count and log(total * c / (single[w[0]] * single[w[1]])) >= min_pmi
    }
    return _discover(codes, kept, 2, min_count, lambda word: True)


def discover_minimum_entropy(codes: Codes, min_proba: float, min_pmi: float, redundancy: float | None) -> Ranked:
    """Variant D: pairs by probability and PMI, then words that their parts explain are removed (section 5)."""
    (chars, pairs), total = count_ngrams(codes, 2, 1)
    single, pair = as_dict([chars]), as_dict([pairs])
    pair_total = sum(pair.values())

    def keep(w: str, c: int) -> bool:
        p, a, b = c / pair_total, single[w[0]] / total, single[w[1]] / total
        return p > min_proba and log(p / (a * b)) > min_pmi

    kept = {w for w, c in pair.items() if keep(w, c)}
    segments = Counter(segment for run in split(codes) for segment in glued(run, kept, 2))
    length = sum(segments.values())
    return ranked(without_redundant({w: c for w, c in segments.items() if c / length > min_proba}, redundancy))


def without_redundant(words: dict[str, int], threshold: float | None) -> dict[str, int]:
    """Remove each word, longest first, whose parts in the rest of the lexicon explain it; None: |w| - 1.

    As in the original code, the total still counts the word while it is tested, and parts that the lexicon does not
    have score -100 and are added to it.
    """
    words = dict(words)
    total = sum(words.values())
    for word in sorted((w for w in words if len(w) > 1), key=lambda w: -len(w)):
        count = words.pop(word)
        parts = parse(word, words, total)
        score = sum((log(words[part]) if part in words else -100) - log(total) for part in parts)
        if log(count) - log(total) - score < (len(word) - 1 if threshold is None else threshold):
            for part in parts:
                words[part] = words.get(part, 0) + count
            total += count * (len(parts) - 1)
        else:
            words[word] = count
    return words


def parse(word: str, words: dict[str, int], total: int) -> list[str]:
    """Segment one word with the rest of the lexicon, forward rule; letters and digits in a row are one part."""
    substrings = {word[i:j] for i in range(len(word)) for j in range(i + 1, len(word) + 1)}
    inside = sorted(substrings & words.keys())
    scores = np.array([log(words[w]) - log(total) for w in inside], np.float64)
    segmenter = Segmenter(*encode_words(inside), scores, -100.0, "longest_last", False)
    codes = code_points(word)
    ends, _, _ = segmenter.segment(codes, np.array([0, len(codes)], np.int64), 1)
    return combine_alphanumeric([word[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)])


def combine_alphanumeric(tokens: list[str]) -> list[str]:
    """Append a token of letters, digits and dots to the one before that ends in a letter or digit (section 6)."""
    combined: list[str] = []
    open_end = False
    for token in tokens:
        if open_end and ALPHANUMERIC.fullmatch(token) and token[-1] != ".":
            combined[-1] += token
            continue
        combined.append(token)
        open_end = not open_end and token[-1].isascii() and token[-1].isalnum()
    return combined
