"""Variants A, A0, B, C and D of the dilated gated convolution, their gradients and stacks (spec sections 2 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.conv.dropout import gate_scale
from kxfast.backends.reference.conv.plain import convolve, convolve_backward, finish, select, sigmoid, working

Array = NDArray[Any]
Kept = list[tuple[Array, Array | None]]  # of each layer its input, and its candidates and open shares
EPSILON = 1e-7  # of the layer normalisation in D


class _Layer(NamedTuple):
    weight: Array
    bias: Array | None
    dilation: int
    padding: str
    skip: str
    gate: str
    mask_input: bool
    shortcut: tuple[Array, Array | None] | None
    norm: tuple[Array, Array, float] | None


class _State(NamedTuple):
    inner: Array  # what is convolved
    skipped: Array  # what the skip connection carries, before and
    projected: Array  # after the shortcut
    candidate: Array
    opens: Array  # share of the candidate, a sigmoid of the gate
    keeps: Array  # share of the input, 1 - opens
    scale: Array | float  # d(gate)/d(convolution): dropout and sign


def _open(layer: _Layer, x: Array, mask: Array | None, drop: float, seed: int, parts: Array | None = None) -> _State:
    """Compute everything up to the gate, or take candidates and open shares from what `_parts` returned."""
    inner = select(x, mask) if layer.mask_input else x
    skipped = inner if layer.skip == "add" else select(x, mask)
    projected = skipped
    if layer.shortcut is not None:
        projected = skipped @ layer.shortcut[0]
        if layer.shortcut[1] is not None:
            projected = projected + layer.shortcut[1]
    if parts is not None:
        candidate, opens = np.split(parts, 2, -1)
        scale = _scale(layer, opens, drop, seed)
        return _State(inner, skipped, projected, candidate, opens, 1 - opens, scale)
    h = convolve(inner, layer.weight, layer.bias, layer.dilation, layer.padding)
    first, second = h[..., : h.shape[2] // 2], h[..., h.shape[2] // 2 :]
    candidate, gate = (first, second) if layer.gate == "last" else (second, first)
    scale = _scale(layer, gate, drop, seed)
    return _State(inner, skipped, projected, candidate, sigmoid(gate * scale), sigmoid(-gate * scale), scale)


def _scale(layer: _Layer, gate: Array, drop: float, seed: int) -> Array | float:
    scale = gate_scale(gate.shape, drop, seed, gate.dtype)
    return -scale if layer.skip == "gated" and layer.gate == "first" else scale  # variant B: the gate keeps the input


def _parts(s: _State, counted: Array | None) -> Array:
    return select(np.concatenate([s.candidate, s.opens], -1), counted)


def _normalize(u: Array) -> tuple[Array, Array]:
    """Return `u` with mean 0 and variance 1 over channels, and the deviation it was divided by."""
    centred = u - u.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation, deviation


def _forward(layer: _Layer, x: Array, mask: Array | None, drop: float, seed: int) -> tuple[Array, Array]:
    """Return the result, and candidates and open shares where they count."""
    s = _open(layer, x, mask, drop, seed)
    u = s.candidate * s.opens
    if layer.norm is not None:
        gamma, beta, alpha = layer.norm
        u = alpha * (_normalize(u)[0] * gamma + beta)
    if layer.skip == "add":
        u = s.projected + u
    elif layer.skip == "gated":
        u = select(s.projected * s.keeps + u, mask)
    else:
        u = select(u, mask)
    return u, _parts(s, mask if layer.skip != "add" else None)


def _backward(
    layer: _Layer, dy: Array, x: Array, mask: Array | None, drop: float, seed: int, parts: Array | None
) -> tuple[Any, ...]:
    s = _open(layer, x, mask, drop, seed, parts)
    counted = mask if layer.skip != "add" else None  # which positions of the result are not 0
    dy = select(dy, counted)
    du = dy
    extra: list[Any] = []
    if layer.norm is not None:
        du, dnorm = _norm_backward(layer.norm, dy, s.candidate * s.opens)
        extra.append(dnorm)
    other = s.candidate - s.projected if layer.skip == "gated" else s.candidate
    dcandidate, dgate = du * s.opens, du * other * s.opens * s.keeps * s.scale
    dh = select(np.concatenate([dcandidate, dgate] if layer.gate == "last" else [dgate, dcandidate], -1), counted)
    dx, dweight, dbias = convolve_backward(dh, s.inner, layer.weight, counted, layer.dilation, layer.padding)
    dx = select(dx, mask) if layer.mask_input else dx
    if layer.skip != "none":
        dskip = select(dy * s.keeps if layer.skip == "gated" else dy, counted)
        if layer.shortcut is not None:
            dskip, dshortcut = _shortcut_backward(layer.shortcut, dskip, s.skipped)
            extra.insert(0, dshortcut)
        dx = dx + (select(dskip, mask) if layer.mask_input else dskip)
    return dx, dweight, None if layer.bias is None else dbias, *extra


def _norm_backward(norm: tuple[Array, Array, float], dy: Array, u: Array) -> tuple[Array, tuple[Array, ...]]:
    gamma, beta, alpha = norm
    normal, deviation = _normalize(u)
    dn = alpha * dy
    dnormal = dn * gamma
    du = dnormal - dnormal.mean(-1, keepdims=True) - normal * (dnormal * normal).mean(-1, keepdims=True)
    dalpha = np.sum(dy * (normal * gamma + beta))
    return du / deviation, ((dn * normal).sum((0, 1)), dn.sum((0, 1)), dalpha)


def _shortcut_backward(
    shortcut: tuple[Array, Array | None], dp: Array, x: Array
) -> tuple[Array, tuple[Array, Array | None]]:
    weight, bias = shortcut
    dweight = np.tensordot(x, dp, ([0, 1], [0, 1]))
    return dp @ weight.T, (dweight, None if bias is None else dp.sum((0, 1)))


def _working_layer(layer: Any) -> _Layer:
    shortcut, norm = layer.shortcut, layer.norm
    return _Layer(
        working(layer.weight),
        working(layer.bias),
        layer.dilation,
        layer.padding,
        layer.skip,
        layer.gate,
        layer.mask_input,
        None if shortcut is None else (working(shortcut[0]), working(shortcut[1])),
        None if norm is None else (working(norm[0]), working(norm[1]), norm[2]),
    )


def _rounded(gradients: Any, kind: np.dtype[Any]) -> Any:
    """Round every array of a nest of tuples and lists."""
    if gradients is None:
        return None
    if isinstance(gradients, (tuple, list)):
        return type(gradients)(_rounded(each, kind) for each in gradients)
    return gradients.astype(kind, copy=False)


def dgcnn(
    x: Array, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, out: Array | None, kept: Kept | None
) -> Array:
    kind = x.dtype
    y: Array = working(x)
    for i, layer in enumerate(layers):
        given = y
        y, parts = _forward(_working_layer(layer), given, mask, drop, (seed + i) % 2**64)
        if kept is not None:
            kept.append((given, parts))
    return finish(y, kind, out)


def dgcnn_backward(
    grad: Array, x: Array, layers: Sequence[Any], mask: Array | None, drop: float, seed: int, kept: Kept | None
) -> tuple[Array, list[tuple[Any, ...]]]:
    kind = x.dtype
    if kept is None:
        found: Kept = []
        dgcnn(x, layers, mask, drop, seed, None, found)
        kept = [(given, None) for given, _ in found]
    dx: Array = working(grad)
    gradients: list[tuple[Any, ...]] = []
    for i in reversed(range(len(layers))):
        given, parts = kept[i]
        dx, *rest = _backward(_working_layer(layers[i]), dx, working(given), mask, drop, (seed + i) % 2**64, parts)
        gradients.insert(0, tuple(rest))
    rounded: tuple[Array, list[tuple[Any, ...]]] = _rounded((dx, gradients), kind)
    return rounded


def packed(layer: Any) -> None:
    """Nothing is kept: weights are read as they are."""


def dilated_gated_conv1d(
    x: Array, layer: Any, mask: Array | None, drop: float, seed: int, out: Array | None, kept: Kept | None
) -> Array:
    return dgcnn(x, [layer], mask, drop, seed, out, kept)


def dilated_gated_conv1d_backward(
    grad: Array, x: Array, layer: Any, mask: Array | None, drop: float, seed: int, parts: Array | None
) -> tuple[Any, ...]:
    kept: Kept | None = None if parts is None else [(working(x), parts)]
    dx, (rest,) = dgcnn_backward(grad, x, [layer], mask, drop, seed, kept)
    return dx, *rest
