"""Ensembles by the direct method, a trajectory in each thread: the CPU's trajectories from the same seeds.

The bits are those of the compiled CPU code unless a rate has powers, exp, log, sin or cos, whose last bits CUDA's
library rounds in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kxfast.backends.cuda import load
from kxfast.backends.cuda.gillespie_source import check, generate, is_large
from kxfast.backends.cuda.gillespie_tables import shared_bytes, tables
from kxfast.errors import BackendError

METHODS = ("direct",)
FROM_HOST = True

__all__ = ["METHODS", "missing", "moments", "simulate"]

Progress = Callable[[int, int], Any] | None
_LEAST_PART = 128  # trajectories
_ROUNDS = 16384  # events of each thread in a launch, between which Ctrl-C is heard
_LARGE = '#include "gillespie_large.cuh"\n'
_NULL, _NONE = np.int64(0), 2**64 - 1
_BAD_PROPENSITY, _NEGATIVE_COUNT = 1, 2


class _Small:
    """A trajectory in each thread, by a kernel made for the network; samples (T, S, n)."""

    threads, each_block = 128, 128
    shared = 256  # bytes: two tables of 16 doubles

    def __init__(self, device: load.Device, network: tuple[Any, ...], moments: bool, averages: bool) -> None:
        source = generate(network, moments=moments, averages=averages)
        self.kernel = device.kernel(source.text, "gillespie")
        self.numbers = source.numbers

    def sizes_and_indices(self, device: load.Device) -> list[Any]:
        return []


class _Large:
    """A trajectory in each warp, by a kernel that reads the network; samples (n, T, S)."""

    threads, each_block = 32, 1

    def __init__(self, device: load.Device, network: tuple[Any, ...], moments: bool, averages: bool) -> None:
        found = tables(network)
        self.kernel = device.kernel(_LARGE, f"gillespie_{'sums' if moments else 'samples'}")
        self.shared = shared_bytes(*found.sizes[:2])
        self.numbers, self._tables = found.numbers, found

    def sizes_and_indices(self, device: load.Device) -> list[Any]:
        return [*map(np.int64, self._tables.sizes), device.upload(self._tables.indices)]


@dataclass
class _Ensemble:
    """Trajectories first .. first + n of a seed, at the times t."""

    network: tuple[Any, ...]
    t: Any
    seed: int
    first: int
    n: int
    start: float = 0.0

    def run(
        self, device: load.Device, moments: bool, averages: bool, outputs: Callable[[int], list[Any]]
    ) -> Iterator[tuple[int, int]]:
        """Launch until all have ended; yield samples and events so far. `outputs` are the kernel's last arguments."""
        kind = _Large if is_large(self.network) else _Small
        walker = kind(device, self.network, moments, averages)
        most = device.resident_blocks(walker.kernel, walker.threads, walker.shared)
        blocks = min(-(-self.n // walker.each_block), most)
        slots, species = blocks * walker.each_block, len(self.network[0])
        control = device.upload(np.array([0, 0, _NONE, 0, 0], np.uint64))
        x, t, value = (device.scratch((rows, slots), np.float64) for rows in (species, 1, 1))
        stream, place = (device.scratch((4, slots), kind) for kind in (np.uint64, np.int64))
        place[0] = -2  # which trajectory: none yet
        arguments = [
            np.int64(self.n), np.int64(self.first), np.int64(len(self.t)), np.int64(slots), np.uint64(self.seed),
            np.float64(self.start), device.upload(self.t), device.upload(walker.numbers),
            device.upload(self.network[0].astype(np.float64)), control, x, t, value, stream, place,
            np.int64(_ROUNDS), *walker.sizes_and_indices(device), *outputs(slots),
        ]  # fmt: skip
        finished = 0
        while finished < self.n:
            walker.kernel(blocks, walker.threads, walker.shared, arguments)
            _, finished, failed, samples, events = device.download(control).tolist()
            if failed != _NONE:
                self._raise(failed, *map(device.download, (place, t, value)))
            yield samples, events

    def _raise(self, index: int, place: Any, t: Any, value: Any) -> None:
        trajectory, _, status, culprit = place
        slot = int(np.flatnonzero((status != 0) & (trajectory == index))[0])
        which, got = int(culprit[slot]), value[0, slot]
        where = f"at t = {t[0, slot]:g} in trajectory {self.first + index}"
        if status[slot] == _BAD_PROPENSITY:
            whose, bounds = f"the propensity of reactions[{which}]", "finite and at least 0"
            if which < 0:
                whose, bounds = "the sum of all propensities", "finite"
            raise ValueError(f"{whose} must be {bounds}; got {got:g} {where}")
        bounds = "at least 0" if status[slot] == _NEGATIVE_COUNT else "at most 2**52"
        raise ValueError(f"the count of species {which} must stay {bounds}; got {got:g} {where}")


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


def simulate(
    network: tuple[Any, ...],
    t: Any,
    *,
    method: str,
    seed: int,
    averages: bool,
    n: int,
    first: int,
    threads: int,
    progress: Progress,
    epsilon: float = 0.03,
    start: float = 0.0,
    starts: Any = None,
) -> tuple[Any, Any, Any, Any, Any, None]:
    """See the reference. Ensembles larger than the device's memory go through it in parts."""
    check(network, averages=averages)
    device, large = load.device(), is_large(network)
    species, reactions = len(network[0]), len(network[3])
    counts, fired = np.empty((n, len(t), species), np.int64), np.empty((n, reactions), np.int64)
    areas = np.zeros((2, n, species))
    a_trajectory = 8 * (len(t) * species + reactions + 2 * species)
    step = min(n, max(_LEAST_PART, device.free_bytes() // (4 * a_trajectory)))  # a quarter: results are transposed
    for begin in range(0, n, step):
        part = slice(begin, min(n, begin + step))
        size = part.stop - begin
        out = (
            device.empty((size, len(t), species) if large else (len(t), species, size), np.int64),
            device.zeros((size, reactions) if large else (reactions, size), np.int64),
        )
        area = device.empty((2 * species, size), np.float64) if averages else _NULL
        own = _NULL if starts is None else device.upload(starts[part])

        def outputs(slots: int, own: Any = own, out: tuple[Any, Any] = out, area: Any = area) -> list[Any]:
            kept = device.scratch((2 * species, slots), np.float64) if averages else _NULL
            return [own, *out, *(() if large else (kept, area))]

        ensemble = _Ensemble(network, t, seed, first + begin, size, start)
        for samples, _ in ensemble.run(device, False, averages, outputs):
            if progress:
                progress(begin * len(t) + samples, n * len(t))
        counts[part] = device.download(out[0] if large else out[0].transpose(2, 0, 1).copy())
        fired[part] = device.download(out[1] if large else out[1].T.copy())
        if averages:
            areas[:, part] = device.download(area).reshape(2, species, size).transpose(0, 2, 1)
    stopped = np.full(n, np.inf)
    if not averages:
        return counts, fired, None, None, stopped, None
    shift, square = areas / (t[-1] - t[0])
    return counts, fired, network[0] + shift, np.maximum(0, square - shift * shift), stopped, None


def moments(
    network: tuple[Any, ...],
    t: Any,
    *,
    method: str,
    seed: int,
    n: int,
    threads: int,
    progress: Progress,
    epsilon: float = 0.03,
    histogram: tuple[int, int, int] = (0, 1, 0),
) -> tuple[Any, Any, int, Any]:
    """See the reference. Sums are of integers, so their order changes nothing."""
    check(network, averages=False)
    if n > 2**32:
        raise BackendError(f"backend 'cuda' cannot serve gillespie.moments: n must be at most 2**32; got {n}")
    device, shape = load.device(), (len(t), len(network[0]))
    low, width, bins = histogram
    cells = bins + 2 if bins else 0
    sums = [device.zeros(each, np.uint64) for each in (shape, (*shape, 4), (*shape, max(cells, 1)))]
    tail = [*sums, np.int64(low), np.int64(width), np.int64(cells)]
    events = 0
    for samples, so_far in _Ensemble(network, t, seed, 0, n).run(device, True, False, lambda slots: tail):
        events = so_far
        if progress:
            progress(samples, n * len(t))
    count, square, histograms = map(device.download, sums)
    mean, variance = np.empty(shape), np.empty(shape)
    for place in np.ndindex(shape):
        whole = sum(int(word) << (32 * i) for i, word in enumerate(square[place]))
        mean[place], variance[place] = _moments(int(count[place]), whole, n)
    return mean, variance, events, histograms[..., :cells].astype(np.int64)


def _moments(count: int, square: int, n: int) -> tuple[float, float]:
    """Mean and variance from exact sums, about an integer near the mean as the compiled CPU code does it."""
    centre, rest = divmod(count, n)
    about = square - 2 * centre * count + centre * centre * n
    return centre + rest / n, max(0.0, float(about) - rest * (rest / n)) / (n - 1)
