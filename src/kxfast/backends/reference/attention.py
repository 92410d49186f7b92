"""Scaled dot-product attention, its gradients, and position vectors (spec: Masked multi-head attention)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def working(x: Any) -> Any:
    """Half types are computed in float32."""
    return x.astype(np.float32) if x is not None and x.dtype.itemsize == 2 else x


def scores(q: Array, k: Array, mask: Array | None, bias: Array | None, scale: float) -> Array:
    """Return (q k' + bias) scale, and -inf where the mask forbids; `k` has as many heads as `q`."""
    with np.errstate(invalid="ignore"):  # whatever stands in masked keys is replaced below
        s: Array = q @ k.swapaxes(2, 3)
        s = (s if bias is None else s + bias) * q.dtype.type(scale)
    return s if mask is None else np.where(mask, s, s.dtype.type(-np.inf))


def dense(allowed: Any, k_len: int) -> Array | None:
    """Return which pairs are allowed as booleans that broadcast to (B, H, Lq, Lk), or None for all."""
    if allowed.intervals is None:
        mask: Array | None = allowed.mask
        return mask
    key = np.arange(k_len)
    a, b, c, d = np.moveaxis(allowed.intervals[..., None], 3, 0)
    pairs: Array = ((a <= key) & (key < b)) | ((c <= key) & (key < d))
    if allowed.order is None:
        return pairs
    rank = np.argsort(allowed.order, axis=1)
    pairs = np.broadcast_to(pairs, (len(rank), *pairs.shape[1:]))
    pairs = np.take_along_axis(pairs, rank[:, None, :, None], 2)
    return np.take_along_axis(pairs, rank[:, None, None, :], 3)


def combine(p: Array, allowed: Array, v: Array) -> Array:
    """Return p @ v over allowed pairs: selected, not multiplied by 0, so that a masked NaN goes nowhere."""
    strange = np.argwhere(~np.isfinite(v).all(-1))  # (b, h, j) of keys with NaN or infinity
    b, h, j = strange.T
    finite = v
    if len(strange):
        finite = v.copy()
        finite[b, h, j] = 0
    total: Array = p @ finite
    for b, h, j in strange:
        with np.errstate(invalid="ignore"):
            term = p[b, h, :, j, None] * v[b, h, j]
        total[b, h] += np.where(allowed[b, h, :, j, None], term, v.dtype.type(0))
    return total


def spread(x: Array, heads: int) -> Array:
    """Repeat key heads so that query head h finds its own at index h."""
    return x.repeat(heads // x.shape[1], axis=1) if x.shape[1] != heads else x


def gather(dx: Array, heads: int) -> Array:
    """Add up the gradients of query heads that share a key head."""
    b, h, length, d = dx.shape
    return dx.reshape(b, heads, h // heads, length, d).sum(2) if h != heads else dx


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, allowed: Any, bias: Array | None, scale: float, out: Array | None
) -> tuple[Array, Array]:
    kind, heads = q.dtype, q.shape[1]
    q, k, v, bias = working(q), spread(working(k), heads), spread(working(v), heads), working(bias)
    s = scores(q, k, dense(allowed, k.shape[2]), bias, scale)
    top = s.max(-1, keepdims=True, initial=-np.inf)
    p = np.exp(s - np.where(np.isneginf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    some = ~np.isneginf(top)  # rows that may attend to nothing give 0 and -inf
    result = np.divide(
        combine(p, ~np.isneginf(s), v), total, out=np.zeros((*q.shape[:3], v.shape[3]), q.dtype), where=some
    )
    lse = np.where(some, top + np.log(np.where(some, total, 1)), top)[..., 0]
    if out is None:
        return result.astype(kind, copy=False), lse
    out[...] = result
    return out, lse


def scaled_dot_product_attention_backward(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    lse: Array,
    allowed: Any,
    bias: Array | None,
    scale: float,
    need_dbias: bool,
) -> tuple[Array, Array, Array, Array | None]:
    kind, heads, groups = q.dtype, q.shape[1], k.shape[1]
    q, k, v, bias = working(q), spread(working(k), heads), spread(working(v), heads), working(bias)
    s = scores(q, k, dense(allowed, k.shape[2]), bias, scale)
    some = ~np.isneginf(lse)[..., None]
    counted = ~np.isneginf(s) & some
    p = np.where(counted, np.exp(np.where(counted, s - np.where(some, lse[..., None], 0), 0)), q.dtype.type(0))
    dout = np.where(some, working(grad), q.dtype.type(0))
    share = np.sum(dout * working(out), -1, keepdims=True)
    with np.errstate(invalid="ignore"):
        ds = np.where(counted, p * (dout @ v.swapaxes(2, 3) - share), q.dtype.type(0))
    dbias = ds * q.dtype.type(scale)
    over = counted.swapaxes(2, 3)
    dq = combine(dbias, counted, k)
    dk = gather(combine(dbias.swapaxes(2, 3), over, q), groups)
    dv = gather(combine(p.swapaxes(2, 3), over, dout), groups)
    dq, dk, dv = (each.astype(kind, copy=False) for each in (dq, dk, dv))
    if not need_dbias or bias is None:
        return dq, dk, dv, None
    axes = tuple(axis for axis in range(4) if bias.shape[axis] == 1)
    return dq, dk, dv, dbias.sum(axes, keepdims=True).astype(kind, copy=False)


def angles(positions: Array, dim: int, base: float) -> Array:
    """Return positions / base^(2i/dim) for i < dim/2, in float64."""
    angle: Array = positions[..., None].astype(np.float64) / base ** (np.arange(0, dim, 2) / dim)
    return angle


def rotary(x: Array, positions: Array, base: float, inverse: bool) -> Array:
    kind = x.dtype
    x = working(x)
    angle = angles(positions, x.shape[-1], base)
    cos, sin = (np.repeat(f(angle), 2, -1).astype(x.dtype) for f in (np.cos, np.sin))
    turned = np.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
    y: Array = x * cos + (-turned if inverse else turned) * sin
    return y.astype(kind, copy=False)


def sinusoidal(positions: Array, dim: int, base: float, layout: str) -> Array:
    angle = angles(positions, dim, base)
    if layout == "blocks":
        return np.concatenate([np.cos(angle), np.sin(angle)], -1).astype(positions.dtype)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(*positions.shape, dim).astype(positions.dtype)
