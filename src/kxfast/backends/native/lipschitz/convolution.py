"""Spectral norms of convolutions. Compiled code has channels last and two spatial dimensions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from math import gcd, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import core
from kxfast._native import lipschitz as native
from kxfast.backends.native.lipschitz.norms import UPPER, number, share, spectral_norm
from kxfast.backends.reference.lipschitz.convolution import Geometry, Shape, frequency_blocks, matrix, output_shape
from kxfast.backends.reference.lipschitz.norms import UNSEEN, WRITTEN_OUT, Ends, scaled_ends, torus_of

Array = NDArray[Any]
ROUND = 2.0**-53


def plane(w: Array) -> Array:
    """Return a kernel with two spatial dimensions, the first of size 1 where there was one."""
    return np.ascontiguousarray(w if w.ndim == 4 else w[:, :, None])


def two(shape: Shape, fill: int) -> tuple[int, int]:
    """Return a value for each of two spatial dimensions."""
    return (shape[0], shape[1]) if len(shape) == 2 else (fill, shape[0])


def moves(w: Array, input_shape: Shape, geometry: Geometry) -> tuple[Any, ...]:
    """Return the geometry as the compiled module takes it."""
    out = output_shape(input_shape, w.shape[2:], geometry)
    return (
        two(input_shape, 1),
        two(geometry.stride, 1),
        two(geometry.padding, 0),
        two(geometry.dilation, 1),
        two(out, 1),
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
    sigma, a, b = run(plane(weight), moves(weight, v.shape[1:], geometry), last(u), last(v), n_iter, eps)
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
    if not exact and size[0] * size[1] <= WRITTEN_OUT:
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
    start: Any = None
    if upper == "proof" or (upper is None and exact):  # the proof costs less than Lanczos on the whole operator
        value = 0.0
        if not exact:
            value, _, steps, start = native.conv_lanczos(given, way, tol / 2, 0, share(size[1], UNSEEN), seed)
        stride = tuple(gcd(n, s) for n, s in zip(torus, geometry.stride, strict=True))
        reduced = geometry._replace(stride=stride)
        top, *best = _circular(w, torus, reduced, value, tol, seed)
        top = inf if upper is None else top * factor * (1 + 4 * ROUND)
        if exact:
            start = last(_wave(w, torus, reduced, best, inner))
    else:
        failure = UNSEEN if upper is None else failure
        _, top, steps, start = native.conv_lanczos(given, way, tol, UPPER[upper], share(size[1], failure), seed)
    lower, top, u, v = native.conv_ends(given, way, top, margin, start)
    lower, top = scaled_ends(lower, top, exponent)
    return Ends(lower, top, steps, first(u, outer), first(v, inner))


def _circular(
    w: Array, torus: Shape, geometry: Geometry, value: float, tol: float, seed: int
) -> tuple[float, Any, int, Array]:
    """Bound the norm on a torus whose sides the stride divides: in polyphase form a kernel of stride 1."""
    groups, stride = geometry.groups, geometry.stride
    grouped = w.reshape(groups, -1, *w.shape[1:])
    taps: dict[tuple[int, ...], Array] = {}
    for tap in np.ndindex(*w.shape[2:]):
        places = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        at = tuple(p // s % (n // s) for p, s, n in zip(places, stride, torus, strict=True))
        rest = tuple(p % s for p, s in zip(places, stride, strict=True))
        if at not in taps:
            taps[at] = np.zeros((groups, grouped.shape[1], *stride, grouped.shape[2]))
        taps[at][(slice(None), slice(None), *rest)] += grouped[(..., *tap)]
    matrices = np.stack([each.reshape(groups, grouped.shape[1], -1) for each in taps.values()], axis=1)
    places_of = np.array([two(at, 0) for at in taps], np.int64)
    sides = two(tuple(n // s for n, s in zip(torus, stride, strict=True)), 1)
    return native.circular_norm(np.ascontiguousarray(matrices), places_of, sides, value, tol, seed)


def _wave(w: Array, torus: Shape, geometry: Geometry, best: list[Any], inner: Shape) -> Array:
    """Return the real plane wave on which the operator has the norm of the block at the best frequency."""
    pair, group, (real, imaginary) = best
    frequency = pair[-len(torus) :]
    stride, q = geometry.stride, real + 1j * imaginary
    block = frequency_blocks(w, torus, geometry, frequency=frequency)[group]
    if block.shape[0] < block.shape[1]:
        q = block.conj().T @ q.conj()
    q = (q * np.exp(-1j * np.angle(q[np.argmax(np.abs(q))]))).reshape(*stride, -1)
    x = np.zeros(inner)
    channels = slice(group * q.shape[-1], (group + 1) * q.shape[-1])
    for rest in np.ndindex(*stride):
        turns = np.zeros([n // s for n, s in zip(torus, stride, strict=True)])
        for axis, (f, s, n) in enumerate(zip(frequency, stride, torus, strict=True)):
            along = (f * np.arange(n // s)) % (n // s) / (n // s)
            turns = turns + along.reshape([-1 if i == axis else 1 for i in range(len(torus))])
        wave = (q[rest].reshape(-1, *[1] * len(torus)) * np.exp(2j * np.pi * turns)).real
        x[(channels, *(slice(r, None, s) for r, s in zip(rest, stride, strict=True)))] = wave
    return np.roll(x, [-p for p in geometry.padding], tuple(range(1, x.ndim)))


def conv_singular_values(weight: Array, input_shape: Shape, geometry: Geometry) -> Array:
    """See the reference; the blocks are dealt out to threads, each a LAPACK call in the type of the weight."""
    kind = np.complex64 if weight.dtype == np.float32 else np.complex128
    blocks = frequency_blocks(weight, input_shape, geometry).astype(kind)
    rows = blocks.reshape(-1, *blocks.shape[-2:])
    parts = np.array_split(rows, core.get_num_threads())
    with _one_thread_each(), ThreadPoolExecutor(len(parts)) as pool:
        values = np.concatenate(list(pool.map(lambda each: np.linalg.svd(each, compute_uv=False), parts)))
    values = values.reshape(*blocks.shape[:-2], -1)
    side = input_shape[-1] // geometry.stride[-1]
    mirrored = np.take(values, np.arange(1, (side + 1) // 2), axis=len(input_shape) - 1)
    everything = np.concatenate([values.ravel(), mirrored.ravel()])
    everything.sort()
    result: Array = everything[::-1].astype(weight.dtype)
    return result


def _one_thread_each() -> AbstractContextManager[Any]:
    """Keep LAPACK from starting threads of its own under ours, where threadpoolctl is there to tell it."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits
