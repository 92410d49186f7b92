"""Cases of the stem attention."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import masks
from kxfast.attention import KVCache, Trie, scaled_dot_product_attention
from kxfast.cases import Case, largest_difference, text
from kxfast.checks import half_types

Array = NDArray[Any]

# batch, heads, key heads, queries, keys, head size, value size
SIZES = (
    (1, 1, 1, 1, 1, 1, 1),
    (0, 2, 1, 3, 3, 4, 4),
    (2, 2, 1, 0, 3, 4, 4),
    (2, 2, 2, 3, 0, 4, 4),
    (1, 4, 1, 1, 67, 8, 8),
    (2, 4, 2, 5, 9, 3, 7),
    (2, 6, 3, 33, 70, 16, 20),
)


# around the edges of tiles and groups of the compiled kernels: queries, keys, head sizes
EDGES = (
    (1, 64, 1),
    (31, 65, 8),
    (33, 32, 40),
    (65, 127, 64),
    (200, 200, 80),
    (127, 200, 96),
    (64, 64, 128),
    (32, 33, 256),
    (200, 31, 32),
)


def _types() -> list[tuple[Any, float]]:
    return [*((kind, 1e-2) for kind in half_types()), (np.dtype(np.float64), 1e-11), (np.dtype(np.float32), 1e-5)]


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases; inputs are of order 1, and so is the scale of errors."""
    for case in _random(rng):
        yield replace(case, compare=partial(largest_difference, floor=1.0)) if case.tolerance else case


def _random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    for kind, tolerance in _types():
        for size in SIZES:
            for name, mask in _masks(rng, size).items():
                yield from _attention(rng, kind, tolerance, size, (name, mask), name in ("dense", "unilm"))
        yield from _others(rng, kind, tolerance)
    for q_len, k_len, d in EDGES:
        size = (1, 2, 1, q_len, k_len, d, d)
        for name, mask in _every_mask(rng, q_len, k_len).items():
            yield from _attention(rng, np.dtype(np.float32), 1e-5, size, (name, mask), False)
    yield from _generation(rng)


def _normal(rng: np.random.Generator, kind: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(kind)


def _masks(rng: np.random.Generator, size: tuple[int, ...]) -> dict[str, Any]:
    b, h, _, lq, lk, *_ = size
    return {
        "causal": masks.causal(),
        "padding": masks.padding(rng.integers(0, lk + 1, b)),
        "unilm": masks.unilm(rng.integers(0, 2, (b, lk))) & masks.padding(lk - 1 if lk else 0) if lq <= lk else None,
        "window": masks.sliding_window(3, 1),
        "array": rng.random((b, h, lq, lk)) < 0.5,
        "none": masks.dense(False),
        "dense": None,
    }


def _every_mask(rng: np.random.Generator, q_len: int, k_len: int) -> dict[str, Any]:
    """Return one mask of every constructor; those about tokens need at least as many keys as queries."""
    layout = rng.random((-(-q_len // 16), -(-k_len // 16))) < 0.5
    each: dict[str, Any] = {
        "dense": None,
        "causal": masks.causal(),
        "causal from the start": masks.causal(align="start"),
        "window": masks.sliding_window(20, 3),
        "strided": masks.strided(5),
        "padding": masks.padding(k_len // 2),
        "marked": masks.padding(rng.random(k_len) < 0.5),
        "prefix": masks.prefix_lm(k_len // 3),
        "blocks": masks.block_sparse(layout, 16),
        "array": masks.dense(rng.random((2, q_len, k_len)) < 0.5),
        "function": masks.function(lambda b, h, i, j: (i * j + h) % 3 == 0) if q_len * k_len < 3000 else None,
        "all but causal": ~masks.causal(),
    }
    if q_len <= k_len:
        segments = np.arange(k_len) >= k_len // 2
        each["unilm"] = masks.unilm(segments.astype(int)) & masks.padding(k_len - 1)
        each["documents"] = masks.documents(np.arange(k_len) // 30) & masks.causal()
        each["permutation"] = masks.permutation(rng.permutation(k_len))
    return each


def _attention(
    rng: np.random.Generator, kind: Any, tolerance: float, size: tuple[int, ...], named: tuple[str, Any], biased: bool
) -> Iterator[Case]:
    b, h, groups, lq, lk, d, dv = size
    normal = partial(_normal, rng, kind)
    q, k, v, grad = normal(b, h, lq, d), normal(b, groups, lk, d), normal(b, groups, lk, dv), normal(b, h, lq, dv)
    keywords: dict[str, Any] = {"mask": named[1]}
    if biased:
        keywords.update(bias=normal(h, lq, lk), scale=0.3)
    label = f"{size} {kind} {named[0]}"
    yield Case("attention.scaled_dot_product_attention", label, (q, k, v), {**keywords, "return_lse": True}, tolerance)
    out, lse = scaled_dot_product_attention(q, k, v, return_lse=True, backend="reference", **keywords)
    keywords["need_dbias"] = biased
    arguments = (grad, q, k, v, out, lse)
    yield Case("attention.scaled_dot_product_attention_backward", label, arguments, keywords, 20 * tolerance)


def _others(rng: np.random.Generator, kind: Any, tolerance: float) -> Iterator[Case]:
    normal = partial(_normal, rng, kind)
    for inverse in False, True:
        options = {"inverse": inverse}
        arguments = (normal(2, 3, 7, 6), rng.integers(0, 999, 7))
        yield Case("attention.rotary", f"{kind} {options}", arguments, options, tolerance)
    for layout in "interleaved", "blocks":
        positions = rng.integers(0, 99, (3, 5)).astype(kind)
        yield Case("attention.sinusoidal", f"{kind} {layout}", (positions, 6), {"layout": layout}, tolerance)
    cache = KVCache(2, 2, 3, dtype=kind)
    cache.append(*normal(2, 2, 2, 5, 3))
    yield _OnCopies("attention.decode", f"{kind}", (normal(2, 4, 2, 3), *normal(2, 2, 2, 2, 3), cache), {}, tolerance)


@dataclass(frozen=True)
class _OnCopies(Case):
    """A call that changes an argument: each run is given copies."""

    def run(self) -> Any:
        """Call the operation."""
        return Case.run(replace(self, args=deepcopy(self.args)))


def _generation(rng: np.random.Generator) -> Iterator[Case]:
    table = rng.random((12, 12)) ** 3

    def step(ids: Array, rows: Array) -> Array:
        chosen: Array = table[ids[:, -1]] / table[ids[:, -1]].sum(1, keepdims=True)
        return chosen

    trie = Trie([rng.integers(1, 12, 20)])
    for label, which in ("free", None), ("trie", trie):
        options = {"end_id": 0, "max_length": 8, "start": [3], "trie": which}
        yield Case("attention.beam_search", label, (step,), {**options, "beam": 3})
        yield Case("attention.sample", label, (step, 4), {**options, "seed": 1, "top_k": 5, "top_p": 0.9})


def heads(x: Array, count: int) -> Array:
    """Split (B, L, H D) into (B, H, L, D)."""
    b, length, channels = x.shape
    return np.ascontiguousarray(x.reshape(b, length, count, channels // count).transpose(0, 2, 1, 3))


def measured(label: str, x: Array, count: int, mask: Any) -> Iterator[Case]:
    """Yield forward and backward of self-attention of `count` heads, with operations on allowed pairs as the work."""
    b, length, channels = x.shape
    d = channels // count
    # neighbours as keys and values, so that scores differ from x x'
    q, k, v = heads(x, count), heads(np.roll(x, 1, 1), count), heads(np.roll(x, 2, 1), count)
    share = 1.0 if mask is None else mask.density(b, count, length, length)
    work = 4.0 * b * count * length * length * d * share
    operation, options = "attention.scaled_dot_product_attention", {"mask": mask}
    yield Case(operation, label, (q, k, v), options, 1e-5, amount=work, unit="flop")
    out, lse = scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
    arguments = (np.roll(out, 1, 2), q, k, v, out, lse)
    yield Case(f"{operation}_backward", label, arguments, options, 1e-4, amount=2.5 * work, unit="flop")


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield cases on characters of novels: dense, causal, and sequence to sequence (half source, half target)."""
    sizes = ((1, 12, 512, 64),) if quick else ((4, 12, 512, 64), (1, 12, 2048, 64), (1, 16, 4096, 128))
    for b, count, length, d in sizes:
        x = text.full(data, b, length, count * d)
        segments = (np.arange(length) >= length // 2).astype(int)
        for name, mask in ("dense", None), ("causal", masks.causal()), ("unilm", masks.unilm(segments)):
            yield from measured(f"({b}, {count}, {length}, {d}) {name}", x, count, mask)
