"""Exact stochastic simulation (spec: Gillespie stochastic simulation).

A network is the tuple (initial (S,), reactants (R, S), products (R, S), rates (R,), begin (R + 1,), ops, numbers);
reaction r has the rate expression ``ops[begin[r]:begin[r + 1]]`` in postfix order if that is not empty. Methods are
generators of (time, reaction): the counts given to them change when the next event is asked for. Trajectory i of a
seed draws from Philox with the key (seed, i).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Events = Iterator[tuple[float, int]]
Network = tuple[Array, ...]
Progress = Callable[[int, int], Any] | None

_UNARY = {7: np.negative, 8: np.exp, 9: np.log, 10: np.sqrt, 11: np.abs}
_BINARY = {2: np.add, 3: np.subtract, 4: np.multiply, 5: np.divide, 6: np.float_power, 12: np.minimum, 13: np.maximum}


def evaluate(ops: Array, numbers: Array, counts: Array) -> float:
    stack: list[Any] = []
    for op, number in zip(ops.tolist(), numbers, strict=True):
        if op in _BINARY:
            right = stack.pop()
            stack[-1] = _BINARY[op](stack[-1], right)
        elif op in _UNARY:
            stack[-1] = _UNARY[op](stack[-1])
        else:
            stack.append(number if op == 0 else np.float64(counts[int(number)]))
    return float(stack[0])


@np.errstate(all="ignore")
def propensities(network: Network, counts: Array) -> Array:
    """a_j = c_j prod_i C(n_i, l_ji), the binomials as products of ratios; or the value of the expression."""
    _, reactants, _, rates, begin, ops, numbers = network
    a = rates.copy()
    for k in range(reactants.max(initial=0)):
        a *= np.where(reactants > k, (counts - k) / (k + 1), 1.0).prod(axis=1)
    for j in np.flatnonzero(np.diff(begin)):
        program = slice(begin[j], begin[j + 1])
        a[j] = evaluate(ops[program], numbers[program], counts)
    return a


@np.errstate(all="ignore")
def checked_propensities(network: Network, counts: Array, t: float) -> Array:
    if counts.min() < 0:
        s = int(np.argmax(counts < 0))
        raise ValueError(f"the count of species {s} must stay at least 0; got {counts[s]} at t = {t:g}")
    if counts.max() > 2**52:
        s = int(np.argmax(counts))
        raise ValueError(f"the count of species {s} must stay at most 2**52; got {counts[s]} at t = {t:g}")
    a = propensities(network, counts)
    bad = np.flatnonzero(~(np.isfinite(a) & (a >= 0)))
    if bad.size:
        j = bad[0]
        raise ValueError(f"the propensity of reactions[{j}] must be finite and at least 0; got {a[j]:g} at t = {t:g}")
    if not np.isfinite(a.sum()):
        raise ValueError(f"the sum of all propensities must be finite; got inf at t = {t:g}")
    return a


@np.errstate(all="ignore")
def direct_step(a: Array, u1: float, u2: float) -> tuple[float, int]:
    """Waiting time and reaction from uniforms in (0, 1] and [0, 1); a reaction with a_j = 0 is never chosen."""
    sums = np.cumsum(a)
    above = np.flatnonzero(sums > u2 * sums[-1])
    return -np.log(u1) / sums[-1], int(above[0] if above.size else np.flatnonzero(a)[-1])


@np.errstate(all="ignore")
def waiting_times(a: Array, u: Array) -> Array:
    """-ln(u_j) / a_j, infinite where a_j = 0."""
    return np.where(a > 0, -np.log(u) / np.where(a > 0, a, 1), np.inf)


def direct(network: Network, counts: Array, rng: np.random.Generator) -> Events:
    change, t = network[2] - network[1], 0.0
    while (a := checked_propensities(network, counts, t)).any():
        tau, j = direct_step(a, 1 - rng.random(), rng.random())
        t += tau
        yield t, j
        counts += change[j]


def first_reaction(network: Network, counts: Array, rng: np.random.Generator) -> Events:
    change, t = network[2] - network[1], 0.0
    while (a := checked_propensities(network, counts, t)).any():
        tau = waiting_times(a, 1 - rng.random(len(a)))
        j = int(np.argmin(tau))
        t += tau[j]
        yield t, j
        counts += change[j]


def next_reaction(network: Network, counts: Array, rng: np.random.Generator) -> Events:
    """Gibson and Bruck: each reaction keeps its time, which is rescaled when its propensity changes."""
    change = network[2] - network[1]
    a = checked_propensities(network, counts, 0.0)
    times = waiting_times(a, 1 - rng.random(len(a)))
    while a.any():
        j = int(np.argmin(times))
        t = float(times[j])
        yield t, j
        counts += change[j]
        old, a = a, checked_propensities(network, counts, t)
        drawn = (a > 0) & (old == 0)
        drawn[j] = a[j] > 0
        kept = (a > 0) & (a != old) & ~drawn
        times[kept] = t + old[kept] / a[kept] * (times[kept] - t)
        times[drawn] = t + waiting_times(a[drawn], 1 - rng.random(int(drawn.sum())))
        times[a == 0] = np.inf


METHODS = ("direct", "first_reaction", "next_reaction")


def events_of(network: Network, counts: Array, method: str, seed: int, index: int) -> Events:
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
    if not len(network[3]):
        return iter(())
    methods = {"direct": direct, "first_reaction": first_reaction, "next_reaction": next_reaction}
    return methods[method](network, counts, rng)


def trajectory(network: Network, t: Array, method: str, seed: int, index: int) -> tuple[Array, ...]:
    """Samples (T, S), firings (R,), and the integrals of n - n0 and (n - n0)^2 from t[0] to t[-1]."""
    counts, reactions = network[0].copy(), len(network[3])
    samples = np.empty((len(t), len(counts)), np.int64)
    fired = np.zeros(reactions, np.int64)
    integrals = np.zeros((2, len(counts)))
    sampled, now = 0, t[0]
    for time, j in events_of(network, counts, method, seed, index):
        passed = int(np.searchsorted(t, time))  # samples before the event; one at its time sees it
        samples[sampled:passed] = counts
        sampled, d, later = passed, counts - network[0], min(time, t[-1])
        integrals += max(0.0, later - now) * np.array([d, d * d])
        now = max(now, later)
        if time > t[-1]:
            break
        fired[j] += 1
    else:
        d = counts - network[0]
        integrals += (t[-1] - now) * np.array([d, d * d])
    samples[sampled:] = counts
    return samples, fired, *integrals


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
) -> tuple[Array, Array, Array | None, Array | None]:
    parts = []
    for i in range(n):
        parts.append(trajectory(network, t, method, seed, first + i))
        if progress:
            progress((i + 1) * len(t), n * len(t))
    samples, fired, area, square = map(np.array, zip(*parts, strict=True))
    if not averages:
        return samples, fired, None, None
    shift = area / (t[-1] - t[0])
    return samples, fired, network[0] + shift, np.maximum(0, square / (t[-1] - t[0]) - shift * shift)


def moments(
    network: Network, t: Array, *, method: str, seed: int, n: int, threads: int, progress: Progress
) -> tuple[Array, Array, int]:
    counts, fired, _, _ = simulate(
        network, t, method=method, seed=seed, averages=False, n=n, first=0, threads=threads, progress=progress
    )
    return counts.mean(axis=0), counts.var(axis=0, ddof=1), int(fired.sum())


def simulate_events(
    network: Network, *, t_end: float, max_events: int, method: str, seed: int
) -> tuple[Array, Array, bool]:
    counts = network[0].copy()
    log: list[tuple[float, int]] = []
    for time, j in events_of(network, counts, method, seed, 0):
        if time > t_end or len(log) == max_events:
            break
        log.append((time, j))
    absorbed = not propensities(network, counts).any()
    return np.array([t for t, _ in log], np.float64), np.array([j for _, j in log], np.int32), absorbed
