"""Dilated convolution over time (spec section 1) and the small pieces all of this stem uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def working(x: Any) -> Any:
    """Half types are computed in float32."""
    return x.astype(np.float32) if x is not None and x.dtype.itemsize == 2 else x


def finish(y: Array, kind: np.dtype[Any], out: Array | None = None) -> Array:
    """Round once, at the end."""
    if out is None:
        return y.astype(kind, copy=False)
    out[...] = y
    return out


def select(x: Array, mask: Array | None) -> Array:
    """Zero where the mask is False: selected, not multiplied, so that NaN in padding goes nowhere."""
    return x if mask is None else np.where(mask[..., None], x, x.dtype.type(0))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    s: Array = np.where(z >= 0, 1 / (1 + e), e / (1 + e))
    return s


def taps(length: int, kernel: int, dilation: int, padding: str) -> Iterator[tuple[int, slice, slice]]:
    """Yield (tap, positions written, positions read) for every tap that meets the sequence at all."""
    reach = (kernel - 1) * dilation
    left = reach if padding == "causal" else reach // 2
    for a in range(kernel):
        shift = a * dilation - left
        low, high = max(0, -shift), min(length, length - shift)
        if low < high:
            yield a, slice(low, high), slice(low + shift, high + shift)


def convolve(x: Array, weight: Array, bias: Array | None, dilation: int, padding: str) -> Array:
    h = np.zeros((*x.shape[:2], weight.shape[2]), x.dtype)
    for a, written, read in taps(x.shape[1], len(weight), dilation, padding):
        h[:, written] += x[:, read] @ weight[a]
    return h if bias is None else h + bias


def convolve_backward(
    dh: Array, x: Array, weight: Array, mask: Array | None, dilation: int, padding: str
) -> tuple[Array, Array, Array]:
    """Return the gradients for the input, the weight and the bias (spec section 5).

    Where the mask is False `dh` is 0, and what was read there is left out.
    """
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for a, written, read in taps(x.shape[1], len(weight), dilation, padding):
        dx[:, read] += dh[:, written] @ weight[a].T
        seen = select(x[:, read], None if mask is None else mask[:, written])
        dweight[a] = np.tensordot(seen, dh[:, written], ([0, 1], [0, 1]))
    return dx, dweight, dh.sum((0, 1))


def dilated_conv1d(
    x: Array,
    weight: Array,
    bias: Array | None,
    mask: Array | None,
    dilation: int,
    padding: str,
    activation: str | None,
    pool: int,
    out: Array | None,
) -> Array:
    kind = x.dtype
    x, weight, bias = working(x), working(weight), working(bias)
    h = convolve(select(x, mask), weight, bias, dilation, padding)
    if activation is not None:
        h = np.maximum(h, 0)
    if activation == "relu_pair_sum":
        half = h.shape[2] // 2
        h = h[..., :half] + h[..., half:]
    if pool > 1:
        windows = h.shape[1] // pool
        h = h[:, : windows * pool].reshape(h.shape[0], windows, pool, h.shape[2]).max(2)
    return finish(h, kind, out)
