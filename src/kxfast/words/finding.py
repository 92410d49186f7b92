"""The stages of discovery, put together for each method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.dispatch import implementation
from kxfast.words.collect import Corpus
from kxfast.words.ngrams import NGrams, Table, counted, word_entropies
from kxfast.words.text import NO_WORDS, Words, encode_words

PAIRS = ("pairs", "minimum_entropy")  # methods that cut between characters by their pairs alone


@dataclass(frozen=True)
class Rules:
    """What `discover` was asked for."""

    method: str
    max_length: int
    min_count: int
    ratios: tuple[float, ...]  # least ratio by length (the PMI for "minimum_entropy")
    min_proba: float
    min_entropy: float
    redundancy: float
    kenlm: bool
    known: Words

    @property
    def least_count(self) -> int:
        """Lowest count of the n-grams that the method asks for."""
        if self.method in PAIRS:
            return 1  # N is the number of all characters
        return self.min_count + (self.method == "entropy")


class Finding:
    """One discovery."""

    def __init__(self, corpus: Corpus, rules: Rules, folder: Path) -> None:
        self._corpus, self._rules, self._folder = corpus, rules, folder
        self._tables: list[Table] = []
        self._total = 0

    def _stage(self, name: str) -> Any:
        return implementation("words", name, self._corpus.reading.backend)

    def words(self, ngrams: NGrams | None) -> tuple[Words, NDArray[np.int64]]:
        """Return the words in order of code points, and their counts."""
        rules = self._rules
        least = rules.least_count
        if ngrams is None:
            self._tables, self._total = counted(self._corpus, rules.max_length, least, rules.kenlm, self._folder)
        else:
            self._tables = [_frequent(ngrams.tables(n), least) for n in range(1, rules.max_length + 1)]
            self._total = int(self._tables[0][1].sum())
        if rules.method == "entropy":
            return self._free_ngrams()
        if rules.method == "minimum_entropy":
            return self._unexplained()
        tables = self._tables
        if rules.method == "pairs":
            tables = [tables[0], _frequent(tables[1], rules.min_count)]
        kept = self._stage("kept_ngrams")(tables, self._total, rules.ratios, rules.method == "strict")
        runs = self._segments(kept, "none" if rules.method == "pairs" else rules.method)
        codes, offsets, counts, _ = self._stage("words_of_runs")(runs, rules.min_count, rules.known)
        return (codes, offsets), counts

    def columns(self, words: Words, entropies: bool) -> dict[str, NDArray[np.float64]]:
        """Return what `Lexicon.to_dataframe` shows beside the counts."""
        _, ratios = self._stage("word_ratios")(self._tables, self._total, words)
        columns = {"pmi": np.log(ratios)}
        if entropies:
            backend = self._corpus.reading.backend
            sides = word_entropies([self._corpus], words, backend)
            columns["left_entropy"], columns["right_entropy"] = sides
        return columns

    def _segments(self, kept: Words, check: str) -> list[Any]:
        rules = self._rules
        return self._corpus.runs("segment_run", kept, rules.known, check, rules.max_length, folder=self._folder)

    def _free_ngrams(self) -> tuple[Words, NDArray[np.int64]]:
        """Variant E0: n-grams above all bounds are the words."""
        rules = self._rules
        backend = self._corpus.reading.backend
        kept = self._stage("kept_ngrams")(self._tables, self._total, rules.ratios, True)
        listed = sorted(self._stage("decode")(*kept))
        sides = word_entropies([self._corpus], encode_words(listed, backend), backend)
        free = np.minimum(*sides) > rules.min_entropy
        words = encode_words([word for word, each in zip(listed, free, strict=True) if each], backend)
        counts, _ = self._stage("word_ratios")(self._tables, self._total, words)
        return words, counts

    def _unexplained(self) -> tuple[Words, NDArray[np.int64]]:
        """Variant D: segments that are frequent enough, without those that their parts explain."""
        rules = self._rules
        kept = self._stage("kept_pairs")(self._tables, rules.min_proba, rules.ratios[1])
        runs = self._segments(kept, "none")
        find = self._stage("words_of_runs")
        total = find(runs, np.iinfo(np.int64).max, NO_WORDS)[3]
        least = max(int(rules.min_proba * total) - 1, 1)
        while total and least / total <= rules.min_proba:
            least += 1
        codes, offsets, counts, _ = find(runs, least, rules.known)
        codes, offsets, counts, _ = self._stage("without_redundant")((codes, offsets), counts, rules.redundancy)
        return (codes, offsets), counts


def _frequent(table: Table, min_count: int) -> Table:
    grams, counts = table
    kept = counts >= min_count
    return np.ascontiguousarray(grams[kept]), counts[kept]
