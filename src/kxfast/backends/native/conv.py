"""Dilated gated convolutions, compiled. Half types are computed in float32 and rounded once, at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import conv as native

Array = NDArray[Any]

__all__ = ["dgcnn", "dilated_gated_conv1d"]


def _working(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _finish(y: Array, kind: np.dtype[Any], out: Array | None) -> Array:
    if out is None or out is y:
        return y.astype(kind, copy=False)
    out[...] = y
    return out


def _layer(layer: Any, kind: np.dtype[Any]) -> Any:
    """Return the layer as the compiled module holds it."""
    if kind.itemsize == 2:
        kind = np.dtype(np.float32)
        layer = layer.astype(kind)
    shortcut, shortcut_bias = layer.shortcut or (None, None)
    gamma, beta, alpha = layer.norm or (None, None, 0.0)
    return (native.LayerFloat32 if kind.char == "f" else native.LayerFloat64)(
        layer.weight,
        layer.bias,
        layer.dilation,
        layer.padding == "causal",
        layer.skip,
        layer.gate == "first",
        layer.mask_input,
        shortcut,
        shortcut_bias,
        gamma,
        beta,
        alpha,
    )


def dilated_gated_conv1d(x: Array, layer: Any, mask: Array | None, drop: float, seed: int, out: Array | None) -> Array:
    kind = x.dtype
    if kind.itemsize == 2:
        return _finish(native.forward(_working(x), _layer(layer, kind), mask, drop, seed, None), kind, out)
    result: Array = native.forward(x, _layer(layer, kind), mask, drop, seed, out)
    return result


def dgcnn(x: Array, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, out: Array | None) -> Array:
    kind = x.dtype
    y: Array = _working(x)
    last = len(layers) - 1
    for i, layer in enumerate(layers):
        target = out if i == last and kind.itemsize > 2 else None
        y = native.forward(y, _layer(layer, kind), mask, drop, (seed + i) % 2**64, target)
    return _finish(y, kind, out)
