"""Worked numbers, edge cases and promises of the stem gillespie; its laws are in test_gillespie_laws.py."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from helpers import SOON, seconds_to_interrupt

import kxfast as kx
from kxfast import cases
from kxfast.backends.reference import gillespie as reference

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")
NATIVE = [engine for engine in ENGINES if engine.startswith("native")]
needs_native = pytest.mark.skipif(not NATIVE, reason="the compiled module is not built")
WORKED = g.ReactionNetwork({"A": 10, "B": 3}, ["2 A -> B @ 0.01", "B -> 2 A @ 0.2", "0 -> A @ 1.5"])
ENZYME = g.ReactionNetwork(
    {"S": 300, "E": 121, "SE": 0, "P": 0},
    ["S + E -> SE @ k1", "SE -> S + E @ k2", "SE -> E + P @ k3"],
    {"k1": 1.66e-3, "k2": 1e-4, "k3": 0.1},
)
CHAIN = g.ReactionNetwork(
    {f"X{i}": 5 for i in range(30)},
    [f"X{i} -> X{i + 1} @ 1" for i in range(29)] + [f"X{i + 1} + X{i} -> 2 X{i} @ 0.3" for i in range(29)],
)
VARIED = {
    "worked": WORKED,
    "third order": g.example("schlogl"),
    "vilar": g.example("vilar"),
    "chain of 58": CHAIN,
    "expressions": g.ReactionNetwork(
        {"U": 20, "V": 20},
        [
            "0 -> U @ 30 / (1 + (V / 8) ** 2.5)",
            "0 -> V @ 30 * exp(-U / 9)",
            "U -> 0 @ 1",
            "V -> 0 @ min(V, sqrt(V) * 3)",
        ],
    ),
}


def same(a, b) -> bool:
    return cases.largest_difference(a, b) == 0


def test_direct_method_on_given_uniforms():
    uniforms = [(0.5, 0.1), (0.25, 0.6), (0.9, 0.35), (0.05, 0.95), (0.7, 0.2)]
    expected = [
        ((0.45, 0.60, 1.5), 0.271822424, 1, 0.271822424, [8, 4]),
        ((0.28, 0.80, 1.5), 0.537323396, 3, 0.809145820, [9, 4]),
        ((0.36, 0.80, 1.5), 0.039609216, 2, 0.848755036, [11, 3]),
        ((0.55, 0.60, 1.5), 1.130465009, 3, 1.979220045, [12, 3]),
        ((0.66, 0.60, 1.5), 0.129230052, 1, 2.108450097, [10, 4]),
    ]
    counts, t = WORKED.initial.copy(), 0.0
    for (u1, u2), (wanted, wanted_tau, wanted_reaction, wanted_t, wanted_counts) in zip(
        uniforms, expected, strict=True
    ):
        a = reference.propensities(WORKED.arrays, counts)
        np.testing.assert_allclose(a, wanted, rtol=1e-14)
        tau, j = reference.direct_step(a, u1, u2)
        t += tau
        counts += (WORKED.products - WORKED.reactants)[j]
        assert (round(tau, 9), j + 1, round(t, 9), counts.tolist()) == (
            wanted_tau, wanted_reaction, wanted_t, wanted_counts
        )  # fmt: skip


def test_first_reaction_method_on_given_uniforms():
    a = reference.propensities(WORKED.arrays, WORKED.initial)
    tau = reference.waiting_times(a, np.array([0.3, 0.6, 0.8]))
    np.testing.assert_allclose(tau, [2.675495121, 0.851376040, 0.148762368], atol=5e-10)
    assert np.argmin(tau) + 1 == 3
    assert reference.waiting_times(np.array([0.0, 1.0]), np.array([0.5, 0.5]))[0] == np.inf


def test_a_reaction_that_cannot_fire_is_never_chosen():
    a = np.array([0.0, 1.0, 0.0, 2.0, 0.0])
    assert [reference.direct_step(a, 0.5, u)[1] for u in (0.0, 0.3, 0.4, np.nextafter(1, 0))] == [1, 1, 3, 3]
    tiny = np.array([5e-324, 0.0])  # u a0 rounds up to a0
    assert reference.direct_step(tiny, 0.5, 0.9)[1] == 0


def test_propensity_conventions_differ_by_factorials():
    reactions = ["3 A + 2 B -> 0 @ 2", "A -> 0 @ 2"]
    binomial, falling = (g.ReactionNetwork({"A": 5, "B": 4}, reactions, propensity=p) for p in ("binomial", "falling"))
    a, b = (reference.propensities(net.arrays, net.initial) for net in (binomial, falling))
    np.testing.assert_allclose(a, [2 * 10 * 6, 10], rtol=1e-14)
    np.testing.assert_allclose(b, [2 * 60 * 12, 10], rtol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
class TestEveryEngine:
    @pytest.fixture(autouse=True)
    def _engine(self, engine):
        with cases.engine(engine):
            yield

    @pytest.mark.parametrize("name", VARIED)
    def test_log_and_samples_are_the_same_trajectory(self, name):
        net, how = VARIED[name], {"method": "direct", "seed": 4}
        t = np.linspace(0, g.simulate_events(net, max_events=300, **how).times[-1], 23)
        log, res = g.simulate_events(net, t[-1], **how), g.simulate(net, t, n=3, averages=True, **how)
        path = log.counts()
        np.testing.assert_array_equal(res.counts[0], path[np.searchsorted(log.times, t, side="right")])
        np.testing.assert_array_equal(res.fired[0], np.bincount(log.reaction, minlength=len(net.rates)))
        assert res.events[0] == len(log) == 300
        held = np.diff(np.concatenate([[0.0], log.times, t[-1:]]))[:, None]
        mean = (held * path).sum(0) / t[-1]
        np.testing.assert_allclose(res.time_mean[0], mean, rtol=1e-12)
        np.testing.assert_allclose(res.time_variance[0], (held * (path - mean) ** 2).sum(0) / t[-1], atol=1e-9)

    def test_an_event_at_a_sample_time_counts(self):
        log = g.simulate_events(WORKED, max_events=5, seed=2)
        at = log.times[2]
        res = g.simulate(WORKED, [np.nextafter(at, 0), at], seed=2)
        np.testing.assert_array_equal(res.counts[0], log.counts()[[2, 3]])
        np.testing.assert_array_equal(g.simulate_events(WORKED, at, seed=2).times, log.times[:3])

    def test_same_seed_same_result_and_streams_by_trajectory(self):
        t = [0.5, 2.0]
        five, again, two = (g.simulate(WORKED, t, n=n, seed=7) for n in (5, 5, 2))
        assert same(five, again)
        np.testing.assert_array_equal(five.counts[:2], two.counts)
        assert not same(five, g.simulate(WORKED, t, n=5, seed=8))
        assert len(np.unique(five.counts.reshape(5, -1), axis=0)) > 1

    def test_moments_are_those_of_the_trajectories(self):
        t = [0.5, 2.0, 3.0]
        res, mom = g.simulate(WORKED, t, n=100, seed=3), g.moments(WORKED, t, n=100, seed=3)
        np.testing.assert_allclose(mom.mean, res.mean(), rtol=1e-13)
        np.testing.assert_allclose(mom.variance, res.std() ** 2, rtol=1e-12)
        assert mom.events == res.events.sum()

    def test_absorbed_states_stay(self):
        res = g.simulate(ENZYME, [0, 1e3, 1e6, 1e9], n=2, seed=0)
        np.testing.assert_array_equal(res.counts[:, -1], [[0, 121, 0, 300]] * 2)
        np.testing.assert_array_equal(res.counts[:, 0], [[300, 121, 0, 0]] * 2)
        log = g.simulate_events(ENZYME, max_events=100_000, seed=0)
        assert log.absorbed
        assert len(log) == res.events[0]
        exact = g.simulate_events(ENZYME, max_events=len(log), seed=0)
        assert exact.absorbed
        assert not g.simulate_events(ENZYME, max_events=len(log) - 1, seed=0).absorbed

    def test_conservation(self):
        res = g.simulate(ENZYME, np.linspace(0, 100, 20), n=5, seed=1)
        np.testing.assert_array_equal(res.counts @ [0, 1, 1, 0], 121)
        np.testing.assert_array_equal(res.counts @ [1, 0, 1, 1], 300)
        assert np.all(g.simulate(CHAIN, [3.0], n=2, seed=1).counts.sum(axis=2) == 150)

    def test_edge_cases(self):
        nothing = g.ReactionNetwork({"A": 5}, [])
        np.testing.assert_array_equal(g.simulate(nothing, [0, 1.0], n=2).counts, np.full((2, 2, 1), 5))
        assert g.simulate_events(nothing, max_events=9).absorbed
        assert len(g.simulate_events(WORKED, max_events=0)) == len(g.simulate_events(WORKED, 0.0)) == 0
        never = g.ReactionNetwork({"A": 5}, ["A -> 0 @ 0", "A -> 2 A @ 1", "A -> 2 A @ 1"])
        fired = g.simulate(never, [3.0], n=20, seed=1).fired
        assert np.all(fired[:, 0] == 0)
        assert np.all(fired[:, 1:].sum(axis=0) > 0)
        subnormal = g.ReactionNetwork({"A": 1}, ["A -> 0 @ 5e-324", "A -> 2 A @ 0"])
        assert g.simulate(subnormal, [1e300], n=3).events.sum() == 0

    def test_progress_ends_at_the_total(self):
        seen = []
        g.simulate(WORKED, [1.0, 2.0], n=6, seed=1, progress=lambda *each: seen.append(each))
        assert seen[-1] == (12, 12, "sample")


@needs_native
@pytest.mark.parametrize("name", VARIED)
def test_instruction_sets_and_threads_give_the_same_bits(name):
    net, t = VARIED[name], np.linspace(0.1, 1.5, 6)
    results = []
    for engine in NATIVE:
        for threads in (1, 2, 3, 7) if engine == NATIVE[-1] else (2,):
            with cases.engine(engine):
                ensemble = g.simulate(net, t, n=300, seed=5, threads=threads, averages=True)
                moments = g.moments(net, t, n=300, seed=5, threads=threads)
                results.append((ensemble, moments, g.simulate_events(net, max_events=10_000, seed=5)))
    assert all(same(each, results[0]) for each in results[1:])


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_executor_changes_nothing(kind):
    pools = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}
    options = {} if kind == "threads" else {"mp_context": multiprocessing.get_context("spawn")}
    seen = []
    with pools[kind](2, **options) as executor:
        keywords = {"n": 11, "seed": 1, "averages": True}
        res = g.simulate(WORKED, [1.0, 2.0], **keywords, executor=executor, progress=lambda *each: seen.append(each))
    assert same(res, g.simulate(WORKED, [1.0, 2.0], **keywords))
    assert seen[-1] == (22, 22, "sample")


@needs_native
@pytest.mark.parametrize(
    "call", ["simulate(net, [1e9], n=1)", "simulate(net, [1e6], n=64)", "simulate_events(net, 1e5)"]
)
@pytest.mark.alone
def test_control_c_is_heard(call):
    setup = """
import kxfast as kx
net = kx.gillespie.ReactionNetwork({"A": 0}, ["0 -> A @ 100", "A -> 0 @ 1"])
kx.gillespie.simulate(net, [1.0])
"""
    assert seconds_to_interrupt(setup, f"kx.gillespie.{call}", 0.2) < SOON


def test_memory_that_cannot_be_is_refused_before_the_run():
    with pytest.raises(MemoryError, match=r"the result needs \d+ bytes"):
        g.simulate(WORKED, np.arange(1.0, 1000.0), n=10**10)
