"""Spectral norms of convolutions. Compiled code has channels last and two spatial dimensions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import gcd, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import lipschitz as native
from kxfast.backends.native.lipschitz import tori
from kxfast.backends.native.lipschitz.lapack import dealt
from kxfast.backends.native.lipschitz.norms import UPPER, number, share, spectral_norm
from kxfast.backends.reference.lipschitz.convolution import Geometry, Shape, frequency_blocks, matrix, output_shape
from kxfast.backends.reference.lipschitz.norms import REPEATED, UNSEEN, WRITTEN_OUT, Ends, scaled_ends, torus_of

Array = NDArray[Any]
ROUND = 2.0**-53
AT_ONCE = 2**21  # entries of blocks, times taps, that are made between two looks at Ctrl-C
LARGEST = 320  # side of a block whose values are found here: larger ones leave the caches


def plane(w: Array) -> Array:
    """Return a kernel with two spatial dimensions, the first of size 1 where there was one."""
    return np.ascontiguousarray(w if w.ndim == 4 else w[:, :, None])


def moves(w: Array, input_shape: Shape, geometry: Geometry) -> tuple[Any, ...]:
    """Return the geometry as the compiled module takes it."""
    out = output_shape(input_shape, w.shape[2:], geometry)
    return (
        tori.two(input_shape, 1),
        tori.two(geometry.stride, 1),
        tori.two(geometry.padding, 0),
        tori.two(geometry.dilation, 1),
        tori.two(out, 1),
        geometry.groups,
        geometry.padding_mode == "circular",
    )


def last(x: Array) -> Array:
    """Return (C, ...) as (pixels, C)."""
    return np.ascontiguousarray(x.reshape(len(x), -1).T)


def first(x: Array, shape: Shape) -> Array:
    """Return (pixels, C) as (C, ...)."""
    return np.ascontiguousarray(x.T).reshape(shape)


def conv_power_iteration(
    weight: Array, u: Array, v: Array, n_iter: int, eps: float, geometry: Geometry
) -> tuple[Any, Array, Array]:
    """See the reference."""
    run: Any = native.conv_power_iteration
    start = last(v) if n_iter == 0 else np.empty((0, len(v)), v.dtype)  # which is not read else
    sigma, a, b = run(plane(weight), moves(weight, v.shape[1:], geometry), last(u), start, n_iter, eps)
    return sigma, first(a, u.shape), first(b, v.shape)


def conv_spectral_norm(
    weight: Array, input_shape: Shape, geometry: Geometry, tol: float, upper: str | None, failure: float, key: Any
) -> Ends:
    """See the reference."""
    outer = (weight.shape[0], *output_shape(input_shape, weight.shape[2:], geometry))
    inner = (weight.shape[1] * geometry.groups, *input_shape)
    largest = np.max(np.abs(weight), initial=0.0)
    size = int(np.prod(outer)), int(np.prod(inner))
    if largest == 0 or 0 in size:
        return Ends(0.0, inf if upper is None else 0.0, 0, np.zeros(outer), np.zeros(inner))
    torus, exact, factor = torus_of(input_shape, outer[1:], weight.shape[2:], geometry)
    if not exact and size[0] * size[1] <= (WRITTEN_OUT if factor == 1 else REPEATED):
        written = np.ascontiguousarray(matrix(weight.astype(np.float64), input_shape, geometry))
        found = spectral_norm(written[None], tol, upper, failure, None, key)
        low, high, steps, u, v = (each[0] for each in found)
        return Ends(float(low), float(high), int(steps), u.reshape(outer), v.reshape(inner))
    exponent = int(np.frexp(np.float64(largest))[1])
    w = np.ldexp(weight.astype(np.float64), -exponent)
    given, way, seed = plane(w), moves(w, input_shape, geometry), number(key)
    taps = int(np.prod(w.shape[2:]))
    margin = ROUND * (4 * taps * w.shape[1] + sum(size)) * float(np.sqrt(taps * np.sum(w * w)))
    steps = 0
    if exact and upper != "random":  # the proof costs less than Lanczos on the whole operator
        stride = tuple(gcd(n, s) for n, s in zip(torus, geometry.stride, strict=True))
        reduced = geometry._replace(stride=stride)
        top, *best = tori.bound(w, torus, reduced, seed, tori.Goal(0.0, tol, tol))
        top = inf if upper is None else top * (1 + 4 * ROUND)
        start = last(tori.wave(w, torus, reduced, best, inner))
    elif upper == "proof":
        value, _, steps, start = native.conv_lanczos(given, way, tol / 2, 0, share(size[1], UNSEEN), seed)
        stride = tuple(gcd(n, s) for n, s in zip(torus, geometry.stride, strict=True))
        seen = first(start, inner) if geometry.padding_mode == "zeros" else None
        top = tori.least_bound(w, torus, geometry._replace(stride=stride), seen, value, tol, seed)
        top *= factor * (1 + 4 * ROUND)
    else:
        failure = UNSEEN if upper is None else failure
        _, top, steps, start = native.conv_lanczos(given, way, tol, UPPER[upper], share(size[1], failure), seed)
    lower, top, u, v = native.conv_ends(given, way, top, margin, start)
    lower, top = scaled_ends(lower, top, exponent)
    return Ends(lower, top, steps, first(u, outer), first(v, inner))


def conv_singular_values(weight: Array, input_shape: Shape, geometry: Geometry) -> Array:
    """See the reference; in float32 from Gram matrices in double, else LAPACK's, with blocks dealt out to threads."""
    side = min(len(weight), weight.shape[1] * int(np.prod(geometry.stride)))
    if weight.dtype == np.float32 and weight.size and side <= LARGEST and np.all(np.array(input_shape) > 0):
        found: Array = native.circular_values(*tori.matrices(weight.astype(np.float64), input_shape, geometry))
        return found.astype(weight.dtype)
    sides = [n // s for n, s in zip(input_shape, geometry.stride, strict=True)]
    sides[-1] = sides[-1] // 2 + 1
    each = max(1, int(np.prod(sides[1:]))) * weight.size * int(np.prod(geometry.stride))
    parts = []
    for begin in range(0, sides[0], step := max(1, AT_ONCE // max(1, each))):
        blocks = frequency_blocks(weight, input_shape, geometry, slice(begin, begin + step))
        found = dealt(lambda part: np.linalg.svd(part, compute_uv=False), blocks.reshape(-1, *blocks.shape[-2:]))
        parts.append(found.reshape(*blocks.shape[:-2], -1))
    values = np.concatenate(parts) if parts else np.zeros((*sides, 1, 0))
    side = input_shape[-1] // geometry.stride[-1]
    mirrored = np.take(values, np.arange(1, (side + 1) // 2), axis=len(input_shape) - 1)
    everything = np.concatenate([values.ravel(), mirrored.ravel()])
    everything.sort()
    result: Array = everything[::-1].astype(weight.dtype)
    return result


def clip_conv_norm(weight: Array, input_shape: Shape, bound: float, n_iter: int) -> Array:
    """See the reference; threads share the frequencies, and a Cholesky factorisation tells which need no clipping."""
    axes = tuple(range(len(input_shape)))
    support = tuple(slice(k) for k in weight.shape[2:])
    w = np.moveaxis(weight.astype(np.float64), (0, 1), (-2, -1))
    for _ in range(n_iter):
        blocks = _by_rows(lambda row: np.fft.rfftn(row, input_shape, axes), w)
        clipped = dealt(partial(_clipped, bound=bound), blocks.reshape(-1, *w.shape[-2:])).reshape(blocks.shape)
        if np.array_equal(clipped, blocks):
            break
        w = _by_rows(lambda row: np.fft.irfftn(row, input_shape, axes)[support], clipped)
    return np.moveaxis(w, (-2, -1), (0, 1))


def _by_rows(transform: Callable[[Array], Array], w: Array) -> Array:
    """Return the transform of all matrices (..., F, D), a row at a time: Ctrl-C is heard in between."""
    return np.stack([transform(w[..., i, :]) for i in range(w.shape[-2])], axis=-2)


def _clipped(blocks: Array, bound: float) -> Array:
    """Return the blocks with their singular values clipped."""
    result = blocks.copy()
    across = blocks.shape[1] < blocks.shape[2]
    for i, k in enumerate(blocks):
        gram = k @ k.conj().T if across else k.conj().T @ k
        with suppress(np.linalg.LinAlgError):
            np.linalg.cholesky(bound**2 * np.eye(len(gram)) - gram)
            continue
        u, s, vh = np.linalg.svd(k, full_matrices=False)
        if s.max() > bound:
            result[i] = (u * np.minimum(s, bound)) @ vh
    return result
