"""Attention over arrays in the memory of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from kxfast import checks, devices
from kxfast.attention import arguments
from kxfast.devices import DeviceArray
from kxfast.dispatch import implementation
from kxfast.masks import Mask
from kxfast.masks.mask import And
from kxfast.masks.patterns import Function

Array = NDArray[Any]
TYPES = ("float32", "float64", "float16", "bfloat16")
_ALIGN = 16  # bytes that an asynchronous copy brings


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which keys queries may attend to; nothing: all. What the backend makes of it lives as long as it."""

    intervals: Array | None = None  # as in `arguments.Pairs`, and so is `order`
    order: Array | None = None
    bits: Array | None = None  # uint32 (B or 1, H or 1, Lq or 1, words): 32 keys in a word
    mask: DeviceArray | None = None  # booleans on the device, in four dimensions that broadcast
    function: Callable[..., Any] | None = None  # of (b, h, i, j); counts beside intervals


class Call(NamedTuple):
    """Checked arguments of one attention."""

    q: DeviceArray
    k: DeviceArray
    v: DeviceArray
    pairs: Pairs
    bias: DeviceArray | None
    scale: float


def attend_there(q: Any, k: Any, v: Any, *, mask: Any, bias: Any, scale: Any, return_lse: Any, out: Any) -> Any:
    """Do what `scaled_dot_product_attention` says, on the device where all the arrays are."""
    run = implementation("attention", "scaled_dot_product_attention", "cuda")
    call = _call(q, k, v, mask, bias, scale)
    both = checks.boolean("return_lse", return_lse)
    inputs = {"q": call.q, "k": call.k, "v": call.v, "bias": call.bias}
    target = devices.output(out, (*call.q.shape[:3], call.v.shape[3]), call.q, inputs, types=TYPES, align=_ALIGN)
    result, lse = run(*call, target)
    result = result if out is None else out
    return (result, lse) if both else result


def attend_back_there(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, *, mask: Any, bias: Any, scale: Any, need_dbias: Any
) -> tuple[Any, ...]:  # fmt: skip
    """Do what `scaled_dot_product_attention_backward` says, on the device where all the arrays are."""
    run = implementation("attention", "scaled_dot_product_attention_backward", "cuda")
    call = _call(q, k, v, mask, bias, scale)
    wanted = checks.boolean("need_dbias", need_dbias)
    if wanted and call.bias is None:
        raise ValueError("need_dbias must be False without a bias; got True")
    shape = (*call.q.shape[:3], call.v.shape[3])
    dout, result = (_floating(name, x, call.q, ndim=None) for name, x in (("grad", grad), ("out", out)))
    kind = "float64" if call.q.dtype == np.float64 else "float32"
    total = devices.canonical("lse", lse, call.q, types=(kind,))
    for name, x, expected, letters in (
        ("grad", dout, shape, "(B, H, Lq, Dv)"), ("out", result, shape, "(B, H, Lq, Dv)"),
        ("lse", total, shape[:3], "(B, H, Lq)"),
    ):  # fmt: skip
        checks.shape(name, x, expected, str(expected), f"{letters} to match q and v")
    dq, dk, dv, dbias = run(dout, *call[:3], result, total, *call[3:], wanted)
    if not wanted:
        return dq, dk, dv
    return dq, dk, dv, dbias.reshape(tuple(bias.shape))


def _call(q: Any, k: Any, v: Any, mask: Any, bias: Any, scale: Any) -> Call:
    first = _floating("q", q, None, strided=True)
    a, b, c = first, _floating("k", k, first, strided=True), _floating("v", v, first, strided=True)
    full = arguments.agreeing(a, b, c)
    if not (a.shape[3] and c.shape[3]):
        raise ValueError(f"q and v must have heads of at least 1 on a GPU; got {a.shape[3]} and {c.shape[3]}")
    d = None
    if bias is not None:
        given = _floating("bias", bias, first, ndim=None)
        d = given._replace(shape=arguments.broadcasting("bias", given.shape, full))
    return Call(a, b, c, _pairs(mask, full, bias is None, first), d, arguments.factor(scale, a.shape[3]))


def _floating(
    name: str, x: Any, first: DeviceArray | None, ndim: int | None = 4, strided: bool = False
) -> DeviceArray:  # fmt: skip
    found = devices.canonical(name, x, first, types=TYPES, align=_ALIGN, strided=strided)
    if ndim is not None and len(found.shape) != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions; got shape {found.shape}")
    if first is not None and found.dtype != first.dtype:
        raise TypeError(f"{name} must be {first.dtype} like q on a GPU; got {found.dtype}")
    return found


# Masks do not change: what the last call made of each is kept for the next.
_recent: WeakKeyDictionary[Mask, tuple[Any, Pairs]] = WeakKeyDictionary()


def _pairs(mask: Any, full: tuple[int, int, int, int], sortable: bool, first: DeviceArray) -> Pairs:
    if mask is None:
        return Pairs()
    if not isinstance(mask, Mask):
        given = devices.canonical("mask", mask, first, types=("bool",))
        return Pairs(mask=given._replace(shape=arguments.broadcasting("mask", given.shape, full)))
    known = _recent.get(mask)
    if known is None or known[0] != (full, sortable):
        known = _recent[mask] = (full, sortable), _of_mask(mask, full, sortable)
    return known[1]


def _of_mask(mask: Mask, full: tuple[int, int, int, int], sortable: bool) -> Pairs:
    function, rest = _function(mask)
    if function is not None:
        intervals = None if rest is None else rest.key_intervals(*full)
        if rest is None or intervals is not None:
            return Pairs(intervals, function=function)
    found = arguments.pairs(mask, full, sortable)
    if found.mask is None:
        return Pairs(found.intervals, found.order)
    wide = np.broadcast_to(found.mask, (*found.mask.shape[:3], full[3]))
    bits = np.zeros((*wide.shape[:3], -(-full[3] // 32) * 4), np.uint8)
    bits[..., : -(-full[3] // 8)] = np.packbits(wide, -1, bitorder="little")
    return Pairs(bits=bits.view(np.uint32))


def _function(mask: Mask) -> tuple[Callable[..., Any] | None, Mask | None]:
    """Return the function that stands among what a mask wants at once, and the rest of it."""
    if isinstance(mask, Function):
        return mask.f, None
    if isinstance(mask, And):
        for one, other in (mask.left, mask.right), (mask.right, mask.left):
            function, rest = _function(one)
            if function is not None:
                return function, other if rest is None else And(rest, other)
    return None, mask
