"""How well the places of a passage match a question (spec section 7a')."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def match_features(question: Array, passage: Array) -> Array:
    """Token match, Jaccard similarity and relative edit distance of the window around each token."""
    q = question.tolist()
    width = len(q)
    rows = []
    for t, token in enumerate(passage.tolist()):
        window = passage[max(0, t - width // 2) : max(0, t - width // 2 + width)].tolist()
        together = set(window) | set(q)
        rows.append([token in q, len(set(window) & set(q)) / len(together), levenshtein(window, q) / width])
    return np.array(rows, np.float64).reshape(-1, 3)


def levenshtein(a: list[int], b: list[int]) -> int:
    """Least number of insertions, deletions and replacements that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
