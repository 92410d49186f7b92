"""Cases of the stem words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import words
from kxfast.cases import Case, largest_difference
from kxfast.cases.text import paragraphs


def _text(rng: np.random.Generator, length: int, letters: str) -> str:
    """Return text in which some strings come more often than chance has it."""
    parts = [*letters, *(letters[i : i + 2] for i in range(0, len(letters) - 1, 2)), letters[1:5], letters[3:6]]
    weights = rng.dirichlet(np.ones(len(parts)))
    return "".join(rng.choice(np.array(parts, object), length, p=weights))


def _documents(rng: np.random.Generator) -> list[str]:
    letters = "科学空间的一是在不了有和人这中大为上个国我以要他abZ09 。，𠀀é"
    return [_text(rng, int(rng.integers(0, 120)), letters) for _ in range(40)]


def _tables_differ(result: Any, expected: Any) -> float:
    orders = range(1, expected.max_order + 1)
    return largest_difference(
        [*map(result.ngrams, orders), result.total], [*map(expected.ngrams, orders), expected.total]
    )


_VARIANTS: tuple[dict[str, Any], ...] = (
    {"method": "cut"},
    {"method": "cut", "counts": "kenlm"},
    {"method": "cut", "include": ["空间的一是", "𠀀é", "他a"], "exclude": ["科学"], "characters": "letters"},
    {"method": "cut", "characters": "bytes", "include": [b"\xe7\xa9", "\u7684".encode()]},
    {"method": "strict"},
    {"method": "pairs", "min_pmi": 0.5},
    {"method": "minimum_entropy", "min_pmi": 0.5, "min_proba": 0.001},
    {"method": "minimum_entropy", "min_pmi": 0.5, "min_proba": 0.0, "redundancy": 3.0},
    {"method": "entropy", "min_entropy": 0.3},
)


def _report(corpus: list[str], **keywords: Any) -> Any:
    found = words.discover(corpus, **keywords, report=True)
    return list(found), list(found.values()), [column for _, column in sorted(found._columns.items())]


def _entropies(together: bool, corpus: list[str]) -> Any:
    ngrams = words.count_ngrams(corpus, max_order=7, min_count=2, entropies=together)
    return [(*ngrams.ngrams(n), *ngrams.entropies(n)) for n in range(1, 8)]


def _cut(lexicon: dict[str, int], tie: str, unknown: float, texts: list[str]) -> Any:
    segmenter = words.Segmenter(lexicon, tie=tie, unknown=unknown)
    return segmenter.cut_many(texts), [segmenter.spans(text) for text in texts]


def _cut_jieba(lexicon: dict[str, int], texts: list[str]) -> Any:
    return words.Segmenter.jieba(lexicon).cut_many(texts)


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    texts = _documents(rng)
    for corpus in texts, [], ["", "。"], ["科"]:
        for max_order, min_count in (1, 1), (4, 1), (4, 5), (8, 2):
            keywords = {"max_order": max_order, "min_count": min_count}
            label = f"{len(corpus)} documents {max_order=} {min_count=}"
            yield Case("words.count_ngrams", label, (corpus,), dict(keywords), compare=_tables_differ)
        for together, port in (False, "neighbor_entropy"), (True, "count_with_entropies"):
            call, label = partial(_entropies, together), f"entropies, {len(corpus)} documents {together=}"
            yield Case("words.count_ngrams", label, (corpus,), tolerance=1e-12, call=call, port=port)
        bounds: tuple[dict[str, Any], ...] = (
            {"max_length": 4, "min_count": 3, "min_pmi": (0, 1, 1.5, 2)},
            {"max_length": 2, "min_count": 1, "min_pmi": 0.5},
            {"max_length": 6, "min_count": 2, "min_pmi": 1},
        )
        for keywords in bounds:
            label = f"{len(corpus)} documents max_length={keywords['max_length']}"
            for more in _VARIANTS:
                case = partial(Case, "words.discover", f"{label} {more}", (corpus,), {**keywords, **more})
                yield case(call=_report, tolerance=1e-12, port="segment_run")
        for max_order, min_count in (1, 1), (3, 1), (4, 4):
            padded: dict[str, Any] = {"max_order": max_order, "min_count": min_count, "counts": "kenlm"}
            label = f"kenlm, {len(corpus)} documents {max_order=} {min_count=}"
            yield Case("words.count_ngrams", label, (corpus,), padded, compare=_tables_differ, port="tables_of_runs")
    count = words.count_ngrams(texts, max_order=3, backend="reference")
    listed = [gram for n in (1, 2, 3) for gram in count.ngrams(n)[0]]
    lexicon = {gram: int(rng.integers(0, 9)) for gram in rng.permutation(np.array(listed, object))[:60]}
    lexicon["科学"] = 3
    for tie in words.TIES:
        cut = partial(_cut, lexicon, tie, -20.0)
        yield Case("words.Segmenter", tie, (texts,), call=cut)
    mixed = [text + "a1.b\r\n \t%+中c" for text in texts]
    yield Case("words.Segmenter", "jieba", (mixed,), call=partial(_cut_jieba, lexicon))


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield the cases of the benchmark: a novel's n-grams, words, and segmentation with the words found."""
    corpus = list(paragraphs(data, 100_000 if quick else 10_000_000))
    size = float(sum(len(line.encode()) for line in corpus))
    yield Case("words.count_ngrams", "n = 1..4", (corpus,), compare=_tables_differ, amount=size, unit="B")
    label, keywords = "cut, min_count=8", {"min_count": 8}
    yield Case("words.discover", label, (corpus,), keywords, amount=size, unit="B", port="segment_run")
    lexicon = dict(words.discover(corpus, min_count=8))
    cut = partial(_cut_jieba, lexicon)
    label = f"{len(lexicon)} words, jieba's rules"
    yield Case("words.Segmenter", label, (corpus,), amount=size, unit="B", call=cut)
