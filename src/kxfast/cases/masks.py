"""Cases of the stem masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import masks
from kxfast.cases import Case, largest_difference, text
from kxfast.cases.attention import measured


def _alike(shape: tuple[int, int, int, int]) -> Callable[[Any, Any], float]:
    return lambda result, expected: largest_difference(result.to_dense(*shape), expected.to_dense(*shape))


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases; two masks are compared as dense arrays."""
    for b, h, length in (1, 1, 1), (2, 3, 9), (3, 2, 70):
        calls: dict[str, list[tuple[Any, ...]]] = {
            "causal": [(), ("start",)],
            "padding": [(rng.integers(0, length + 1, b),), (rng.random((b, length)) < 0.5,)],
            "unilm": [(rng.integers(0, 2, (b, length)),), (rng.integers(0, 2, length),)],
            "prefix_lm": [(rng.integers(0, length + 1, b),)],
            "sliding_window": [(2, 1), (0, 0)],
            "documents": [(np.sort(rng.integers(0, 4, (b, length)), 1),)],
            "permutation": [(rng.permuted(np.tile(np.arange(length), (b, 1)), axis=1),)],
            "strided": [(3,)],
            "block_sparse": [(rng.random((h, -(-length // 4), -(-length // 4))) < 0.5, 4)],
            "dense": [(rng.random((b, 1, length, length)) < 0.5,)],
            "function": [(lambda b, h, i, j: (b + h + i + j) % 3 == 0,)],
        }
        for name, arguments in calls.items():
            for n, each in enumerate(arguments):
                yield Case(f"masks.{name}", f"({b}, {h}, {length}) {n}", each, compare=_alike((b, h, length, length)))


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield attention over characters of novels under the masks that leave much out."""
    b, count, length, d = (1, 12, 512, 64) if quick else (4, 12, 512, 64)
    x = text.full(data, b, length, count * d)
    lengths = text.lengths(data, b, length)
    packed = np.repeat(np.arange(64), text.lengths(data, 64, length // 4))[:length]
    rng = np.random.default_rng(1)
    blocks = -(-length // 64)
    named = {
        "padding": masks.padding(lengths),
        "documents": masks.documents(packed) & masks.causal(),
        "window 128": masks.sliding_window(128),
        "prefix 64": masks.prefix_lm(64),
        "permutation": masks.permutation(rng.permutation(length), include_self=True),
        "sparse 16": masks.strided(16) | masks.sliding_window(15, 15),
        "blocks 25 %": masks.block_sparse((rng.random((blocks, blocks)) < 0.25) | np.eye(blocks, dtype=bool), 64),
    }
    for name, mask in named.items():
        yield from measured(f"({b}, {count}, {length}, {d}) {name}", x, count, mask)
