"""Norms of convolutions from above: on a torus that wraps around, or comes back negated."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast._native import lipschitz as native
from kxfast.backends.reference.lipschitz.convolution import Geometry, Shape, frequency_blocks

Array = NDArray[Any]
PATIENCE = 6  # tori tried in vain, fewer above 64 channels; each ends once it is worse than the best, mostly at once
WIDER = 4  # sides tried beyond the smallest


class Goal(NamedTuple):
    """Prove (1 + tol) `value`, or (1 + rise) times what is found; infinity where a norm above `limit` is."""

    value: float
    tol: float
    rise: float
    limit: float = inf


def two(shape: Shape, fill: int) -> tuple[int, int]:
    """Return a value for each of two spatial dimensions."""
    return (shape[0], shape[1]) if len(shape) == 2 else (fill, shape[0])


def matrices(w: Array, torus: Shape, geometry: Geometry) -> tuple[Array, Array, tuple[int, int]]:
    """Return the matrices of the taps, their places, and the sides, of a kernel in polyphase form.

    Taps that wrap onto the same place stay apart: their sums would be rounded, which proofs know nothing of.
    """
    groups, stride = geometry.groups, geometry.stride
    grouped = w.reshape(groups, -1, *w.shape[1:])
    taps: dict[tuple[Shape, int], Array] = {}
    taken: Counter[tuple[Shape, Shape]] = Counter()
    for tap in np.ndindex(*w.shape[2:]):
        places = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        at = tuple(p // s % (n // s) for p, s, n in zip(places, stride, torus, strict=True))
        rest = tuple(p % s for p, s in zip(places, stride, strict=True))
        key = at, taken[at, rest]
        taken[at, rest] += 1
        if key not in taps:
            taps[key] = np.zeros((groups, grouped.shape[1], *stride, grouped.shape[2]))
        taps[key][(slice(None), slice(None), *rest)] = grouped[(..., *tap)]
    stacked = np.stack([each.reshape(groups, grouped.shape[1], -1) for each in taps.values()], axis=1)
    places_of = np.array([two(at, 0) for at, _ in taps], np.int64)
    sides = two(tuple(n // s for n, s in zip(torus, stride, strict=True)), 1)
    return np.ascontiguousarray(stacked), places_of, sides


def bound(
    w: Array, torus: Shape, geometry: Geometry, seed: int, goal: Goal, twist: Shape | None = None
) -> tuple[float, Any, int, Array]:
    """Bound the norm on a torus whose sides the stride divides: in polyphase form a kernel of stride 1.

    Also return the frequency, the group and the vector of the largest norm seen.
    """
    parts = matrices(w, torus, geometry)
    twists = two(twist or (0,) * len(torus), 0)
    return native.circular_norm(*parts, twists, *goal, seed)


def least_bound(
    w: Array, torus: Shape, geometry: Geometry, seen: Array | None, value: float, tol: float, seed: int
) -> float:
    """Bound the norm of a convolution with zeros around it by the best of some tori, all of which enclose it.

    `seen` is the vector of its norm as far as it is known. The symbol of the convolution is largest where that
    vector's spectrum is, and a torus whose frequencies miss that place by half a step bounds the norm most closely.
    Where another place is found that is too high, the next torus has to miss both.
    """
    spans = [d * (k - 1) // s for d, k, s in zip(geometry.dilation, w.shape[2:], geometry.stride, strict=True)]
    side = min(len(w) // geometry.groups, w.shape[1] * int(np.prod(geometry.stride)))
    small = side > 128 and max(torus) < 24  # many hills, few frequencies: another torus costs and gains nothing
    if seen is None or small or any(span >= n // s for span, n, s in zip(spans, torus, geometry.stride, strict=True)):
        return bound(w, torus, geometry, seed, Goal(value, tol, tol))[0]
    choices = [
        [(n + more * s, twist) for more in range(WIDER) for twist in (0, 1)] if n > 1 else [(n, 0)]
        for n, s in zip(torus, geometry.stride, strict=True)
    ]
    left, peaks = list(product(*choices)), [_peak(seen, geometry.stride)]
    best, vain = inf, 0
    while left and vain < max(1, min(PATIENCE, PATIENCE * 64 // side)):
        chosen = max(left, key=lambda each: min(_missed(peak, each, geometry.stride) for peak in peaks))
        left.remove(chosen)
        sides, twist = (tuple(each[k] for each in chosen) for k in (0, 1))
        top, pair, _, _ = bound(w, sides, geometry, seed, Goal(value, tol, tol / 8, best), twist)
        best, vain = (top, 0) if top < best else (best, vain + 1)
        if best <= value * (1 + tol):
            break
        counts = [n // s for n, s in zip(sides, geometry.stride, strict=True)]
        at = zip(pair[-len(sides) :], twist, counts, strict=True)
        peaks.append(np.array([(f + 0.5 * half) / count for f, half, count in at]))
    return best


def _peak(x: Array, stride: Shape) -> Array:
    """Return where the spectrum of `x` (C, ...) is largest, in turns from one stride to the next."""
    sizes = [2 * n for n in x.shape[1:]]
    axes = tuple(range(1, x.ndim))
    power = (np.abs(np.fft.rfftn(x.astype(np.float32), sizes, axes)) ** 2).sum(axis=0)
    place = np.unravel_index(int(power.argmax()), power.shape)
    found = []
    for axis, (at, size) in enumerate(zip(place, sizes, strict=True)):  # the middle of the three around it
        near = [(at + step) % size if axis + 1 < len(sizes) else abs(at + step) for step in (-1, 0, 1)]
        near = [min(each, power.shape[axis] - 1) for each in near]
        low, middle, high = (power[(*place[:axis], each, *place[axis + 1 :])] for each in near)
        found.append((at + (high - low) / (low + middle + high)) / size)
    result: Array = np.array(found) * stride % 1.0
    return result


def _missed(peak: Array, chosen: tuple[tuple[int, int], ...], stride: Shape) -> float:
    """Return the squared distance of the nearest frequency of a torus."""
    total = 0.0
    for place, (n, twist), s in zip(peak, chosen, stride, strict=True):
        count = n // s
        off = (place * count - 0.5 * twist) % 1.0
        total += (min(off, 1 - off) / count) ** 2
    return float(total)


def wave(w: Array, torus: Shape, geometry: Geometry, best: list[Any], inner: Shape) -> Array:
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
