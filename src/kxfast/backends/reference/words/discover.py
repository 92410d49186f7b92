"""The stages of word discovery (spec, sections 1 and 3 to 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isnan, log

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.words.ngrams import as_dict
from kxfast.backends.reference.words.segment import Segmenter
from kxfast.backends.reference.words.strings import Codes, Table, Words, code_points, decode, encode_words

Counts = tuple[Codes, NDArray[np.int64], NDArray[np.int64], int]

ALPHANUMERIC = re.compile(r"[a-zA-Z0-9.]+")


def as_set(words: Words) -> set[str]:
    return set(decode(*words))


def least_ratio(word: str, count: dict[str, int], total: int) -> float:
    """Cohesion: min over splits of N c(w) / (c(left) c(right)); a part that was pruned counts N (section 3)."""
    splits = ((word[:i], word[i:]) for i in range(1, len(word)))
    return min(float(total * count[word]) / float(count.get(a, total) * count.get(b, total)) for a, b in splits)


def cohesion(tables: list[Table], total: int, n: int) -> NDArray[np.float64]:
    """Return the least ratio of each n-gram of one order."""
    count = as_dict(tables)
    return np.array([least_ratio(w, count, total) for w in count if len(w) == n], np.float64)


def kept_ngrams(tables: list[Table], total: int, min_ratio: tuple[float, ...], above: bool) -> Words:
    """Return the n-grams (n > 1) whose least ratio is at least, or above, the bound of their length (B, C, E0)."""
    count = as_dict(tables)
    ratios = ((w, least_ratio(w, count, total), min_ratio[len(w) - 1]) for w in count if len(w) > 1)
    return encode_words(w for w, ratio, bound in ratios if (ratio > bound if above else ratio >= bound))


def kept_pairs(tables: list[Table], min_proba: float, min_pmi: float) -> Words:
    """Return the pairs above both bounds; p(ab) is their share of all pairs, p(a) that of all characters (D)."""
    single, pair = as_dict(tables[:1]), as_dict(tables[1:])
    total, pair_total = sum(single.values()), sum(pair.values())

    def keep(w: str, c: int) -> bool:
        p, a, b = c / pair_total, single[w[0]] / total, single[w[1]] / total
        return p > min_proba and log(p / (a * b)) > min_pmi

    return encode_words(w for w, c in pair.items() if keep(w, c))


def glued(run: str, members: set[str]) -> Iterable[str]:
    """Cut a run where no kept n-gram covers the gap (section 4)."""
    lengths = {len(word) for word in members}
    start, end = 0, 1
    for i in range(len(run)):
        if i == end:
            yield run[start:end]
            start, end = i, i + 1
        end = max(end, i + max((n for n in lengths if run[i : i + n] in members), default=1))
    if run:
        yield run[start : len(run)]


def windows(word: str, n: int) -> Iterable[str]:
    return (word[i : i + n] for i in range(len(word) - n + 1))


def passes(word: str, members: set[str], check: str, max_length: int) -> bool:
    """Check a segment back: C asks for its windows of the longest length, B for those of every length from 3."""
    if check == "none" or len(word) < 3:
        return True
    lengths = [min(len(word), max_length)] if check == "cut" else range(3, max_length + 1)
    return all(part in members for n in lengths for part in windows(word, n))


def without_redundant(words: Words, counts: NDArray[np.int64], threshold: float) -> Counts:
    """Variant D's last step; words in order of code points."""
    left = removed(dict(zip(decode(*words), counts.tolist(), strict=True)), threshold)
    order = sorted(left)
    return *encode_words(order), np.array([left[word] for word in order], np.int64), sum(left.values())


def removed(words: dict[str, int], threshold: float) -> dict[str, int]:
    """Remove each word, longest first, whose parts in the rest of the lexicon explain it; NaN: |w| - 1.

    Words of one length come in order of code points.

    As in the original code, the total still counts the word while it is tested, and parts that the lexicon does not
    have score -100 and are added to it.
    """
    words = dict(words)
    total = sum(words.values())
    for word in sorted((w for w in words if len(w) > 1), key=lambda w: -len(w)):
        count = words.pop(word)
        parts = parse(word, words, total)
        score = sum((log(words[part]) if part in words else -100) - log(total) for part in parts)
        if log(count) - log(total) - score < (len(word) - 1 if isnan(threshold) else threshold):
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
    segmenter = Segmenter(
        encode_words(inside), scores, np.arange(len(inside), dtype=np.int32), -100.0, "longest_last", False
    )
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
