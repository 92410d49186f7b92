"""Tau-leaping is near the exact law, the same in every engine, and never where it cannot be; Poisson numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import kxfast as kx
from kxfast import cases
from kxfast.backends.reference import gillespie as reference
from kxfast.backends.reference.gillespie_leaping import longest_leap, readings

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")
COMPILED = [engine for engine in ENGINES if engine.startswith("native")]
every_engine = pytest.mark.parametrize("engine", ENGINES)
IMMIGRATION = g.ReactionNetwork({"A": 2000}, ["0 -> A @ 5000", "A -> 0 @ 1"])
DIMERS = g.ReactionNetwork({"P": 2000, "P2": 0, "Q": 30}, ["2 P -> P2 @ 1e-4", "P2 -> 2 P @ 0.2", "Q -> 0 @ 1"])


def leap(engine, net, t, *, n, seed=1, **keywords):
    with cases.engine(engine):
        return g.simulate(net, t, n=n, method="tau_leaping", seed=seed, **keywords)


@every_engine
def test_mean_and_variance_are_near_those_of_the_exact_law(engine):
    t = np.array([0.5, 2.0])
    n = 4000 if engine in COMPILED else 50
    counts = leap(engine, IMMIGRATION, t, n=n, epsilon=0.005).counts[:, :, 0]
    p = np.exp(-t)
    mean, variance = 2000 * p + 5000 * (1 - p), 2000 * p * (1 - p) + 5000 * (1 - p)
    np.testing.assert_allclose(counts.mean(0), mean, rtol=0.004 + 0.06 / np.sqrt(n))
    np.testing.assert_allclose(counts.var(0), variance, rtol=0.06 + 4.5 * np.sqrt(2 / n))


@every_engine
def test_smaller_epsilon_is_nearer(engine):
    """The bias of a leap of a decay is of first order in its length."""
    decay = g.ReactionNetwork({"A": 10_000}, ["A -> 0 @ 1"])
    n = 2000 if engine in COMPILED else 60
    bias = [abs(leap(engine, decay, [1.0], n=n, epsilon=e).mean()[0, 0] - 10_000 / np.e) for e in (0.3, 0.01)]
    assert bias[1] < 40 + 4.5 * np.sqrt(2400 / n) < bias[0] / 2


@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
def test_engines_have_the_same_law_and_instruction_sets_the_same_numbers():
    """By means and variances of counts and firings, with exact steps and critical reactions among them."""
    t = np.array([0.2, 1.0, 6.0])
    expected = leap("reference", DIMERS, t, n=150, seed=2)
    found = [leap(engine, DIMERS, t, n=2000, threads=threads) for engine in COMPILED for threads in (1, 3)]
    for each in found:
        assert cases.gillespie.ensemble_distance(each, expected) < 5
        np.testing.assert_array_equal(each.counts, found[0].counts)
    moments = g.moments(DIMERS, t, n=2000, method="tau_leaping", seed=1)
    np.testing.assert_allclose(moments.mean, found[0].mean(), rtol=1e-12)


@every_engine
def test_counts_stay_at_least_0_and_add_up(engine):
    net = g.ReactionNetwork(
        {"A": 3000, "B": 3, "C": 0}, ["A + B -> 2 C @ 0.05", "2 C -> A + B @ 0.02", "A -> 0 @ 3", "0 -> B @ 40"]
    )
    res = leap(engine, net, np.linspace(0, 3, 13), n=300 if engine in COMPILED else 5)
    assert np.all(res.counts >= 0)
    np.testing.assert_array_equal(res.counts[:, -1], net.initial + res.fired @ net.changes.toarray())
    np.testing.assert_array_equal(res.events, res.fired.sum(axis=1))
    assert res.method == "tau_leaping"
    np.testing.assert_array_equal(leap(engine, net, [1e4], n=3).counts[:, 0, 0] >= 0, True)


def test_the_length_of_a_leap_by_hand():
    """2 A -> B at x = 100: g = 2 + 1 / 99; mu = -2 a, sigma^2 = 4 a, of B no reaction takes note."""
    net = g.ReactionNetwork({"A": 100, "B": 0}, ["2 A -> B @ 0.01"])
    a = reference.propensities(net.arrays, net.initial)
    by = max(1.0, 0.3 * 100 / (2 + 1 / 99))
    assert readings(net.arrays) == {(0, 2, 2)}
    found = longest_leap(readings(net.arrays), net.initial, reference.changes(net.arrays), a, 0.3)
    assert found == pytest.approx(min(by / (2 * a[0]), by**2 / (4 * a[0])), rel=1e-14)


@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
@pytest.mark.parametrize("mean", [0.01, 0.8, 9.9, 10.1, 35.0, 4000.0])
def test_poisson_numbers(mean):
    """Births at a constant rate: one leap is one Poisson number."""
    counts = leap(COMPILED[-1], g.ReactionNetwork({"A": 0}, [f"0 -> A @ {mean}"]), [1.0], n=60_000).counts[:, 0, 0]
    ends = np.unique(stats.poisson.ppf(np.linspace(0, 1, 12)[1:-1], mean))
    observed = np.diff(np.concatenate([[0], [(counts <= x).sum() for x in ends], [len(counts)]]))
    expected = np.diff(np.concatenate([[0], stats.poisson.cdf(ends, mean), [1]])) * len(counts)
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_what_leaping_cannot_do():
    def wrong(words, net=IMMIGRATION, **keywords):
        with pytest.raises(ValueError, match=words):
            g.simulate(net, [0.0, 1.0], method="tau_leaping", **keywords)

    wrong("method must be an exact one for until; got 'tau_leaping'", until="A > 5")
    wrong("method must be an exact one for averages over time", averages=True)
    timed = g.ReactionNetwork({"A": 1}, ["0 -> A @ 1 + sin(t)"])
    wrong("method must be an exact one for rates that depend on the time", timed)
    wrong("epsilon must be above 0; got 0", epsilon=0)
    with pytest.raises(kx.BackendError, match="no backend has method 'tau_leaping'"):
        g.simulate_events(IMMIGRATION, 1.0, method="tau_leaping")
    with pytest.raises(ValueError, match=r"the propensity of reactions\[0\] must be finite and at least 0; got -"):
        g.simulate(g.ReactionNetwork({"A": 200}, ["0 -> A @ 150 - A"]), [9.0], method="tau_leaping", seed=1)
