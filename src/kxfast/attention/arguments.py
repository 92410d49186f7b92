"""What attention accepts: heads, masks and biases become canonical, or one line says what is wrong."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.masks import Mask
from kxfast.masks.patterns import Permutation

Array = NDArray[Any]


# Masks do not change: the intervals of each one's last call, or that there are none, are kept for its next one, the
# gradients perhaps.
_recent: WeakKeyDictionary[Mask, tuple[Any, Pairs | None]] = WeakKeyDictionary()


class Pairs(NamedTuple):
    """Which keys queries may attend to: booleans or intervals; nothing: all."""

    mask: Array | None = None  # booleans in four dimensions that broadcast to (B, H, Lq, Lk)
    intervals: Array | None = None  # int32 (B or 1, 1, Lq or 1, 4): start and stop of two intervals of keys
    order: Array | None = None  # int64 (B or 1, L): places of queries and keys, in the order intervals count in


ALL = Pairs()


class Call(NamedTuple):
    """Checked arguments of one attention."""

    q: Array
    k: Array
    v: Array
    allowed: Pairs
    bias: Array | None  # in four dimensions that broadcast likewise
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return (*self.q.shape[:3], self.v.shape[3])


def attention_call(q: Any, k: Any, v: Any, mask: Any, bias: Any, scale: Any) -> Call:
    """Check the arguments that forward and backward share."""
    a = checks.in_rows("q", q, 4)
    b = checks.in_rows("k", k, 4)
    c = checks.in_rows("v", v, 4)
    full = agreeing(a, b, c)
    m = ALL if mask is None else pairs(mask, full, bias is None)
    d = None if bias is None else four_dimensions("bias", checks.floating("bias", bias, half=True), full)
    if d is not None:
        a, b, c, d = checks.common_float(q=a, k=b, v=c, bias=d)
    elif not a.dtype is b.dtype is c.dtype:
        a, b, c = checks.common_float(q=a, k=b, v=c)
    return Call(a, b, c, m, d, factor(scale, a.shape[3]))


def laid_out_like(x: Array, example: Array) -> Array:
    """Return (B, H, L, D) with heads inside of rows in memory if `example` is so; otherwise rows inside of heads."""
    inside = example.strides[1] < example.strides[2]
    if inside == (x.strides[1] < x.strides[2]):
        return x
    return np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) if inside else np.ascontiguousarray(x)


def agreeing(q: Any, k: Any, v: Any) -> tuple[int, int, int, int]:
    """Check the shapes of arrays of four dimensions; return (batch, heads, queries, keys)."""
    batch, heads, q_len, dim = q.shape
    groups, k_len = k.shape[1:3]
    width = v.shape[3]
    if k.shape != (batch, groups, k_len, dim):
        letters = f"({batch}, Hkv, Lk, {dim})"
        checks.shape("k", k, (batch, groups, k_len, dim), letters, "to match q's batch and head size")
    if v.shape != (batch, groups, k_len, width):
        letters = f"({batch}, {groups}, {k_len}, Dv)"
        checks.shape("v", v, (batch, groups, k_len, width), letters, "to match k")
    if groups == 0 or heads == 0 or heads % groups:
        raise ValueError(f"q must have a multiple of k's {groups} heads; got {heads}")
    return batch, heads, q_len, k_len


def factor(scale: Any, dim: int) -> float:
    """Return what scores are multiplied by."""
    return float(max(dim, 1) ** -0.5) if scale is None else checks.number("scale", scale)


def pairs(mask: Any, full: tuple[int, int, int, int], sortable: bool) -> Pairs:
    """Return a mask in the form that costs least: intervals wherever they say it all."""
    if not isinstance(mask, Mask):
        return Pairs(four_dimensions("mask", checks.booleans("mask", mask), full))
    known = _recent.get(mask)
    if known is None or known[0] != (full, sortable):
        if sortable and isinstance(mask, Permutation) and full[2] == full[3]:
            found: Pairs | None = Pairs(None, *mask.sorted_intervals(*full))
        else:
            intervals = mask.key_intervals(*full)
            found = None if intervals is None else Pairs(None, intervals)
        known = _recent[mask] = (full, sortable), found
    return known[1] or Pairs(mask.pattern(*full))


def four_dimensions(name: str, x: Array, full: tuple[int, ...]) -> Array:
    """Put axes of length 1 before `x`, which must broadcast to `full`."""
    return x.reshape(broadcasting(name, x.shape, full))


def broadcasting(name: str, shape: tuple[int, ...], full: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape with axes of length 1 before it, which must broadcast to `full`."""
    wide = (1,) * (4 - len(shape)) + shape
    if len(wide) != 4 or any(a not in (1, b) for a, b in zip(wide, full, strict=True)):
        hint = ""
        if len(shape) < 4 and shape[:1] == full[:1] and shape[-1:] in (full[3:], (1,)):
            hint = f"; insert axes for heads (and queries): {name}[:, None{', None' if len(shape) == 2 else ''}]"
        raise ValueError(f"{name} must broadcast to (B, H, Lq, Lk) = {full}; got shape {shape}{hint}")
    return wide


def result_like(name: str, value: Any, shape: tuple[int, ...], kind: np.dtype[Any], letters: str) -> Array:
    """Return an array of the shape of the result (or of its log-sum-exp) in a given type."""
    x = checks.in_rows(name, value, 4) if len(shape) == 4 else checks.floating(name, value, ndim=len(shape), half=True)
    checks.shape(name, x, shape, str(shape), f"{letters} to match q and v")
    return x.astype(kind, copy=False)
