"""Pooling over time and span extraction (spec sections 6 and 7a)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.conv.plain import finish, select, sigmoid, working

Array = NDArray[Any]


def attention_pooling(
    x: Array,
    hidden: Array,
    output: Array,
    mask: Array | None,
    activation: str,
    hidden_bias: Array | None,
    output_bias: float,
) -> Array:
    kind = x.dtype
    x, hidden, output = select(working(x), mask), working(hidden), working(output)
    z: Array = x @ hidden
    if hidden_bias is not None:
        z = z + working(hidden_bias)
    score: Array = (np.tanh(z) if activation == "tanh" else z * sigmoid(z)) @ output + output_bias
    if mask is not None:
        score = np.where(mask, score, -np.inf)
    top = score.max(1, keepdims=True, initial=-np.inf)
    weight = np.exp(score - np.where(np.isneginf(top), 0, top))
    total = weight.sum(1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0).astype(x.dtype)
    return finish(np.einsum("bl,bld->bd", weight, x), kind)


def masked_max_pooling(x: Array, mask: Array | None) -> Array:
    kept = x if mask is None else np.where(mask[..., None], x, -np.inf)
    largest = kept.max(1, initial=-np.inf)
    filled = x.shape[1] > 0 if mask is None else mask.any(1, keepdims=True)
    return np.where(filled, largest, 0).astype(x.dtype)


def masked_mean_pooling(x: Array, mask: Array | None) -> Array:
    kind = x.dtype
    x = working(x)
    real = np.ones(x.shape[:2], bool) if mask is None else mask
    count = np.maximum(real.sum(1, keepdims=True), 1).astype(x.dtype)
    return finish(select(x, mask).sum(1) / count, kind)


def extract_span(start: Array, end: Array, threshold: float, max_length: int) -> tuple[Array, Array, Array]:
    i, j = np.meshgrid(np.flatnonzero(start > threshold), np.flatnonzero(end > threshold), indexing="ij")
    near = (i <= j) & (j < i + max_length)
    return i[near], j[near], start[i[near]] * end[j[near]]
