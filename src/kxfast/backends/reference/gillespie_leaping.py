"""Tau-leaping (Y. Cao, D. T. Gillespie, L. R. Petzold, J. Chem. Phys. 124 (2006) 044109): approximate.

A leap of length tau fires reaction j a Poisson(a_j tau) number of times. Critical reactions, within 10 firings of using
something up, fire once at most. Leaps end at samples.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from kxfast.backends.reference.gillespie_expressions import Array
from kxfast.backends.reference.gillespie_methods import Network, changes, checked_propensities, direct

_CRITICAL, _SHORTEST, _EXACT_EVENTS, _ORDER_OF_EXPRESSIONS = 10, 10, 100, 4
_SPECIES = 1  # the operation in expressions


def readings(network: Network) -> set[tuple[int, int, int]]:
    """(species, order of a reaction that reads it, copies of the species in it)."""
    _, (reactions, species, counts), _, rates, begin, ops, numbers, *_ = network
    orders = np.bincount(reactions, counts, len(rates)).astype(int)
    by_law = begin[reactions] == begin[reactions + 1]
    found = {
        (int(s), int(orders[j]), int(count))
        for j, s, count, law in zip(reactions, species, counts, by_law, strict=True)
        if law
    }
    return found | {(int(s), _ORDER_OF_EXPRESSIONS, 1) for s in numbers[ops == _SPECIES]}


@np.errstate(all="ignore")
def longest_leap(reads: set[tuple[int, int, int]], n: Array, d: Array, a: Array, epsilon: float) -> float:
    """Eq. 33: so long that no propensity is expected to change by more than epsilon of itself."""
    mu, variance = a @ d, a @ d**2
    g = np.zeros(len(n))
    for s, order, copies in reads:
        g[s] = max(g[s], order / copies * sum(n[s] / (n[s] - k) if n[s] > k else np.inf for k in range(copies)))
    by = np.maximum(1, epsilon * n / g)
    seen = (g > 0) & (variance > 0)
    return float(np.min(np.minimum(by / np.abs(mu), by**2 / variance)[seen], initial=np.inf))


def leaping(network: Network, t: Array, rng: np.random.Generator, now: float, epsilon: float) -> tuple[Array, Array]:
    """Samples (T, S) and firings (R,) of one trajectory."""
    n, d, reads = network[0].copy(), changes(network), readings(network)
    samples, fired = np.empty((len(t), len(n)), np.int64), np.zeros(len(network[3]), np.int64)
    for i, stop in enumerate(t):
        while now < stop and (a := checked_propensities(network, n, now)).any():
            room = np.where(d < 0, n // np.where(d < 0, -d, 1), _CRITICAL)
            critical = (a > 0) & (room.min(axis=1) < _CRITICAL)
            longest = longest_leap(reads, n, d, np.where(critical, 0, a), epsilon)
            while longest >= _SHORTEST / a.sum():
                alone = rng.exponential() / a[critical].sum() if critical.any() else np.inf
                tau = min(longest, alone, stop - now)
                k = rng.poisson(np.where(critical, 0, a) * tau)
                if tau == alone:
                    k[rng.choice(len(a), p=np.where(critical, a, 0) / a[critical].sum())] += 1
                if np.all(n + k @ d >= 0):
                    n, fired, now = n + k @ d, fired + k, min(stop, now + tau)
                    break
                longest /= 2
            else:
                for time, j in islice(direct(network, n.copy(), rng, now), _EXACT_EVENTS):
                    now = min(stop, time)
                    if time > stop:
                        break
                    n, fired[j] = n + d[j], fired[j] + 1
        samples[i] = n
    return samples, fired
