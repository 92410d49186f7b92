"""Rates that depend on the time: laws in closed form, bounds that hold, and the same trajectory from every call."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

import kxfast as kx
from kxfast import cases, dispatch
from kxfast.backends.reference.gillespie_expressions import evaluate
from kxfast.backends.reference.gillespie_ranges import bounds
from kxfast.gillespie.control import flat
from kxfast.gillespie.expressions import compile_expression

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")
VARIANTS = [
    pytest.param(engine, method, id=f"{engine}-{method}")
    for engine in [each for each in ENGINES if not each.startswith("native")]
    + [e for e in ENGINES if "native" in e][-1:]
    for method in dispatch.load("gillespie", engine.partition("/")[0]).METHODS
]
every_method = pytest.mark.parametrize(("engine", "method"), VARIANTS)
RATES = {
    "wave": ("4 * (1 + sin(3 * t))", lambda t: 4 * (1 + np.sin(3 * t))),
    "decay": ("9 * exp(-t)", lambda t: 9 * np.exp(-t)),
    "pulse": ("20 if t >= 0.5 and t < 0.75 else 1", lambda t: np.where((t >= 0.5) & (t < 0.75), 20.0, 1.0)),
    "growth": ("t ** 2.5", lambda t: t**2.5),
    "singular": ("1 / sqrt(t)", lambda t: 1 / np.sqrt(t)),
    "tiny": ("1e-9 * t + 3 * cos(t) ** 2", lambda t: 1e-9 * t + 3 * np.cos(t) ** 2),
}  # fmt: skip


def run(engine, method, net, t, **keywords):
    with cases.engine(engine):
        return g.simulate(net, t, method=method, **({"seed": 1} | keywords))


@every_method
@pytest.mark.parametrize("name", [name for name in RATES if name != "singular"])
def test_arrivals_are_a_poisson_process(engine, method, name):
    """Counts are Poisson of the integral, in disjoint intervals independently."""
    text, rate = RATES[name]
    t = np.array([0.6, 1.3, 2.0])
    n = 4000 if engine.startswith("native") else 150
    net = g.ReactionNetwork({"A": 0, "B": 5}, [f"0 -> A @ {text}", "B -> B @ 2"])
    counts = run(engine, method, net, t, n=n).counts[:, :, 0]
    steps = np.diff(counts, axis=1, prepend=0)
    edges = [0.0, *t]
    means = [quad(lambda x: float(rate(x)), a, b, limit=400, points=[0.5, 0.75] if a < 0.75 else None)[0]
             for a, b in zip(edges[:-1], edges[1:], strict=True)]  # fmt: skip
    for i, mean in enumerate(means):
        assert abs(steps[:, i].mean() - mean) < 4.5 * np.sqrt(mean / n)
        assert abs(steps[:, i].var() - mean) < 5 * np.sqrt((2 * mean**2 + mean) / n)
    assert abs(np.corrcoef(steps[:, 1], steps[:, 2])[0, 1]) < 4.5 / np.sqrt(n)


@every_method
def test_the_first_event_of_a_decay_that_slows_down(engine, method):
    """Survival to t of a molecule at rate 3 exp(-t) is exp(-3 (1 - exp(-t)))."""
    n = 3000 if engine.startswith("native") else 200
    net = g.ReactionNetwork({"A": 1}, ["A -> 0 @ 3 * A * exp(-t)"])
    stopped = run(engine, method, net, [60.0], n=n, until="A == 0").stopped
    gone = stopped[np.isfinite(stopped)]
    p = 1 - np.exp(-3)
    assert abs(len(gone) / n - p) < 4.5 * np.sqrt(p * (1 - p) / n)
    assert stats.kstest(gone, lambda t: (1 - np.exp(-3 * (1 - np.exp(-t)))) / p).pvalue > 1e-4


@every_method
def test_immigration_and_death_in_a_changing_world(engine, method):
    """0 -> A at 10 + 8 sin 2t, death at 1: Poisson with a mean that solves m' = k(t) - m."""
    n = 4000 if engine.startswith("native") else 150
    net = g.ReactionNetwork({"A": 0}, ["0 -> A @ 10 + 8 * sin(2 * t)", "A -> 0 @ 1"])
    t = np.array([0.5, 1.5, 3.0])
    counts = run(engine, method, net, t, n=n).counts[:, :, 0]
    mean = np.array([quad(lambda s, u=u: (10 + 8 * np.sin(2 * s)) * np.exp(s - u), 0, u)[0] for u in t])
    assert np.all(np.abs(counts.mean(0) - mean) < 4.5 * np.sqrt(mean / n))
    assert np.all(np.abs(counts.var(0) - mean) < 5 * np.sqrt((2 * mean**2 + mean) / n))


@every_method
def test_logs_and_samples_are_the_same_trajectory(engine, method):
    net = g.ReactionNetwork(
        {"A": 3, "B": 2}, ["0 -> A @ 10 + 8 * sin(2 * t)", "A -> B @ A * t / (1 + t)", "B -> 0 @ 1"]
    )
    t = np.linspace(0, 7, 30)
    with cases.engine(engine):
        res = g.simulate(net, t, n=2, method=method, seed=4)
        log = g.simulate_events(net, 7.0, method=method, seed=4)
        short = g.simulate_events(net, max_events=20, method=method, seed=4)
    np.testing.assert_array_equal(res.counts[0], log.counts()[np.searchsorted(log.times, t, side="right")])
    np.testing.assert_array_equal(short.times, log.times[:20])


def test_instruction_sets_and_threads_give_the_same_bits():
    net = g.ReactionNetwork({"A": 3}, ["0 -> A @ 10 * t", "A -> 0 @ A * t / (1 + t)"])
    native = [engine for engine in ENGINES if engine.startswith("native")]
    if not native:
        pytest.skip("the compiled module is not built")
    results = [run(e, "rssa", net, [1.0, 4.0], n=30, threads=k) for e in native for k in (1, 3)]
    assert all(cases.largest_difference(each, results[0]) == 0 for each in results[1:])


@every_method
def test_rates_that_are_none(engine, method):
    for rate, words in {"1 - t": "got -", "1 / t": "got inf", "log(0 * t - 1)": "must be finite"}.items():
        net = g.ReactionNetwork({"A": 3}, [f"0 -> A @ {rate}"])
        with pytest.raises(ValueError, match=rf"the propensity of reactions\[0\] must be finite and at least 0; {words}"
                           if words.startswith("got") else words):  # fmt: skip
            run(engine, method, net, [50.0])


@pytest.mark.parametrize("name", RATES)
def test_bounds_hold(name):
    """The reference's bounds, at 40 instants of 200 windows."""
    text, rate = RATES[name]
    _, ops, numbers = flat([compile_expression(text, {}, {}, "rate", time=True)])
    rng = np.random.default_rng(1)
    for _ in range(200):
        t0, length = rng.uniform(0.001, 5), 10 ** rng.uniform(-6, 1)
        low, high = bounds(ops, numbers, np.array([1]), t0, t0 + length)
        values = [evaluate(ops, numbers, np.array([1]), t) for t in np.linspace(t0, t0 + length, 40)]
        assert low <= min(values) <= max(values) <= high
        np.testing.assert_allclose(values, rate(np.linspace(t0, t0 + length, 40)), rtol=1e-12)
    assert np.isfinite(high)
