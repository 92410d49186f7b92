"""Masked attention, compiled; half types are converted to float32 and rounded once, at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import attention as _native

Array = NDArray[Any]


def _wide(*arrays: Array | None) -> list[Any]:
    return [None if x is None else x.astype(np.float32) for x in arrays]


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, allowed: Any, bias: Array | None, scale: float, out: Array | None
) -> tuple[Array, Array]:
    """See the reference."""
    kind, pairs = q.dtype, _native.Allowed(*allowed)
    if kind.itemsize > 2:
        return _native.scaled_dot_product_attention(q, k, v, pairs, bias, scale, out)
    a, b, c, d = _wide(q, k, v, bias)
    result, lse = _native.scaled_dot_product_attention(a, b, c, pairs, d, scale, None)
    if out is None:
        return result.astype(kind), lse
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
    """See the reference."""
    kind, half = q.dtype, q.dtype.itemsize == 2
    *x, b = _wide(grad, q, k, v, out, bias) if half else (grad, q, k, v, out, bias)
    run: Any = _native.scaled_dot_product_attention_backward
    dq, dk, dv, dbias = run(*x, lse, _native.Allowed(*allowed), b, scale, need_dbias)
    if dbias is not None and bias is not None:
        dbias = dbias.sum(tuple(axis for axis in range(4) if bias.shape[axis] == 1), keepdims=True)
    if not half:
        return dq, dk, dv, dbias
    return dq.astype(kind), dk.astype(kind), dv.astype(kind), None if dbias is None else dbias.astype(kind)
