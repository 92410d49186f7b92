"""Enclosures of spectral norms: dense matrices, convolutions, any linear map (spec, sections 1 and 2)."""

from __future__ import annotations

from math import gcd, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.lipschitz.convolution import (
    Geometry,
    Shape,
    adjoint,
    convolve,
    frequency_blocks,
    matrix,
    output_shape,
)
from kxfast.backends.reference.lipschitz.enclosure import ROUND, GolubKahan, Map, enclose, proven_above

Array = NDArray[Any]
UNSEEN = 0.1  # an estimate ends when a norm more than tol above it is less probable than this
WRITTEN_OUT = 2**20  # operators with no more entries are treated as matrices
REPEATED = 2**24  # and circular ones whose outputs repeat, for which the only other bound is wide
_AT_ONCE = 2**23  # entries of frequency blocks that are held at a time


class Ends(NamedTuple):
    """What is known of a norm: its ends, the work, and vectors with ``u' A v >= lower``."""

    lower: float
    upper: float
    steps: int
    u: Array
    v: Array


def spectral_norm(
    a: Array, tol: float, upper: str | None, failure: float, start: Array | None, key: int
) -> tuple[Array, ...]:
    """Enclose the norms of a stack of matrices (N, m, n), `start` (N, n): ends and steps (N,), u (N, m), v (N, n).

    The ends of a matrix that is not finite are NaN.
    """
    rng, (count, m, n) = np.random.default_rng(key), a.shape
    lower, top, steps = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
    u, v = np.zeros((count, m)), np.zeros((count, n))
    for i, each in enumerate(a):
        first = None if start is None else start[i]
        lower[i], top[i], steps[i], u[i], v[i] = _matrix_norm(each, tol, upper, failure, first, rng)
    return lower, top, steps, u, v


def _matrix_norm(
    a: Array, tol: float, upper: str | None, failure: float, start: Array | None, rng: np.random.Generator
) -> Ends:
    m, n = a.shape
    largest = np.max(np.abs(a), initial=0.0)
    if not np.isfinite(largest):
        return Ends(np.nan, np.nan, 0, np.zeros(m), np.zeros(n))
    if largest == 0:
        return Ends(0.0, inf if upper is None else 0.0, 0, np.zeros(m), np.zeros(n))
    exponent = int(np.frexp(np.float64(largest))[1])
    a = np.ldexp(a.astype(np.float64), -exponent)
    frobenius = float(np.sum(a * a))
    margin = ROUND * (m + n + 16) * np.sqrt(frobenius)
    gram: list[Array] = []

    def prove(value: float, widest: float) -> float:
        if not gram:
            gram.append((a @ a.T if m < n else a.T @ a)[None])
        top, failed = _certify(gram[0], np.array([frobenius]), max(m, n), value, widest - 4 * margin)
        return inf if failed.any() else top

    maps = (lambda x: a @ x), (lambda y: a.T @ y)
    proof = prove if upper == "proof" else None
    lanczos, to_input = _lanczos(maps, (m, n), start, rng)
    if upper is None:
        failure = UNSEEN if start is None else 0.0
    value, top, v = enclose(lanczos, tol, upper, failure, proof)
    while proof is not None and not np.isfinite(top):
        tol *= 2  # asked for less than the roundings allow to prove
        top = proof(value, value * (1 + tol))
    return _ends(maps, to_input(v), top, lanczos.steps, margin, exponent)


def _lanczos(
    maps: tuple[Map, Map], shape: tuple[int, int], start: Array | None, rng: np.random.Generator
) -> tuple[GolubKahan, Map]:
    """Return Lanczos from the shorter side, and what brings its vectors to the input side."""
    apply, back = maps
    turned = shape[0] < shape[1]
    if turned:
        start = None if start is None else apply(start)
        apply, back = back, apply
    if start is None or not np.any(start):
        start = rng.standard_normal(min(shape))
    return GolubKahan(apply, back, start, max(shape), rng), apply if turned else _same


def _same(v: Array) -> Array:
    return v


def _certify(grams: Array, frobenius: Array, inner: int, value: float, widest: float) -> tuple[float, Array]:
    """Return an upper end near `widest` that is proven for some Gram matrices, and for which of them it is not."""
    slack = _slack(grams, frobenius, inner, widest**2)
    squared = max(widest**2 * (1 - 8 * ROUND) - slack, value**2 + slack)
    passed, exact_slack = proven_above(grams, squared, inner, frobenius)
    top = float(np.sqrt(squared + np.max(exact_slack, initial=0.0)) * (1 + 4 * ROUND))
    return top, ~passed


def _slack(grams: Array, frobenius: Array, inner: int, squared: float) -> float:
    return float(np.max(proven_above(grams[:0], squared, inner, frobenius)[1], initial=0.0))


def _ends(maps: tuple[Map, Map], v: Array, top: float, steps: int, margin: float, exponent: int) -> Ends:
    """Evaluate the lower end at the vector found, and undo the scaling by a power of two."""
    v = v / (np.linalg.norm(v) or 1.0)
    image = maps[0](v)
    u = image / (np.linalg.norm(image) or 1.0)
    back = maps[1](u)
    lower = max(float(np.linalg.norm(back)) - margin, 0.0)
    v = back / (np.linalg.norm(back) or 1.0)
    top = max(top, lower)
    return Ends(*scaled_ends(lower, top, exponent), steps, u, v)


def scaled_ends(lower: float, top: float, exponent: int) -> tuple[float, float]:
    """Return the ends times a power of two, rounded outwards where they leave the range of normal numbers."""
    with np.errstate(over="ignore", under="ignore"):
        low, high = float(np.ldexp(lower, exponent)), float(np.ldexp(top, exponent))
    tiny = np.finfo(np.float64).tiny
    low = min(low if low > tiny else float(np.nextafter(low, 0)), float(np.finfo(np.float64).max))
    return low, high if high > tiny or top == 0 else float(np.nextafter(high, inf))


def operator_spectral_norm(
    apply: Map, back: Map, shape: tuple[int, int], tol: float, upper: str | None, failure: float, eps: float, key: int
) -> Ends:
    """Enclose the norm of a map given by its applications to flat vectors, which carry roundings of size `eps`."""
    rng = np.random.default_rng(key)
    if 0 in shape:
        return Ends(0.0, inf if upper is None else 0.0, 0, np.zeros(shape[0]), np.zeros(shape[1]))
    lanczos, to_input = _lanczos((apply, back), shape, None, rng)
    value, top, v = enclose(lanczos, tol, upper, UNSEEN if upper is None else failure, None)
    margin = value * eps * 4 * np.sqrt(sum(shape))
    return _ends((apply, back), to_input(v), top + margin, lanczos.steps, margin, 0)


def conv_spectral_norm(
    weight: Array, input_shape: Shape, geometry: Geometry, tol: float, upper: str | None, failure: float, key: int
) -> Ends:
    """Enclose the norm of a convolution; the vectors have the shapes of its output and input."""
    outer = (weight.shape[0], *output_shape(input_shape, weight.shape[2:], geometry))
    inner = (weight.shape[1] * geometry.groups, *input_shape)
    largest = np.max(np.abs(weight), initial=0.0)
    size = int(np.prod(outer)), int(np.prod(inner))
    if largest == 0 or 0 in size:
        return Ends(0.0, inf if upper is None else 0.0, 0, np.zeros(outer), np.zeros(inner))
    rng = np.random.default_rng(key)
    torus, exact, factor = torus_of(input_shape, outer[1:], weight.shape[2:], geometry)
    if not exact and size[0] * size[1] <= (WRITTEN_OUT if factor == 1 else REPEATED):
        written = matrix(weight.astype(np.float64), input_shape, geometry)
        ends = _matrix_norm(written, tol, upper, failure, None, rng)
        return ends._replace(u=ends.u.reshape(outer), v=ends.v.reshape(inner))
    exponent = int(np.frexp(np.float64(largest))[1])
    w = np.ldexp(weight.astype(np.float64), -exponent)

    def apply(x: Array) -> Array:
        return convolve(x.reshape(1, *inner), w, geometry).ravel()

    def back(y: Array) -> Array:
        return adjoint(y.reshape(1, *outer), w, input_shape, geometry).ravel()

    taps = int(np.prod(w.shape[2:]))
    margin = ROUND * (4 * taps * w.shape[1] + sum(size)) * float(np.sqrt(taps * np.sum(w * w)))
    lanczos, to_input = _lanczos((apply, back), size, None, rng)
    if upper != "proof":
        value, top, v = enclose(lanczos, tol, upper, UNSEEN if upper is None else failure, None)
    else:
        # Where the blocks are the operator's a rough value will do: those that exceed it are looked at one by one.
        value, _, v = enclose(lanczos, 0.1 if exact else tol / 4, None, UNSEEN, None)
        stride = tuple(gcd(n, s) for n, s in zip(torus, geometry.stride, strict=True))
        blocks = _Blocks(w, torus, geometry._replace(stride=stride))
        top, larger = blocks.enclose(value, tol, margin)
        top *= factor * (1 + 4 * ROUND)
    v = to_input(v)
    if upper == "proof" and exact and larger:
        v = blocks.wave(inner).ravel()
    ends = _ends((apply, back), v, top, lanczos.steps, margin, exponent)
    return ends._replace(u=ends.u.reshape(outer), v=ends.v.reshape(inner))


def torus_of(input_shape: Shape, outputs: Shape, kernel: Shape, geometry: Geometry) -> tuple[Shape, bool, float]:
    """Return a torus whose circular operator times a factor is at least this one, and whether it is this one.

    Zeros: with sides n + p, rounded up to the stride, the wrapped windows meet only zeros, so the operator is a corner
    of the circular one. Circular: the outputs sit at multiples of gcd(n, s); each place is used `times` at most.
    """
    if geometry.padding_mode == "circular":
        places = [n // gcd(n, s) for n, s in zip(input_shape, geometry.stride, strict=True)]
        times = [-(-o // place) for o, place in zip(outputs, places, strict=True)]
        return input_shape, outputs == tuple(places), float(np.sqrt(np.prod(times)))
    spans = [d * (k - 1) for d, k in zip(geometry.dilation, kernel, strict=True)]
    sides = [n + min(p, span) for n, p, span in zip(input_shape, geometry.padding, spans, strict=True)]
    torus = tuple(-(-side // s) * s for side, s in zip(sides, geometry.stride, strict=True))
    return torus, torus == outputs == input_shape, 1.0


class _Blocks:
    """The blocks of a circular operator at all frequencies, and the largest of their norms."""

    def __init__(self, weight: Array, torus: Shape, geometry: Geometry) -> None:
        self.weight, self.torus, self.geometry = weight, torus, geometry
        taps = int(np.prod(weight.shape[2:]))
        self.error = ROUND * (taps + 64) * float(np.sqrt(taps * np.sum(weight * weight)))
        self.best: tuple[list[int], Array] | None = None  # frequencies and group, and the block, of the largest norm

    def enclose(self, value: float, tol: float, margin: float) -> tuple[float, bool]:
        """Return a proven upper end, and whether a larger norm was seen than `value`.

        A part of the frequencies at a time; what was proven for a smaller value holds for a larger one.
        """
        sides = [n // s for n, s in zip(self.torus, self.geometry.stride, strict=True)]
        count = sides[0] if len(sides) > 1 else sides[0] // 2 + 1
        entries = (
            int(np.prod(sides)) // sides[0] * int(np.prod(self.weight.shape[:2])) * int(np.prod(self.geometry.stride))
        )
        step, top = max(1, _AT_ONCE // max(entries, 1)), 0.0
        for first in range(0, count, step):
            blocks = frequency_blocks(self.weight, self.torus, self.geometry, slice(first, first + step))
            proven, value = self._prove(blocks, first, value, tol, margin)
            top = max(top, proven)
        return (top + self.error) * (1 + 4 * ROUND), self.best is not None

    def _prove(self, blocks: Array, first: int, value: float, tol: float, margin: float) -> tuple[float, float]:
        k = blocks.reshape(-1, *blocks.shape[-2:])
        grams = k @ k.conj().swapaxes(1, 2) if k.shape[1] < k.shape[2] else k.conj().swapaxes(1, 2) @ k
        frobenius = np.sum(np.abs(k) ** 2, axis=(1, 2))
        left, top = np.arange(len(k)), 0.0
        while left.size:
            widest = value * (1 + tol) - 4 * margin - self.error
            proven, failed = _certify(grams[left], frobenius[left], max(k.shape[1:]), value, widest)
            left, top = left[failed], max(top, proven)
            norms = np.linalg.svd(k[left], compute_uv=False)[:, 0]
            if norms.max(initial=0.0) > value:
                value, largest = float(norms.max()), left[np.argmax(norms)]
                frequency = [int(i) for i in np.unravel_index(largest, blocks.shape[:-2])]
                self.best = [frequency[0] + first, *frequency[1:]], k[largest]
            else:
                tol *= 2
        return top, value

    def wave(self, inner: Shape) -> Array:
        """Return the real plane wave on which the operator has the norm of the best block."""
        assert self.best is not None
        (*frequency, group), block = self.best
        q = np.linalg.svd(block)[2][0].conj()
        q = (q * np.exp(-1j * np.angle(q[np.argmax(np.abs(q))]))).reshape(*self.geometry.stride, -1)
        x = np.zeros(inner)
        channels = slice(group * q.shape[-1], (group + 1) * q.shape[-1])
        for place in np.ndindex(*self.torus):
            turns = 0.0
            for f, j, s, n in zip(frequency, place, self.geometry.stride, self.torus, strict=True):
                turns += f * (j // s) * s / n
            rest = tuple(j % s for j, s in zip(place, self.geometry.stride, strict=True))
            at = ((j - p) % n for j, p, n in zip(place, self.geometry.padding, self.torus, strict=True))
            x[(channels, *at)] = (q[rest] * np.exp(2j * np.pi * turns)).real
        return x
