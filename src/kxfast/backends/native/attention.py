"""Masked attention, compiled; half types are converted to float32 and rounded once, at the end."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from kxfast._native import attention as _native
from kxfast.backends.native.half import rounded, widened

Array = NDArray[Any]


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, allowed: Any, bias: Array | None, scale: float, out: Array | None
) -> tuple[Array, Array]:
    """See the reference."""
    kind, pairs = q.dtype, _native.Allowed(*allowed)
    if kind.itemsize > 2:
        return _native.scaled_dot_product_attention(q, k, v, pairs, bias, scale, out)
    a, b, c, d = map(widened, (q, k, v, bias))
    wide, lse = _native.scaled_dot_product_attention(a, b, c, pairs, d, scale, None)
    result = rounded(wide, kind)
    if out is None:
        return result, lse
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
    *x, b = map(widened, (grad, q, k, v, out, bias))
    run: Any = _native.scaled_dot_product_attention_backward
    dq, dk, dv, dbias = run(*x, lse, _native.Allowed(*allowed), b, scale, need_dbias)
    if dbias is not None and bias is not None:
        dbias = dbias.sum(tuple(axis for axis in range(4) if bias.shape[axis] == 1), keepdims=True)
    gradients: tuple[Array, Array, Array, Array | None] = rounded((dq, dk, dv, dbias), q.dtype)
    return gradients
