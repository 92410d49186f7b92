"""The training step of spectral normalisation: all layers of a type in one launch for each iteration, one to scale.

Arrays come as their owners, addresses, shapes and types, and are read and written where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast.backends.cuda import load
from kxfast.backends.cuda.lipschitz_circular import conv_spectral_norm
from kxfast.backends.cuda.lipschitz_power import conv_power_iteration

__all__ = ["conv_power_iteration", "conv_spectral_norm", "host_copy", "missing", "spectral_normalize"]

_TEXT = '#include "lipschitz.cuh"\n'
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
