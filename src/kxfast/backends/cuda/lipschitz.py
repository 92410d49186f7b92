"""The training step of spectral normalisation: all layers of a type in one launch for each iteration, one to scale;
power iteration with a convolution, all steps in one launch.

Arrays come as their owners, addresses, shapes and types, and are read and written where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast.backends.cuda import load

__all__ = ["conv_power_iteration", "host_copy", "missing", "spectral_normalize"]

_TEXT, _POWER = '#include "lipschitz.cuh"\n', '#include "conv_power.cuh"\n'
_PLACES, _WIDTH, _POWER_SHARED = 128, 8, 32 + 16 * 8  # of a tile of the convolution's products; bytes of a block
_THREADS, _CHUNK, _MOST_ROWS = 256, 2**15, 1024
_SHARED = {"f": 64 + 16 + 4 * _MOST_ROWS, "d": 64 + 16 + 8 * _MOST_ROWS}


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


def host_copy(x: Any) -> Any:
    """Return a NumPy copy of a device array."""
    with load.stream_of(x.owner):
        return load.device().download(x.owner)


def spectral_normalize(
    weights: Sequence[Any], us: Sequence[Any], vs: Sequence[Any], coeff: float, n_iter: int, hard: bool,
    outs: Sequence[Any] | None,
) -> tuple[Any, Any, bool]:  # fmt: skip
    """See the reference; also return whether all norms are finite, without which nothing is written."""
    with load.stream_of(weights[0].owner):
        device = load.device()
        count = len(weights)
        sigmas, factors = device.zeros(count, np.float64), device.upload(np.ones(count))
        arrived, bad = device.scratch(count, np.uint32), device.zeros(1, np.uint32)
        groups = []
        for kind in "fd":
            which = [i for i, w in enumerate(weights) if w.dtype.char == kind and np.prod(w.shape)]
            if which:
                groups.append(_Group(device, kind, which, weights, us, vs, outs))
        for group in groups:
            group.step(n_iter, [arrived, sigmas, bad])
        for group in groups:
            group.scale([np.float64(coeff), np.int64(hard), np.int64(n_iter > 0), sigmas, bad, factors])
        return factors, sigmas, not device.download(bad)[0]


class _Group:
    """The layers of one type: their table, where blocks go, memory between launches."""

    def __init__(
        self, device: load.Device, kind: str, which: list[int], weights: Sequence[Any], us: Sequence[Any],
        vs: Sequence[Any], outs: Sequence[Any] | None,
    ) -> None:  # fmt: skip
        self._device, self._kind = device, kind
        table = np.zeros((len(weights), 13), np.int64)
        places: list[tuple[int, int]] = []
        sizes: list[int] = []
        for i in which:
            rows, columns = weights[i].shape
            deep = max(1, min(_MOST_ROWS, rows, _CHUNK // columns))
            chunks = -(-rows // deep)
            addresses = (weights[i].address, us[i].address, vs[i].address)
            table[i, [0, 1, 2, 6, 7]] = *addresses, *addresses[1:]
            table[i, 8:] = 0 if outs is None else outs[i].address, rows, columns, chunks, deep
            places += [(i, chunk) for chunk in range(chunks)]
            sizes += [rows, columns, chunks * columns]
        self._blocks = len(places)
        self._memory = device.empty(sum(sizes), np.dtype(kind))
        begins = load.address(self._memory) + np.dtype(kind).itemsize * (np.cumsum(sizes) - sizes)
        table[which, 3:6] = begins.reshape(len(which), 3)
        self._first, self._places = device.upload(table), device.upload(np.array(places, np.int64))
        table[which, 2] = table[which, 4]  # later iterations start from the v of the one before
        self._later = device.upload(table)
        self._touched = [self._memory, *(x.owner for each in (weights, us, vs, outs or ()) for x in each)]

    def step(self, n_iter: int, arguments: list[Any]) -> None:
        kernel = self._device.kernel(_TEXT, f"step_{self._kind}")
        for i in range(max(n_iter, 1)):
            given = [self._later if i else self._first, self._places, np.int64(n_iter == 0), *arguments]
            kernel(self._blocks, _THREADS, _SHARED[self._kind], given, self._touched)

    def scale(self, arguments: list[Any]) -> None:
        kernel = self._device.kernel(_TEXT, f"scale_{self._kind}")
        kernel(self._blocks, _THREADS, 0, [self._first, self._places, *arguments], self._touched)


def conv_power_iteration(
    weight: Any, u: Any, v: Any, n_iter: int, eps: float, moves: Any
) -> tuple[float, Any, Any]:  # fmt: skip
    """See the reference; arrays are on the device, and so are u and v that are returned."""
    with load.stream_of(weight.owner):
        device, dtype, groups = load.device(), weight.dtype, moves.groups
        outputs, inputs, taps = weight.shape[0], weight.shape[1] * groups, weight.shape[2:]
        axes = zip(v.shape[1:], u.shape[1:], taps, moves.stride, moves.padding, moves.dilation, strict=True)
        rows = [(1, 1, 1, 1, 0, 1)] * (len(taps) == 1) + list(axes)
        table = np.array([outputs, inputs, groups, moves.padding_mode == "circular", *np.ravel(rows)], np.int64)

        def whole(channels: int) -> int:
            return int(-(-channels // groups // _WIDTH))

        tiles = [
            -(-int(np.prod(x.shape[1:])) // _PLACES) * whole(x.shape[0]) * groups for x in (u, v)
        ]  # fmt: skip
        count = int(np.prod(taps))
        forward = device.empty(count * inputs * whole(outputs) * _WIDTH, dtype)
        adjoint = device.empty(count * outputs * whole(inputs) * _WIDTH, dtype)
        new_u, new_v = (load.empty_beside(x.owner, x.shape, dtype) for x in (u, v))
        sigma = device.zeros(1, np.float64)
        kernel = device.kernel(_POWER, f"conv_power_{dtype.char}")
        blocks = max(1, min(max(tiles), device.resident_blocks(kernel, _PLACES, _POWER_SHARED)))
        arguments = [
            device.upload(table), *(np.uint64(x.address) for x in (weight, u, v)), np.int64(n_iter), np.float64(eps),
            forward, adjoint, *(np.uint64(load.address(x)) for x in (new_u, new_v)),
            device.empty(sum(tiles), np.float64), sigma, device.scratch(1, np.uint32),
        ]  # fmt: skip
        kernel(blocks, _PLACES, _POWER_SHARED, arguments, [weight.owner, u.owner, v.owner, new_u, new_v], together=True)
        found = float(device.download(sigma)[0])
        return (found, new_u, new_v) if n_iter else (found, u.owner, v.owner)
