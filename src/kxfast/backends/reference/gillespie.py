"""Exact stochastic simulation (spec: Gillespie stochastic simulation).

A network is the tuple (initial (S,), reactants, products, rates (R,), begin (R + 1,), ops, numbers, control,
functions). A side is (reactions, species, counts), an entry for each species of a reaction; reaction r has the rate
expression ``ops[begin[r]:begin[r + 1]]`` in postfix order if that is not empty, which may call functions, and control
is what gillespie_events.py says. The state is the counts and then the variables that events change. Methods are
generators of (time, reaction) from a time on: the state given to them changes when the next event is asked for.
Trajectory i of a seed draws from Philox with the key (seed, i).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxfast.backends.reference.gillespie_events import Director, Held, held
from kxfast.backends.reference.gillespie_expressions import Array, evaluate
from kxfast.backends.reference.gillespie_leaping import leaping
from kxfast.backends.reference.gillespie_methods import (
    Events,
    Network,
    changes,
    direct,
    direct_step,
    first_reaction,
    next_reaction,
    propensities,
    waiting_times,
)
from kxfast.backends.reference.gillespie_ranges import bounds, is_timed

__all__ = [
    "APPROXIMATE",
    "METHODS",
    "changes",
    "direct_step",
    "evaluate",
    "moments",
    "propensities",
    "simulate",
    "simulate_events",
    "waiting_times",
]
Progress = Callable[[int, int], Any] | None


METHODS = ("direct", "first_reaction", "next_reaction")
APPROXIMATE = ("tau_leaping",)


def generator(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))


def events_of(network: Network, state: Array, method: str, rng: np.random.Generator, t: float, end: float) -> Events:
    if not len(network[3]):
        return iter(())
    methods = {"direct": direct, "first_reaction": first_reaction, "next_reaction": next_reaction}
    timed = is_timed(network)
    if timed.any():
        return thinned(network, timed, state, methods[method], rng, t, end)
    return methods[method](network, state, rng, t)


def thinned(
    network: Network,
    timed: Array,
    state: Array,
    method: Callable[..., Events],
    rng: np.random.Generator,
    t: float,
    end: float,
) -> Events:
    """Thinning (Lewis and Shedler 1979): candidates at bounds that hold in a window, kept by rate / bound."""
    length = 1.0
    while t < min(end, 1e300):
        length = window_length(network, timed, state, t, length)
        inside, after = (*network, (t, t + length)), t + length
        for time, j in method(inside, state, rng, t):
            if time > after:
                break
            if timed[j]:
                rate = propensities(network, state, time)[j]
                if not rate >= 0:
                    raise ValueError(
                        f"the propensity of reactions[{j}] must be finite and at least 0; got {rate:g} at t = {time:g}"
                    )
                if rng.random() * propensities(inside, state)[j] >= rate:
                    after = time
                    break
            yield time, j
        t, length = after, 2 * length


def window_length(network: Network, timed: Array, state: Array, t: float, length: float) -> float:
    """A length, halved until bounds are known and not far above the rates, or hold for a few events only."""
    begin, ops, numbers = network[4:7]
    for _ in range(200):
        programs = [slice(begin[j], begin[j + 1]) for j in np.flatnonzero(timed)]
        ranges = [bounds(ops[each], numbers[each], state, t, t + length) for each in programs]
        least, most = (sum(each[end] for each in ranges) for end in (0, 1))
        if np.isfinite(most) and (most <= 2 * least or most * length <= 4):
            return length
        length /= 2
    j = np.flatnonzero(timed)[np.argmax([each[1] for each in ranges])]
    raise ValueError(f"the propensity of reactions[{j}] must be finite and at least 0; got {most:g} at t = {t:g}")


class Record:
    """Samples (T, S), firings (R,), and the integrals of n - n0 and (n - n0)^2 from t[0] to t[-1]."""

    def __init__(self, network: Network, t: Array) -> None:
        self.t, self.initial = t, network[0]
        self.samples = np.empty((len(t), len(self.initial)), np.int64)
        self.fired = np.zeros(len(network[3]), np.int64)
        self.integrals = np.zeros((2, len(self.initial)))
        self.sampled, self.now = 0, t[0]

    def until(self, time: float, counts: Array) -> None:
        """The counts stay until a time; a sample at that time is not among them."""
        passed = int(np.searchsorted(self.t, time))
        self.samples[self.sampled : passed] = counts
        self.sampled = max(self.sampled, passed)
        d, later = counts - self.initial, min(time, self.t[-1])
        self.integrals += max(0.0, later - self.now) * np.array([d, d * d])
        self.now = max(self.now, later)


def trajectory(
    network: Network, t: Array, method: str, rng: np.random.Generator, director: Director, start: float
) -> tuple[Any, ...]:
    """Samples, firings and integrals, and when a condition ended the trajectory, else infinity."""
    state, species = director.state, director.species
    record, now = Record(network, t), start
    while not director.settle(now):
        stop = director.next_stop(now)
        for time, j in events_of(network, state, method, rng, now, min(stop, t[-1])):
            if director.conditions(now) != director.truth:
                break  # the last reaction changed one: what was to come next is forgotten
            record.until(min(time, stop), state[:species])
            now = min(time, stop)
            if time > stop or time > t[-1]:
                break
            record.fired[j] += 1
        else:
            if director.conditions(now) == director.truth:
                record.until(stop, state[:species])
                now = stop
        if now > t[-1] or now == np.inf:
            record.until(np.inf, state[:species])
            return record.samples, record.fired, *record.integrals, np.inf
    record.until(np.inf, state[:species])
    return record.samples, record.fired, *record.integrals, now


def simulate(
    network: Network,
    t: Array,
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
    starts: Array | None = None,
    before: Held | None = None,
) -> tuple[Array, Array, Array | None, Array | None, Array, Held | None]:
    """Trajectories that begin at `start` from counts `starts`, and with `before` what an earlier call left of them."""
    parts, directors, control = [], [], network[7]
    for i in range(n):
        own = network if starts is None else (starts[i], *network[1:])
        rng = generator(seed, first + i)
        if method in APPROXIMATE:
            parts.append((*leaping(own, t, rng, start, epsilon), 0.0, 0.0, np.inf))
        else:
            state = np.concatenate([own[0], control[0]]) if len(control[0]) else own[0].copy()
            director = Director(control, state, len(own[0]), rng)
            if before is not None:
                director.resume(before, i)
            parts.append(trajectory(own, t, method, rng, director, start))
            directors.append(director)
        if progress:
            progress((i + 1) * len(t), n * len(t))
    samples, fired, area, square, stopped = map(np.array, zip(*parts, strict=True))
    left = held(directors, control) if len(control[4]) else None
    if not averages:
        return samples, fired, None, None, stopped, left
    shift = area / (t[-1] - t[0])
    spread = np.maximum(0, square / (t[-1] - t[0]) - shift * shift)
    return samples, fired, (network[0] if starts is None else starts) + shift, spread, stopped, left


def moments(
    network: Network,
    t: Array,
    *,
    method: str,
    seed: int,
    n: int,
    threads: int,
    progress: Progress,
    epsilon: float = 0.03,
    histogram: tuple[int, int, int] = (0, 1, 0),
) -> tuple[Array, Array, int, Array]:
    """Mean, variance, events, and a histogram of each sample: below `low`, `bins` of `width` counts, above."""
    counts, fired, *_ = simulate(
        network, t, method=method, seed=seed, averages=False, n=n, first=0, threads=threads, progress=progress,
        epsilon=epsilon,
    )  # fmt: skip
    low, width, bins = histogram
    places = np.clip((counts - low) // width, -1, bins) + 1
    cells = (places[..., None] == np.arange(bins + 2 if bins else 0)).sum(axis=0)
    return counts.mean(axis=0), counts.var(axis=0, ddof=1), int(fired.sum()), cells


def simulate_events(
    network: Network, *, t_end: float, max_events: int, method: str, seed: int
) -> tuple[Array, Array, bool]:
    counts = network[0].copy()
    log: list[tuple[float, int]] = []
    absorbed = False
    for time, j in events_of(network, counts, method, generator(seed, 0), 0.0, t_end):
        if time > t_end or len(log) == max_events:
            break
        log.append((time, j))
    else:
        absorbed = True
    return np.array([t for t, _ in log], np.float64), np.array([j for _, j in log], np.int32), absorbed
