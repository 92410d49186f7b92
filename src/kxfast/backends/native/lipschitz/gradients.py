"""Gradients of residual blocks: values and their adjoints compiled, weights' gradients by BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.native.lipschitz.network import Layers, flat, packed, unflat
from kxfast.backends.reference.lipschitz import residual
from kxfast.backends.reference.lipschitz.convolution import Geometry, Shape, output_shape, windows

Array = NDArray[Any]
Gradient = tuple[Array, Array | None]


def residual_backward(
    layers: Layers, x: Array, grad: Array, logdet_grad: Array, probes: Array, terms: int
) -> tuple[Array, list[Gradient]]:
    """See the reference. The first probe's pass takes the gradient of the values along."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return residual.residual_backward(layers, x, grad, logdet_grad, probes, terms)
    network, at, nothing = found[0], flat(x), np.zeros((len(x), x[0].size), x.dtype)
    pairs = [(nothing, nothing)]
    if len(probes):
        share = (logdet_grad / len(probes)).astype(x.dtype)[:, None]
        firsts = [flat(probe) for probe in probes]
        pairs = [(first, network.neumann(at, first, terms) * share) for first in firsts]
    dx, to_value, sums = flat(grad), flat(grad), list[Gradient]()
    for tangent, left in pairs:
        more, traces = network.trace(at, tangent, to_value, left)
        dx, to_value = dx + more, nothing
        each = _weights(layers, x.shape[1:], traces)
        sums = (
            [(a + c, None if b is None or d is None else b + d) for (a, b), (c, d) in zip(sums, each, strict=True)]
            if sums
            else each
        )
    return unflat(dx, x.shape[1:]), sums


def _weights(layers: Layers, shape: Shape, traces: list[tuple[Array, ...]]) -> list[Gradient]:
    """Return the gradients from what each layer with a weight met; `shape` is the input's, channels first."""
    made: list[Gradient] = []
    for kind, *rest in layers:
        if kind == "activation":
            continue
        value, tangent, to_value, to_tangent = traces[len(made)]
        weight, bias = rest[:2]
        if kind == "linear":
            change = to_value.T @ value + to_tangent.T @ tangent
            shape = (len(weight),)
        else:
            after = output_shape(shape[1:], weight.shape[2:], rest[2])
            pairs = ((value, to_value), (tangent, to_tangent))
            before, out = (len(value), *shape[1:], shape[0]), (len(value), *after, len(weight))
            parts = [_kernel(a.reshape(before), b.reshape(out), weight.shape, rest[2]) for a, b in pairs]
            change, shape = parts[0] + parts[1], (len(weight), *after)
        made.append((change, None if bias is None else to_value.reshape(-1, len(weight)).sum(axis=0)))
    return made


def _kernel(x: Array, grad: Array, shape: Shape, geometry: Geometry) -> Array:
    """Return the gradient of ``<grad, convolve(x, weight)>`` for the weight; channels last."""
    width = [(0, 0), *((p, p) for p in geometry.padding), (0, 0)]
    padded = np.pad(x, width, "wrap") if geometry.padding_mode == "circular" else np.pad(x, width)
    groups = geometry.groups
    rows = np.ascontiguousarray(np.moveaxis(grad.reshape(-1, groups, shape[0] // groups), 0, 2))  # (groups, F, pixels)
    result = np.empty((groups, *rows.shape[1:2], *shape[1:]), x.dtype)
    for tap, (_, *part) in windows(shape[2:], grad.shape[1:-1], geometry):
        taken = padded[(slice(None), *part)].reshape(-1, groups, shape[1])
        result[(..., *tap)] = rows @ np.moveaxis(taken, 0, 1)
    return result.reshape(shape)
