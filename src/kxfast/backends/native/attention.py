"""Masked attention, compiled; half types are converted to float32 and rounded once, at the end.

bfloat16 is multiplied as it is where the processor is fast at that: weights, and gradients of scores, are rounded
before they are multiplied again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import attention as _native
from kxfast._native import core
from kxfast.backends.native.half import rounded, widened

Array = NDArray[Any]
_ALL = _native.Allowed(None, None, None)
FEW = 8  # queries of a key head that share a pass over keys in float32


def multiplied_as_it_is(q: Array, k: Array) -> bool:
    """Return whether there is a kernel for the type of q."""
    if q.dtype.itemsize != 2 or q.dtype.char == "e" or q.shape[2] * (q.shape[1] // max(k.shape[1], 1)) <= FEW:
        return False
    return core.half_products() != "none"


def allowed_pairs(allowed: Any) -> Any:
    """Return a mask, intervals and their order as kernels take them."""
    return _ALL if allowed[0] is None and allowed[1] is None else _native.Allowed(*allowed)


def bits(*arrays: Array) -> list[Array]:
    """Return arrays of a half type as the kernels of that type take them."""
    return [each.view(np.uint16) for each in arrays]


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, allowed: Any, bias: Array | None, scale: float, out: Array | None
) -> tuple[Array, Array]:
    """See the reference."""
    kind, pairs = q.dtype, allowed_pairs(allowed)
    run: Any = _native.scaled_dot_product_attention
    if kind.itemsize > 2:
        both: tuple[Array, Array] = run(q, k, v, pairs, bias, scale, out)
        return both
    made = run(*bits(q, k, v), pairs, widened(bias), scale, None) if multiplied_as_it_is(q, k) else None
    if made is None:
        a, b, c, d = map(widened, (q, k, v, bias))
        made = run(a, b, c, pairs, d, scale, None)
    result: Array = made[0].view(kind) if made[0].dtype.itemsize == 2 else rounded(made[0], kind)
    lse: Array = made[1]
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
    run: Any = _native.scaled_dot_product_attention_backward
    rest = (allowed_pairs(allowed), widened(bias), scale, need_dbias)
    made = run(*bits(grad, q, k, v, out), lse, *rest) if multiplied_as_it_is(q, k) else None
    if made is None:
        made = run(*map(widened, (grad, q, k, v, out)), lse, *rest)
    dq, dk, dv, dbias = (x.view(q.dtype) if x is not None and x.dtype.itemsize == 2 else x for x in made)
    if dbias is not None and bias is not None:
        dbias = dbias.sum(tuple(axis for axis in range(4) if bias.shape[axis] == 1), keepdims=True)
    gradients: tuple[Array, Array, Array, Array | None] = rounded((dq, dk, dv, dbias), q.dtype)
    return gradients
