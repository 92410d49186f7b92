"""Reversible networks are in detailed balance, and states of a trajectory are those of the master equation at any time.

Seeds are fixed; a bound of 4.5 standard errors is passed by chance once in 1.5e5 draws of the seed.
"""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy import stats

import kxfast as kx

g = kx.gillespie
COMPILED = "native" in kx.available("gillespie.simulate")
METHODS = ("direct", "sorting_direct", "next_reaction", "composition_rejection", "rssa") if COMPILED else ("direct",)
every_method = pytest.mark.parametrize("method", METHODS)
T_END = 20_000.0 if COMPILED else 1500.0
BOUND = 4.5

# Forward and backward reactions in turn; detailed balance holds for the cycle A, B, C as 2 * 3 * 1 = 1 * 2 * 3.
CYCLE = g.ReactionNetwork(
    {"A": 6, "B": 0, "C": 0}, ["A -> B @ 2", "B -> A @ 1", "B -> C @ 3", "C -> B @ 2", "C -> A @ 1", "A -> C @ 3"]
)
PAIRS = g.ReactionNetwork({"P": 9, "Q": 0}, ["2 P -> Q @ 0.1", "Q -> 2 P @ 0.6"])
LAW = g.ReactionNetwork({"P": 9, "Q": 0}, ["2 P -> Q @ 0.05 * P * (P - 1) / (1 + Q)", "Q -> 2 P @ 0.3"])


def visits(net, method, seed=1):
    """The log's states, and how often each reaction fired from each state: {state: counts (R,)}."""
    log = g.simulate_events(net, T_END, method=method, seed=seed)
    counts = log.counts()
    held = np.diff(np.concatenate([[0.0], log.times, [T_END]]))
    states, place = np.unique(counts, axis=0, return_inverse=True)
    fired = np.zeros((len(states), len(net.rates)), np.int64)
    np.add.at(fired, (place.ravel()[:-1], log.reaction), 1)
    share = np.bincount(place.ravel(), held) / T_END
    return {tuple(state): (row, time) for state, row, time in zip(states.tolist(), fired, share, strict=True)}


@every_method
@pytest.mark.parametrize("net", [CYCLE, PAIRS, LAW], ids=["cycle", "pairs", "expression"])
def test_as_many_events_go_there_as_back(net, method):
    """Between two states as many events go one way as the other: exactly so on average, within one on a line."""
    found, change, worst, tested = visits(net, method), net.changes.toarray(), 0.0, 0
    for state, (fired, _) in found.items():
        for forward in range(0, len(net.rates), 2):
            after = tuple((np.array(state) + change[forward]).tolist())
            there, back = int(fired[forward]), int(found[after][0][forward + 1]) if after in found else 0
            if there + back >= 100:
                worst = max(worst, abs(there - back) / np.sqrt(there + back))
                tested += 1
    assert tested >= 3
    assert worst < (BOUND if net is CYCLE else 0.2)


@every_method
def test_the_stationary_law_of_the_cycle_is_multinomial(method):
    weights = np.array([1.0, 2.0, 3.0])
    found = visits(CYCLE, method, seed=2)
    for state, (_, share) in found.items():
        exact = stats.multinomial.pmf(state, 6, weights / weights.sum())
        assert share == pytest.approx(exact, abs=0.03 * np.sqrt(exact) if COMPILED else 0.15 * np.sqrt(exact))
    assert len(found) == comb(8, 2)


@every_method
def test_a_cycle_that_is_driven_is_caught(method):
    """One rate 25 % off and the cycle turns: more events go there than back."""
    driven = g.ReactionNetwork(
        {"A": 6, "B": 0, "C": 0}, ["A -> B @ 2.5", "B -> A @ 1", "B -> C @ 3", "C -> B @ 2", "C -> A @ 1", "A -> C @ 3"]
    )
    fired = sum(row for row, _ in visits(driven, method, seed=3).values())
    assert (fired[0] - fired[1]) / np.sqrt(fired[0] + fired[1]) > (BOUND if COMPILED else 1)


@every_method
def test_waiting_times_are_exponential_all_along_a_trajectory(method):
    """Each waiting time times the total propensity of its state, by Kolmogorov and Smirnov."""
    log = g.simulate_events(CYCLE, T_END / 20, method=method, seed=4)
    a, b, c = log.counts()[:-1].T
    total = 5 * a + 4 * b + 3 * c
    assert stats.kstest(np.diff(log.times, prepend=0.0) * total, "expon").pvalue > 1e-4
