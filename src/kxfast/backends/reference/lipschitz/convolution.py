"""The convolution operator, its transpose and its blocks at each frequency (spec, section 2).

Convolutions are cross-correlations in any number of spatial dimensions: x (B, D, *space), weight (F, D / groups, *K).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """How a kernel moves over the input; tuples have one entry for each spatial dimension."""

    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    padding_mode: str


def output_shape(input_shape: Shape, kernel: Shape, geometry: Geometry) -> Shape:
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(input_shape, kernel, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    )


def windows(kernel: Shape, out: Shape, geometry: Geometry) -> Iterator[tuple[Any, Any]]:
    """Yield each tap of the kernel with the part of the padded input it is multiplied with."""
    for tap in np.ndindex(*kernel):
        starts = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        part = (slice(a, a + (o - 1) * s + 1, s) for a, o, s in zip(starts, out, geometry.stride, strict=True))
        yield tap, (..., *part)


def _pad(x: Array, geometry: Geometry) -> Array:
    width = [(0, 0)] * (x.ndim - len(geometry.padding)) + [(p, p) for p in geometry.padding]
    return np.pad(x, width, "wrap") if geometry.padding_mode == "circular" else np.pad(x, width)


def _grouped(weight: Array, groups: int) -> Array:
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def convolve(x: Array, weight: Array, geometry: Geometry) -> Array:
    kernel, groups = weight.shape[2:], geometry.groups
    out = output_shape(x.shape[2:], kernel, geometry)
    w, padded = _grouped(weight, groups), _pad(x, geometry)
    padded = padded.reshape(x.shape[0], groups, -1, *padded.shape[2:]) if x.size else np.zeros_like(padded)
    y = np.zeros((x.shape[0], groups, w.shape[1], int(np.prod(out))), np.result_type(x, weight))
    if x.size:
        for tap, part in windows(kernel, out, geometry):
            y += w[(..., *tap)] @ padded[part].reshape(*y.shape[:2], -1, y.shape[3])
    return y.reshape(x.shape[0], weight.shape[0], *out)


def adjoint(y: Array, weight: Array, input_shape: Shape, geometry: Geometry) -> Array:
    kernel, groups = weight.shape[2:], geometry.groups
    batch, out = y.shape[0], y.shape[2:]
    w = np.swapaxes(_grouped(weight, groups), 1, 2)
    wide = [n + 2 * p for n, p in zip(input_shape, geometry.padding, strict=True)]
    x = np.zeros((batch, groups, w.shape[1], *wide), np.result_type(y, weight))
    if y.size:
        columns = y.reshape(batch, groups, w.shape[2], -1)
        for tap, part in windows(kernel, out, geometry):
            x[part] += (w[(..., *tap)] @ columns).reshape(*x.shape[:3], *out)
    x = x.reshape(batch, groups * w.shape[1], *wide)
    for axis, (n, p) in enumerate(zip(input_shape, geometry.padding, strict=True), start=2):
        x = _unpad(x, axis, n, p, geometry.padding_mode)
    return x


def _unpad(x: Array, axis: int, n: int, padding: int, mode: str) -> Array:
    if mode == "zeros":
        return np.take(x, np.arange(padding, padding + n), axis)
    folded = np.zeros((n, *np.delete(x.shape, axis)), x.dtype)
    np.add.at(folded, (np.arange(n + 2 * padding) - padding) % n, np.moveaxis(x, axis, 0))
    return np.moveaxis(folded, 0, axis)


def weight_gradient(x: Array, grad: Array, shape: Shape, geometry: Geometry) -> Array:
    """Return the gradient of ``<grad, convolve(x, weight)>`` for the weight."""
    kernel, out, groups = shape[2:], grad.shape[2:], geometry.groups
    padded = _pad(x, geometry)
    padded = padded.reshape(x.shape[0], groups, -1, *padded.shape[2:])
    columns = grad.reshape(x.shape[0], groups, shape[0] // groups, -1)
    result = np.zeros((groups, shape[0] // groups, *shape[1:]), np.result_type(x, grad))
    for tap, part in windows(kernel, out, geometry):
        taken = padded[part].reshape(x.shape[0], groups, shape[1], -1)
        result[(..., *tap)] = np.einsum("bgol,bgil->goi", columns, taken)
    return result.reshape(shape)


def matrix(weight: Array, input_shape: Shape, geometry: Geometry) -> Array:
    """Return the operator written out, (outputs, inputs)."""
    channels = weight.shape[1] * geometry.groups
    size = channels * int(np.prod(input_shape))
    unit = np.eye(size, dtype=weight.dtype).reshape(size, channels, *input_shape)
    return convolve(unit, weight, geometry).reshape(size, -1).T


def frequency_blocks(
    weight: Array, torus: Shape, geometry: Geometry, rows: slice = slice(None), frequency: Shape | None = None
) -> Array:
    """Return the blocks that the circular operator on a torus falls into, (..., groups, F / groups, D * phases).

    The stride divides the sides of the torus. A strided operator is one of stride 1 whose input channels are the
    phases of the input (polyphase form). Only frequencies up to the half of the last dimension are given: the others
    are their conjugates; `rows` picks some of the first dimension, `frequency` one alone, whose blocks (groups, ...)
    are returned. Angles are reduced in integers, so each entry is a sum of K terms with a few roundings each.
    """
    sides = [n // s for n, s in zip(torus, geometry.stride, strict=True)]
    numbers = [np.arange(side) for side in sides[:-1]] + [np.arange(sides[-1] // 2 + 1)]
    numbers[0] = numbers[0][rows]
    if frequency is not None:
        numbers = [np.array([f]) for f in frequency]
    w = _grouped(weight, geometry.groups).astype(np.float64)
    groups, out, channels = w.shape[:3]
    counts = [len(each) for each in numbers]
    blocks = np.zeros((*counts, groups, out, *geometry.stride, channels), np.complex128)
    for tap in np.ndindex(*weight.shape[2:]):
        places = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        phase = np.ones((1,) * len(sides), np.complex128)
        for axis, (place, s, side, f) in enumerate(zip(places, geometry.stride, sides, numbers, strict=True)):
            turn = np.exp(2j * np.pi * ((f * (place // s)) % side) / side)
            phase = phase * turn.reshape([-1 if i == axis else 1 for i in range(len(sides))])
        rest = tuple(place % s for place, s in zip(places, geometry.stride, strict=True))
        blocks[(..., slice(None), slice(None), *rest, slice(None))] += phase[..., None, None, None] * w[(..., *tap)]
    return blocks.reshape(*(counts if frequency is None else ()), groups, out, -1)


def conv_singular_values(weight: Array, input_shape: Shape, geometry: Geometry) -> Array:
    blocks = frequency_blocks(weight, input_shape, geometry)
    values = np.linalg.svd(blocks, compute_uv=False)
    side = input_shape[-1] // geometry.stride[-1]
    last = len(input_shape) - 1
    mirrored = np.take(values, np.arange(1, (side + 1) // 2), axis=last)
    everything = np.concatenate([values.ravel(), mirrored.ravel()])
    return -np.sort(-everything).astype(weight.dtype)


def clip_conv_norm(weight: Array, input_shape: Shape, bound: float, n_iter: int) -> Array:
    """Clip the singular values at all frequencies, cut the kernel to its support; again, `n_iter` times (Sedghi)."""
    axes = tuple(range(len(input_shape)))
    support = tuple(slice(k) for k in weight.shape[2:])
    w = np.moveaxis(weight.astype(np.float64), (0, 1), (-2, -1))
    for _ in range(n_iter):
        u, s, vh = np.linalg.svd(np.fft.rfftn(w, input_shape, axes), full_matrices=False)
        if s.max(initial=0.0) <= bound:
            break
        w = np.fft.irfftn((u * np.minimum(s, bound)[..., None, :]) @ vh, input_shape, axes)[support]
    return np.moveaxis(w, (-2, -1), (0, 1))
