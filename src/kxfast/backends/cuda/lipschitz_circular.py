"""Enclosures of circular convolutions: a proof at each frequency, and the operator's value on the best plane wave."""

from __future__ import annotations

from itertools import product
from math import gcd, inf, nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.cuda import load
from kxfast.backends.cuda.lipschitz_power import iterate
from kxfast.backends.reference.lipschitz.convolution import output_shape
from kxfast.backends.reference.lipschitz.norms import Ends, scaled_ends, torus_of
from kxfast.errors import BackendError

Array = NDArray[Any]
Shape = tuple[int, ...]
TEXT = '#include "circular.cuh"\n'
ROUND = 2.0**-53
_THREADS, _TILE, _MOST_STEPS, _MOST_BLOCKS = 128, 32, 128, 1024
_SUMS, _EACH, _TILES = 32, 8 * _THREADS, 8 * 4 * 16 * _TILE  # bytes of shared memory
_TEST = 8 * (2 * 16 * 16 + 2 * 16 * 64 + 2 * 16 * 16 + 16) + 16 + _SUMS
_RAISE = 8 * 5 * _MOST_STEPS + _SUMS
_GROWTH = 8  # of how many frequencies are held against one bound


class _Taps(NamedTuple):
    """The kernel in polyphase form: where on the torus its taps are, and how they differ."""

    sides: tuple[int, int]
    phases: tuple[int, int]
    cells: Array  # (taps, 2)
    differences: Array  # (differences, 3): half of them, and which are their own opposites
    starts: Array  # of a difference's pairs of taps
    pairs: Array
    most: int  # pairs of one difference


def _two(values: Any, fill: int) -> tuple[int, int]:
    return (int(values[0]), int(values[1])) if len(values) == 2 else (fill, int(values[0]))


def _taps(kernel: Shape, torus: Shape, moves: Any) -> _Taps:
    lengths, dilation, around = _two(kernel, 1), _two(moves.dilation, 1), _two(torus, 1)
    phases = _two([gcd(n, s) for n, s in zip(torus, moves.stride, strict=True)], 1)
    sides = (around[0] // phases[0], around[1] // phases[1])
    axes = [sorted({t * d // s for t in range(k)}) for k, d, s in zip(lengths, dilation, phases, strict=True)]
    cells = np.array(list(product(*axes)), np.int64)
    by = cells[None, :, :] - cells[:, None, :]
    code = by[..., 0] % sides[0] * sides[1] + by[..., 1] % sides[1]
    opposite = -by[..., 0] % sides[0] * sides[1] + -by[..., 1] % sides[1]
    first, second = np.nonzero(code <= opposite)
    order = np.argsort(code[first, second], kind="stable")
    first, second = first[order], second[order]
    codes, starts = np.unique(code[first, second], return_index=True)
    alone = (code == opposite)[first[starts], second[starts]]
    differences = np.stack([codes // sides[1], codes % sides[1], alone], axis=1).astype(np.int64)
    starts = np.append(starts, len(first)).astype(np.int64)
    pairs = np.stack([first, second], axis=1).astype(np.int64)
    return _Taps(sides, phases, cells, differences, starts, pairs, int(np.diff(starts).max()))


def _turns(side: int) -> Array:
    """Return cosines and sines of whole parts of a turn, right to 11 units of rounding."""
    part = np.arange(side)
    angle = 2 * np.pi * np.where(2 * part > side, part - side, part) / side
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine[2 * part == side], sine[2 * part == side] = -1, 0
    return np.concatenate([cosine, sine])


class _Circular:
    """A kernel on a torus: sums over its taps on the device, and what is asked of frequencies.

    A frequency is numbered (group, down, across).
    """

    def __init__(self, device: load.Device, weight: Any, exponent: int, taps: _Taps, moves: Any) -> None:
        self._device, self._taps = device, taps
        groups, channels = moves.groups, weight.shape[1]
        rows, cols = weight.shape[0] // groups, channels * taps.phases[0] * taps.phases[1]
        count, number = len(taps.cells), len(taps.differences)
        self.across = rows < cols  # vectors of Gram matrices are of the outputs
        self._side, self._count, self._groups = min(rows, cols), number, groups
        geometry = (
            *_two(weight.shape[2:], 1), *_two(moves.dilation, 1), *taps.phases, *_two(moves.stride, 1),
            *_two(moves.padding, 0),
        )  # fmt: skip
        table = np.array([groups, rows, cols, count, number, *taps.sides, channels, *geometry], np.int64)
        self._table, self._differences = device.upload(table), device.upload(taps.differences)
        self._turns = device.upload(np.concatenate([_turns(side) for side in taps.sides]))
        matrices = device.empty(groups * count * rows * cols, np.float64)
        self.kernel = device.empty(weight.shape, np.float64)
        self._run(
            f"pack_{weight.dtype.char}", groups * count * rows * cols, device.upload(taps.cells),
            np.uint64(weight.address), np.int64(exponent), matrices, self.kernel, behind=[weight.owner],
        )  # fmt: skip
        squares = device.empty(groups * count, np.float64)
        self._blocks("squares", groups * count, _SUMS, [self._table, matrices, squares])
        self._even, self._odd = (device.empty(groups * number * self._side**2, np.float64) for _ in range(2))
        tiles = -(-self._side // _TILE)
        given = [self._table, self._differences, device.upload(taps.starts), device.upload(taps.pairs), matrices]
        self._blocks(
            "products", groups * number * tiles * (tiles + 1) // 2, _TILES, [*given, self._even, self._odd]
        )  # fmt: skip
        found = device.download(squares).reshape(groups, count)
        self.frobenius = sqrt(float(found.sum()))
        errors = self.errors(found, max(rows, cols))
        self._errors, self._least = device.upload(errors), sqrt(errors.max())

    def errors(self, squares: Array, depth: int) -> Array:
        """Return what Gram matrices as computed are at most away from the exact ones, for each group.

        A place is a sum of `depth` products for each of a difference's pairs of taps, of those pairs, and of the
        differences, with cosines right to 32 units; 64 stands for these and for single roundings, and 2 for the two
        parts of a complex number and for products of roundings.
        """
        weights = (np.sqrt(squares) * (1 + 1e-9)).sum(axis=1)
        terms = depth + self._taps.most + 64 + self._count
        result: Array = 2 * ROUND * terms * weights**2
        return result

    def _run(self, name: str, count: int, *arguments: Any, behind: Any = ()) -> None:
        """Launch with a thread for each of `count` numbers, or fewer that go on."""
        kernel = self._device.kernel(TEXT, f"circular_{name}")
        blocks = max(1, min(-(-count // _THREADS), _MOST_BLOCKS))
        kernel(blocks, _THREADS, 0, [self._table, *arguments], behind)

    def _blocks(self, name: str, blocks: int, shared: int, arguments: list[Any]) -> None:
        self._device.kernel(TEXT, f"circular_{name}")(blocks, _THREADS, shared, arguments)

    def frequencies(self) -> Array:
        """Return those without their conjugates, largest Frobenius norms first."""
        down, across = (np.arange(side) for side in self._taps.sides)
        own = down[:, None] * len(across) + across
        opposite = -down[:, None] % len(down) * len(across) + -across % len(across)
        half = own[own <= opposite]
        ids = (np.arange(self._groups)[:, None] * own.size + half).ravel()
        sums, weights = (self._device.empty(n, np.float64) for n in (self._groups * self._count, len(ids)))
        self._blocks("traces", self._groups * self._count, _SUMS, [self._table, self._even, sums])
        there, count = self._device.upload(ids), np.int64(len(ids))
        self._run("weigh", len(ids), self._turns, self._differences, sums, there, count, weights)
        order = np.argsort(-self._device.download(weights), kind="stable")
        result: Array = ids[order]
        return result

    def resident(self) -> int:
        """Return how many frequencies are tested at a time."""
        kernel = self._device.kernel(TEXT, "circular_test")
        return max(1, self._device.resident_blocks(kernel, _THREADS, _TEST))

    def _over(self, name: str, ids: Array, shared: int, room: int, before: list[Any], results: list[Any]) -> None:
        kernel = self._device.kernel(TEXT, f"circular_{name}")
        blocks = min(len(ids), max(1, self._device.resident_blocks(kernel, _THREADS, shared)))
        blocks = max(1, min(blocks, self._device.free_bytes() // 4 // (8 * room)))
        given = [self._table, self._turns, self._differences, self._even, self._odd, *before]
        memory = self._device.empty(blocks * room, np.float64)
        kernel(blocks, _THREADS, shared, [*given, memory, *results])

    def test(self, ids: Array, bound: float) -> Array:
        """Return what is proven of the norm at frequencies, near `bound`; 0 where nothing is."""
        proven = self._device.empty(len(ids), np.float64)
        before = [self._errors, self._device.upload(ids), np.int64(len(ids)), np.float64(bound)]
        self._over("test", ids, _TEST, 2 * self._count + 2 * self._side**2, before, [proven])
        result: Array = self._device.download(proven)
        return result

    def seek(self, ids: Array, tol: float, seed: int) -> tuple[Array, Any]:
        """Return estimates of norms at frequencies, and their vectors (frequencies, 2, side) on the device."""
        n, steps = self._side, min(2 * self._side + 20, _MOST_STEPS)
        values, vectors = (self._device.empty(shape, np.float64) for shape in (len(ids), (len(ids), 2, n)))
        tolerance = np.float64(max(tol / 4, 1e-13))
        before = [self._device.upload(ids), np.int64(len(ids)), np.int64(steps), tolerance, np.uint64(seed)]
        room = 2 * self._count + 2 * n * n + 2 * n * (steps + 1)
        self._over("raise", ids, _RAISE, room, before, [values, vectors])
        return np.sqrt(np.maximum(self._device.download(values), 0)), vectors

    def bound(self, tol: float, seed: int) -> tuple[float, int, Array]:
        """Return a proven upper end of the norm, the frequency of the largest one seen, and its vector.

        Frequencies are taken in waves, all of a wave against one bound, as on the CPU. Where the proof fails Lanczos
        looks for the norm there, and the bound rises.
        """
        left, wave = self.frequencies(), self.resident()
        peak, top, best = 0.0, 0.0, (int(left[0]), np.zeros((2, self._side)))
        floor = 0.0  # of bounds, where the norm is lost in the roundings of what cancels
        while left.size:
            now, left = left[:wave], left[wave:]
            wave *= _GROWTH
            bound = max(floor, peak * (1 + 0.75 * tol))
            proven = self.test(now, bound) if bound > 0 else np.zeros(len(now))
            top = max(top, float(proven.max()))
            failed = now[proven == 0]
            if not failed.size:
                continue
            before, (norms, vectors) = peak, self.seek(failed, tol, seed)
            at = int(np.argmax(norms))
            if norms[at] > peak or not best[1].any():
                peak, best = float(norms[at]), (int(failed[at]), self._device.download(vectors[at]))
            left = np.concatenate([failed, left])
            if peak <= before * (1 + tol / 8):
                tol *= 2  # asked for less than the roundings allow to prove
                floor = max(2 * floor, self._least)
        return top, *best

    def wave(self, frequency: int, vector: Array, to: Any) -> None:
        """Write the real plane wave of a vector that `bound` has found, over the outputs or the inputs."""
        q = vector[0] + 1j * vector[1]
        q *= np.exp(-1j * np.angle(q[np.argmax(np.abs(q))]))
        q = q.conj() if self.across else q  # of conj(K K*)
        parts = self._device.upload(np.stack([q.real, q.imag]))
        numbers = np.int64(frequency), np.int64(self.across), *map(np.int64, _two(to.shape[1:], 1))
        self._run("wave", to.size, self._turns, parts, *numbers, to)


def conv_spectral_norm(
    weight: Any, input_shape: Shape, geometry: Any, tol: float, upper: str | None, failure: float, key: int
) -> Ends:
    """See the reference; the ends are NaN where the weight is not finite, u and v are on the device."""
    outputs = output_shape(input_shape, weight.shape[2:], geometry)
    outer, inner = (weight.shape[0], *outputs), (weight.shape[1] * geometry.groups, *input_shape)
    torus, exact, _ = torus_of(input_shape, outputs, weight.shape[2:], geometry)
    if geometry.padding_mode != "circular" or not exact or upper == "random":
        what = f"padding_mode {geometry.padding_mode!r}, {outputs} outputs of {input_shape}, upper={upper!r}"
        raise BackendError(
            "backend 'cuda' cannot serve lipschitz.conv_spectral_norm: it encloses circular convolutions with one "
            f"output for each stride position, and not at random; got {what}; available: native, reference"
        )
    with load.stream_of(weight.owner):
        device = load.device()
        u, v, *made = (device.zeros(shape, np.float64) for shape in (outer, inner, outer, inner))
        largest = _largest(device, weight) if u.size and v.size else 0.0
        if not np.isfinite(largest):
            return Ends(nan, nan, 0, u, v)
        if not largest:
            return Ends(0.0, inf if upper is None else 0.0, 0, *(_given(device, x, weight) for x in (u, v)))
        exponent = int(np.frexp(largest)[1])
        found = _Circular(device, weight, exponent, _taps(weight.shape[2:], torus, geometry), geometry)
        top, frequency, pair = found.bound(tol, key)
        found.wave(frequency, pair, u if found.across else v)
        shapes, double = (weight.shape, outer, inner), np.dtype(np.float64)
        tiny = float(np.finfo(np.float64).tiny)
        if not found.across:
            iterate(device, double, shapes, geometry, [found.kernel, made[0], v], [u, made[1]], 0, tiny)
        value = iterate(device, double, shapes, geometry, [found.kernel, u, v], made, 1, tiny)
        # A place of W v is a sum of taps times channels products; a length, of its squares.
        taps = int(np.prod(weight.shape[2:]))
        margin = ROUND * (4 * taps * weight.shape[1] + u.size + v.size + 16) * sqrt(taps) * found.frobenius
        lower = max(value - margin, 0.0)
        top = inf if upper is None else max(top * (1 + 4 * ROUND), lower)
        return Ends(*scaled_ends(lower, top, exponent), 0, *(_given(device, x, weight) for x in made))


def _largest(device: load.Device, weight: Any) -> float:
    """Return the largest size of an entry; inf or NaN if one is not finite."""
    count = int(np.prod(weight.shape))
    blocks = min(-(-count // _THREADS), _MOST_BLOCKS)
    parts = device.empty(blocks, np.float64)
    kernel = device.kernel(TEXT, f"circular_largest_{weight.dtype.char}")
    kernel(blocks, _THREADS, _EACH, [np.uint64(weight.address), np.int64(count), parts], [weight.owner])
    return float(np.max(device.download(parts)))


def _given(device: load.Device, x: Any, weight: Any) -> Any:
    """Return an array of the library and type of the weight with the numbers of `x`."""
    made = load.empty_beside(weight.owner, x.shape, weight.dtype)
    if x.size:
        kernel = device.kernel(TEXT, f"circular_give_{weight.dtype.char}")
        blocks = min(-(-x.size // _THREADS), _MOST_BLOCKS)
        kernel(blocks, _THREADS, 0, [x, np.int64(x.size), np.uint64(load.address(made))], [made])
    return made
