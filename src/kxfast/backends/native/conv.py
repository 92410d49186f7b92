"""Dilated gated convolutions, compiled.

Half types are computed in float32 and rounded once, at the end; bfloat16 layers and their gradients are multiplied as
they are, with sums in float32, and rounded one by one, where the processor is faster at that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import conv as native
from kxfast._native import core
from kxfast.backends.native.conv_stack import Gradients, cut, gradient_of, pieces
from kxfast.backends.native.half import rounded, widened

Array = NDArray[Any]
Kept = list[tuple[Array, Array | None]]  # of each layer its input, and its candidates and open shares

__all__ = [
    "attention_pooling",
    "dgcnn",
    "dgcnn_backward",
    "dilated_conv1d",
    "dilated_gated_conv1d",
    "dilated_gated_conv1d_at_once",
    "dilated_gated_conv1d_backward",
    "dilated_gated_conv1d_backward_at_once",
    "masked_max_pooling",
    "masked_mean_pooling",
    "match_features",
    "packed",
]

dilated_gated_conv1d_at_once = native.forward_at_once
dilated_gated_conv1d_backward_at_once = native.backward_at_once

_TYPES: dict[str, tuple[Any, Any]] = {
    "f": (native.LayerFloat32, native.PackedFloat32),
    "d": (native.LayerFloat64, native.PackedFloat64),
    "E": (native.LayerBfloat16, native.PackedBfloat16),
}


def _finish(y: Array, kind: np.dtype[Any], out: Array | None) -> Array:
    if out is y:
        return y
    result: Array = rounded(y, kind)
    if out is None:
        return result
    out[...] = result
    return out


def _layer(layer: Any, kind: np.dtype[Any]) -> Any:
    """Return the layer as the compiled module holds it, in the type that it computes in."""
    held, kept = _TYPES[kind.char]
    packed = layer.packed if type(layer.packed) is kept else None
    weight, bias = layer.weight, layer.bias
    if kind.itemsize == 2:
        weight, bias = weight.view(np.uint16), widened(bias)
    elif weight.dtype is not kind:
        layer = layer.astype(kind)
        weight, bias = layer.weight, layer.bias
    shortcut, shortcut_bias = layer.shortcut or (None, None)
    gamma, beta, alpha = layer.norm or (None, None, 0.0)
    options = layer.dilation, layer.padding == "causal", layer.skip, layer.gate == "first", layer.mask_input
    return held(weight, bias, *options, shortcut, shortcut_bias, gamma, beta, alpha, packed)


def packed(layer: Any) -> Any:
    """Keep the weight in the order of kernels, in the type that they compute in."""
    kind = layer.weight.dtype
    if kind.itemsize == 2 and not _multiplied_as_is(layer):
        kind = np.dtype(np.float32)
    return _layer(layer, kind).pack()


def _forward(
    x: Array,
    layer: Any,
    mask: Array | None,
    drop: float,
    seed: int,
    out: Array | None,
    kept: Kept | None,
    first: int = 0,
) -> Array:
    """Return one layer of `x`; in float32 for half types that are not multiplied as they are.

    `first` is the number of its first row, from which on gates are dropped.
    """
    result: Array
    if x.dtype.itemsize == 2 and _multiplied_as_is(layer):
        given = x.view(np.uint16), _layer(layer, x.dtype), mask, drop, seed, first, None, kept is not None
        bits, parts = native.forward(*given)
        result = bits.view(x.dtype)
    else:
        x = widened(x)
        result, parts = native.forward(x, _layer(layer, x.dtype), mask, drop, seed, first, out, kept is not None)
    if kept is not None:
        kept.append((x, parts))
    return result


def _multiplied_as_is(layer: Any) -> bool:
    usual = layer.weight.dtype.char != "e" and layer.shortcut is None and layer.norm is None
    return usual and layer.weight.shape[1] % 2 == 0 and layer.weight.shape[1] >= 16 and core.half_products() != "none"


def dilated_gated_conv1d(
    x: Array, layer: Any, mask: Array | None, drop: float, seed: int, out: Array | None, kept: Kept | None
) -> Array:
    """One layer."""
    if x.dtype.itemsize > 2:
        return _forward(x, layer, mask, drop, seed, out, kept)
    return _finish(_forward(x, layer, mask, drop, seed, None, kept), x.dtype, out)


def dgcnn(
    x: Array, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, out: Array | None, kept: Kept | None
) -> Array:
    """Layers one after another; where nothing is kept, piece by piece."""
    parts = pieces(x, layers) if kept is None else []
    if len(parts) < 2:
        return _finish(_layers(x, layers, mask, drop, seed, out, kept), x.dtype, out)
    result = np.empty((*x.shape[:2], layers[-1].channels), x.dtype) if out is None else out
    for piece in parts:
        there = result[piece.batch, piece.own]
        target = there if piece.own == piece.seen else None
        y = _layers(cut(x, piece), layers, cut(mask, piece), drop, seed, target, None, piece.first)
        _finish(y if target is not None else y[:, piece.inner], x.dtype, there)
    return result


def _layers(
    x: Array,
    layers: Sequence[Any],
    mask: Array | None,
    drop: float,
    seed: int,
    out: Array | None,
    kept: Kept | None,
    first: int = 0,
) -> Array:
    """Return the last layer, in `out` if its type is what is computed in."""
    y, kind, last = x, x.dtype, len(layers) - 1
    for i, layer in enumerate(layers):
        target = out if i == last and kind.itemsize > 2 else None
        y = _forward(y, layer, mask, drop, (seed + i) % 2**64, target, kept, first)
    return y


def _gradients(
    dy: Array, x: Array, layer: Any, mask: Array | None, drop: float, seed: int, parts: Array | None, first: int = 0
) -> list[Any]:
    """Return the gradients of one layer as its public function does; those of weights are not yet rounded."""
    kind = layer.weight.dtype
    if kind.itemsize == 2 and _multiplied_as_is(layer):
        dy, x = (rounded(each, kind).view(np.uint16) for each in (dy, x))
        bits, dweight, dbias, *_ = native.backward(dy, x, _layer(layer, kind), mask, drop, seed, first, parts)
        return [bits.view(kind), dweight, dbias]
    dy, x = widened(dy), widened(x)
    dx, dweight, dbias, dshortcut, dshortcut_bias, dgamma, dbeta, dalpha = native.backward(
        dy, x, _layer(layer, x.dtype), mask, drop, seed, first, parts
    )
    result = [dx, dweight, dbias]
    if layer.shortcut is not None:
        result.append((dshortcut, dshortcut_bias))
    if layer.norm is not None:
        result.append((dgamma, dbeta, dx.dtype.type(dalpha)))
    return result


def dilated_gated_conv1d_backward(
    grad: Array, x: Array, layer: Any, mask: Array | None, drop: float, seed: int, parts: Array | None
) -> tuple[Any, ...]:
    """Gradients of one layer."""
    return tuple(rounded(_gradients(grad, x, layer, mask, drop, seed, parts), x.dtype))


def dgcnn_backward(
    grad: Array, x: Array, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, kept: Kept | None
) -> tuple[Array, list[tuple[Any, ...]]]:
    """Gradients of all layers; without what was kept, the inputs of all layers are computed again, piece by piece."""
    found = Gradients(x.shape)
    all_kept = [(x, None)] if kept is None else kept
    for piece in pieces(x, layers):
        given: Kept = [(cut(a, piece), cut(parts, piece)) for a, parts in all_kept]
        dy = gradient_of(grad, piece)
        found.add(piece, *_stack_gradients(dy, given, layers, cut(mask, piece), drop, seed, piece.first))
    result: tuple[Array, list[tuple[Any, ...]]] = rounded((found.dx, found.of_layers), x.dtype)
    return result


def _stack_gradients(
    dx: Array, given: Kept, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, first: int
) -> tuple[Array, list[tuple[Any, ...]]]:
    """Return the gradients of all layers, not yet rounded, from what is given of them, or of the first alone."""
    keys = [(seed + i) % 2**64 for i in range(len(layers))]
    for layer, key in zip(layers[: len(layers) - len(given)], keys, strict=False):
        given.append((_forward(given[-1][0], layer, mask, drop, key, None, None, first), None))
    gradients: list[tuple[Any, ...]] = []
    for i in reversed(range(len(layers))):
        dx, *rest = _gradients(dx, given[i][0], layers[i], mask, drop, keys[i], given[i][1], first)
        gradients.insert(0, tuple(rest))
    return dx, gradients


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
    """One convolution without a gate."""
    options = dilation, padding == "causal", activation or "none", pool
    target = out if x.dtype.itemsize > 2 else None
    run: Any = native.dilated_float64 if x.dtype.char == "d" else native.dilated_float32
    return _finish(run(widened(x), widened(weight), widened(bias), mask, *options, target), x.dtype, out)


def attention_pooling(
    x: Array,
    hidden: Array,
    output: Array,
    mask: Array | None,
    activation: str,
    hidden_bias: Array | None,
    output_bias: float,
) -> Array:
    """Weighted mean over time; `output_bias` moves all scores of a sequence and changes nothing."""
    h, o, b = widened(hidden), widened(np.ascontiguousarray(output)), widened(hidden_bias)
    run: Any = native.attention_pooled_float64 if x.dtype.char == "d" else native.attention_pooled_float32
    result: Array = rounded(run(widened(x), h, o, mask, activation == "swish", b), x.dtype)
    return result


def _pooled(x: Array, mask: Array | None, *, largest: bool) -> Array:
    run: Any = native.pooled_float64 if x.dtype.char == "d" else native.pooled_float32
    result: Array = rounded(run(widened(x), mask, largest), x.dtype)
    return result


def masked_max_pooling(x: Array, mask: Array | None) -> Array:
    """Largest value over time."""
    return _pooled(x, mask, largest=True)


def masked_mean_pooling(x: Array, mask: Array | None) -> Array:
    """Mean over time."""
    return _pooled(x, mask, largest=False)


def match_features(question: Array, passage: Array) -> Array:
    """Features of every place of the passage; tokens are numbered from 0, those of the question first."""
    tokens = 1 + max(int(question.max()), int(passage.max(initial=0)))
    return native.match_features(question, passage, tokens)
