"""Propensities, and the exact methods as generators of (time, reaction); gillespie.py says what a network is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kxfast.backends.reference.gillespie_expressions import Array, evaluate
from kxfast.backends.reference.gillespie_ranges import bounds

Events = Iterator[tuple[float, int]]
Network = tuple[Any, ...]
_TIME = 14  # the operation in expressions


@np.errstate(all="ignore")
def propensities(network: Network, counts: Array, t: float = 0.0) -> Array:
    """a_j = c_j prod_i C(n_i, l_ji), the binomials as products of ratios; or the value of the expression.

    A network with a window (t0, t1) at its end has upper bounds in place of rates that depend on the time.
    """
    _, (reactions, species, orders), _, rates, begin, ops, numbers, _, functions, *window = network
    a: Array = rates.copy()
    for k in range(orders.max(initial=0)):
        np.multiply.at(a, reactions, np.where(orders > k, (counts[species] - k) / (k + 1), 1.0))
    for j in np.flatnonzero(np.diff(begin)):
        program = slice(begin[j], begin[j + 1])
        if window and _TIME in ops[program]:
            a[j] = bounds(ops[program], numbers[program], counts, *window[0])[1]
        else:
            a[j] = evaluate(ops[program], numbers[program], counts, t, functions)
    return a


def changes(network: Network) -> Array:
    """What each reaction adds to the counts, (R, S)."""
    d = np.zeros((len(network[3]), len(network[0])), np.int64)
    for sign, (reactions, species, counts) in (-1, network[1]), (1, network[2]):
        d[reactions, species] += sign * counts
    return d


@np.errstate(all="ignore")
def checked_propensities(network: Network, counts: Array, t: float) -> Array:
    n = counts[: len(network[0])]
    if n.min() < 0:
        s = int(np.argmax(n < 0))
        raise ValueError(f"the count of species {s} must stay at least 0; got {n[s]:g} at t = {t:g}")
    if n.max() > 2**52:
        s = int(np.argmax(n))
        raise ValueError(f"the count of species {s} must stay at most 2**52; got {n[s]:g} at t = {t:g}")
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


def direct(network: Network, counts: Array, rng: np.random.Generator, t: float) -> Events:
    change, n = changes(network), counts[: len(network[0])]
    while (a := checked_propensities(network, counts, t)).any():
        tau, j = direct_step(a, 1 - rng.random(), rng.random())
        t += tau
        yield t, j
        n += change[j]


def first_reaction(network: Network, counts: Array, rng: np.random.Generator, t: float) -> Events:
    change, n = changes(network), counts[: len(network[0])]
    while (a := checked_propensities(network, counts, t)).any():
        tau = waiting_times(a, 1 - rng.random(len(a)))
        j = int(np.argmin(tau))
        t += tau[j]
        yield t, j
        n += change[j]


def next_reaction(network: Network, counts: Array, rng: np.random.Generator, t: float) -> Events:
    """Gibson and Bruck: each reaction keeps its time, which is rescaled when its propensity changes."""
    change, n = changes(network), counts[: len(network[0])]
    a = checked_propensities(network, counts, t)
    times = t + waiting_times(a, 1 - rng.random(len(a)))
    while a.any():
        j = int(np.argmin(times))
        t = float(times[j])
        yield t, j
        n += change[j]
        old, a = a, checked_propensities(network, counts, t)
        drawn = (a > 0) & (old == 0)
        drawn[j] = a[j] > 0
        kept = (a > 0) & (a != old) & ~drawn
        times[kept] = t + old[kept] / a[kept] * (times[kept] - t)
        times[drawn] = t + waiting_times(a[drawn], 1 - rng.random(int(drawn.sum())))
        times[a == 0] = np.inf
