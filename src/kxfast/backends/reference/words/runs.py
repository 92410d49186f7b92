"""Runs: what blocks of a corpus leave behind to be merged. Here a run is a Counter of strings, pickled."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.words.discover import as_set, glued, least_ratio, passes, windows
from kxfast.backends.reference.words.ngrams import as_dict, count_rows, entropy, kenlm_rows, prefixes, strip
from kxfast.backends.reference.words.strings import Codes, Table, Words, decode, encode_words, split

Run = Any
Counts = tuple[Codes, NDArray[np.int64], NDArray[np.int64], int]


def keep(counter: Counter[str], path: str | None) -> Run:
    data = pickle.dumps(counter)
    if path is None:
        return np.frombuffer(data, np.uint8)
    Path(path).write_bytes(data)
    return path


def merged(runs: Iterable[Run]) -> Counter[str]:
    whole: Counter[str] = Counter()
    for run in runs:
        whole.update(pickle.loads(Path(run).read_bytes() if isinstance(run, str) else run.tobytes()))
    return whole


def merge_runs(runs: list[Run], path: str | None) -> Run:
    return keep(merged(runs), path)


def run_of_words(words: Words, counts: NDArray[np.int64]) -> Run:
    return keep(Counter(dict(zip(decode(*words), counts.tolist(), strict=True))), None)


def ngram_run(codes: Codes, order: int, kenlm: bool, threads: int, report: Any, path: str | None) -> Run:
    """Count the n-grams of one order, and the shorter ones at the ends of runs; or KenLM's padded rows."""
    return keep((kenlm_rows if kenlm else count_rows)(split(codes), order), path)


def tables_of_runs(runs: list[Run], max_order: int, min_count: int, kenlm: bool) -> tuple[list[Table], int]:
    """Credit every prefix; KenLM's rare rows are dropped before, n-grams that are rare after."""
    rows = merged(runs)
    if not kenlm:
        tables = prefixes(rows, max_order, min_count)
        return tables, int(tables[0][1].sum())
    kept = {row: count for row, count in rows.items() if count >= min_count}
    return prefixes(strip(kept), max_order, 1), sum(kept.values())


def segment_run(
    codes: Codes, kept: Words, known: Words, check: str, max_length: int, threads: int, report: Any, path: str | None
) -> Run:
    """Cut every run where no kept n-gram and no known word covers the gap, and keep the segments that pass."""
    members, words = as_set(kept), as_set(known)
    segments = Counter(segment for run in split(codes) for segment in glued(run, members | words))
    passing = {w: c for w, c in segments.items() if w in words or passes(w, members | words, check, max_length)}
    return keep(Counter(passing), path)


def words_of_runs(runs: list[Run], min_count: int, known: Words) -> Counts:
    """Return frequent and known segments in order of code points, their counts, and the total of all."""
    segments, words = merged(runs), as_set(known)
    found = sorted(word for word, count in segments.items() if count >= min_count or word in words)
    counts = np.array([segments[word] for word in found], np.int64)
    return *encode_words(found), counts, sum(segments.values())


def neighbor_run(codes: Codes, words: Words, left: bool, threads: int, report: Any, path: str | None) -> Run:
    """Count the characters left or right of each word, over occurrences that have both neighbours in their run."""
    wanted = as_set(words)
    rows: Counter[str] = Counter()
    for run in split(codes):
        for n in {len(word) for word in wanted}:
            for i in range(1, len(run) - n):
                if run[i : i + n] in wanted:
                    rows[run[i : i + n] + "\0" + run[i - 1 if left else i + n]] += 1
    return keep(rows, path)


def entropies_of_runs(runs: list[Run], words: Words) -> NDArray[np.float64]:
    """Return the entropy (nats) of each word's neighbours; 0 where none was seen."""
    sides: dict[str, Counter[str]] = {word: Counter() for word in decode(*words)}
    for row, count in merged(runs).items():
        sides[row[:-2]][row[-1]] += count
    return np.array([entropy(side) for side in sides.values()], np.float64)


def word_ratios(tables: list[Table], total: int, words: Words) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return counts (0: not in the tables), and the least ratio; of longer words that of their weakest window."""
    count = as_dict(tables)
    ratios = []
    for word in decode(*words):
        parts = [part for part in windows(word, min(len(word), len(tables))) if part in count and len(part) > 1]
        ratios.append(min((least_ratio(part, count, total) for part in parts), default=nan))
    counts = [count.get(word, 0) for word in decode(*words)]
    return np.array(counts, np.int64), np.array(ratios, np.float64)
