"""What word vectors know: rank correlations with people's judgements of similarity, and analogies solved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.vectors import WordVectors, unit
from kxfast.corpus import lines

Pairs = list[tuple[str, str, float]]
Questions = list[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Score:
    """A figure on one set: a rank correlation or a share of right answers, and how many of its items were known."""

    name: str
    kind: str
    value: float
    known: int
    total: int


def pairs_of(path: str | os.PathLike[str]) -> Pairs:
    """Read a set of similarities: two words and a number a line, tabs between."""
    file, found = checks.readable_file("path", path), []
    for number, line in enumerate(lines(file, name="path"), 1):
        fields = line.split("\t")
        try:
            found.append((fields[0], fields[1], float(fields[2])))
        except (IndexError, ValueError):
            raise ValueError(f"path must hold word, word, number in each line; got line {number} of '{file}'") from None
    return found


def questions_of(path: str | os.PathLike[str]) -> Questions:
    """Read analogies, a is to b as c is to d: four words a line; lines that begin with a colon name sections."""
    file, found = checks.readable_file("path", path), []
    for number, line in enumerate(lines(file, name="path"), 1):
        if line.startswith(":") or not line.strip():
            continue
        words = line.split()
        if len(words) != 4:
            raise ValueError(f"path must hold four words in each line; got line {number} of '{file}'")
        found.append((words[0], words[1], words[2], words[3]))
    return found


def ranks(x: checks.Array) -> checks.Array:
    """Return ranks from 1; equal values share the mean of theirs."""
    order = np.argsort(x, kind="stable")
    _, first, counts = np.unique(x[order], return_index=True, return_counts=True)
    result = np.empty(len(x))
    result[order] = np.repeat(first + (counts + 1) / 2, counts)
    return result


def correlation(vectors: WordVectors, pairs: Pairs) -> tuple[float, int]:
    """Return Spearman's correlation of cosines and judgements over the pairs of known words, and their number.

    Words are looked up as they are and in lower case.
    """
    e = unit(vectors.vectors)
    rows, people = [], []
    for first, second, score in pairs:
        ids = [_id(vectors, word) for word in (first, second)]
        if None not in ids:
            rows.append(ids)
            people.append(score)
    if len(rows) < 2:
        return 0.0, len(rows)
    chosen = np.array(rows, np.int64)
    cosines = np.sum(e[chosen[:, 0]] * e[chosen[:, 1]], axis=1)
    a, b = ranks(cosines), ranks(np.array(people))
    if a.std() == 0 or b.std() == 0:
        return 0.0, len(rows)
    return float(np.corrcoef(a, b)[0, 1]), len(rows)


def _id(vectors: WordVectors, word: str) -> Any:
    ids = vectors.vocabulary.id_of
    return ids.get(word, ids.get(word.lower()))


def solved(vectors: WordVectors, questions: Questions) -> tuple[float, int]:
    """Return the share of analogies whose d is the nearest word to ``b - a + c`` other than a, b, c, and how many are
    known: the cosine of the sum of unit vectors (3CosAdd)."""
    ids = [[_id(vectors, word) for word in question] for question in questions]
    known = np.array([each for each in ids if None not in each], np.int64).reshape(-1, 4)
    e = unit(vectors.vectors)
    right = 0
    for begin in range(0, len(known), 256):
        part = known[begin : begin + 256]
        scores = (e[part[:, 1]] - e[part[:, 0]] + e[part[:, 2]]) @ e.T
        np.put_along_axis(scores, part[:, :3], -np.inf, axis=1)
        right += int(np.count_nonzero(np.argmax(scores, axis=1) == part[:, 3]))
    return right / max(len(known), 1), len(known)


def report(vectors: WordVectors, folder: str | os.PathLike[str], language: str) -> list[Score]:
    """Score vectors on the sets of a folder: ``sim_<language>_*.tsv`` and ``analogy_<language>_*`` (.txt, .xz)."""
    found = []
    for path in sorted(Path(folder).glob(f"sim_{language}_*.tsv")):
        pairs = pairs_of(path)
        value, known = correlation(vectors, pairs)
        found.append(Score(path.stem.removeprefix(f"sim_{language}_"), "similarity", value, known, len(pairs)))
    for path in sorted(Path(folder).glob(f"analogy_{language}_*")):
        questions = questions_of(path)
        value, known = solved(vectors, questions)
        name = path.name.split(".")[0].removeprefix(f"analogy_{language}_")
        found.append(Score(name, "analogy", value, known, len(questions)))
    return found
