"""Simulations in parts: going on from a state, other initial counts, histograms, memory that is said before a run."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

import kxfast as kx
from kxfast import cases
from kxfast.cases.gillespie import ensemble_distance
from kxfast.gillespie import logs

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")
COMPILED = [engine for engine in ENGINES if engine.startswith("native")]
every_engine = pytest.mark.parametrize("engine", ENGINES)
HILL = g.ReactionNetwork(
    {"U": 5, "V": 5},
    ["0 -> U @ 15 / (1 + (V / 5) ** 2)", "0 -> V @ 15 / (1 + (U / 5) ** 2)", "U -> 0 @ 1", "V -> 0 @ 1"],
)
CHAIN = g.ReactionNetwork(
    {f"X{i}": 9 for i in range(12)}, [f"X{i} -> X{(i + d) % 12} @ 1" for i in range(12) for d in (1, 11)]
)


@every_engine
@pytest.mark.parametrize("net", [HILL, CHAIN], ids=["few reactions", "many"])
def test_going_on_has_the_law_of_an_uninterrupted_run(engine, net):
    n = 3000 if engine in COMPILED else 150
    with cases.engine(engine):
        whole = g.simulate(net, [0.3, 0.7, 1.5], n=n, seed=1)
        first = g.simulate(net, [0.3], n=n, seed=2)
        paused = pickle.loads(pickle.dumps(first))  # a pause is a file
        second = g.simulate(net, [0.7], start=paused, seed=2)
        third = g.simulate(net, [0.7, 1.5], start=second, seed=2)
    joined = first.joined(second).joined(third)
    assert joined.t.tolist() == [0.3, 0.7, 1.5]
    np.testing.assert_array_equal(third.counts[:, 0], second.counts[:, 0])
    assert ensemble_distance(joined, whole) < 5
    for a, b in (first, second), (second, third):  # the same seed draws other numbers
        z = np.corrcoef(a.events, b.events)[0, 1] * np.sqrt(n)
        assert abs(z) < 8 if net is HILL else abs(z) < 4.5


@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
def test_starts_are_the_same_on_any_number_of_threads_and_in_lanes():
    from kxfast.backends.native import gillespie as native

    starts = np.random.default_rng(0).integers(0, 30, (77, 2))
    t = np.array([4.0, 5.0])
    arguments = HILL.arrays, t, "direct", 1, False, 77, 0
    expected = native.simulate(*arguments, 1, None, 0, start=3.5, starts=starts)[0]
    for engine in COMPILED:
        for threads, lanes in ((1, 1), (3, 1), (2, 0), (2, -1)):
            with cases.engine(engine):
                found = native.simulate(*arguments, threads, None, lanes, start=3.5, starts=starts)[0]
            np.testing.assert_array_equal(found, expected)
    plain = g.simulate(HILL, [0.5, 1.5], start=starts, seed=3)
    with ThreadPoolExecutor(2) as executor:
        np.testing.assert_array_equal(
            g.simulate(HILL, [0.5, 1.5], start=starts, seed=3, executor=executor).counts, plain.counts
        )


@every_engine
def test_other_initial_counts(engine):
    nothing = g.ReactionNetwork({"A": 5, "B": 1}, ["A -> 0 @ 0"])
    with cases.engine(engine):
        assert g.simulate(nothing, [1.0], start=[7, 8], n=3).counts.tolist() == [[[7, 8]]] * 3
        assert g.simulate(nothing, [1.0], start=[[7, 8], [1, 2]]).counts.tolist() == [[[7, 8]], [[1, 2]]]
        res = g.simulate(nothing, [1.0, 2.0], start=[[7, 8], [1, 2]], averages=True)
    np.testing.assert_array_equal(res.time_mean, [[7, 8], [1, 2]])


def test_wrong_starts():
    res = g.simulate(HILL, [1.0], n=4, seed=1)

    def wrong(words, net=HILL, t=(2.0,), **keywords):
        with pytest.raises((ValueError, TypeError), match=words):
            g.simulate(net, t, **keywords)

    wrong(r"start must have shape \(S,\) or \(n, S\) to match 4 trajectories; got \(4, 3\)", start=np.ones((4, 3), int))
    wrong("to match 5 trajectories", start=res, n=5)
    wrong("t must be at least start's last time, 1; got 0.5", t=[0.5], start=res)
    wrong("start must have the species of net", CHAIN, start=res)
    wrong("start must be at least 0; got -1", start=[-1, 2])
    wrong("start must be integers", start=[0.5, 2])
    ended = g.simulate(HILL, [1.0], n=4, seed=1, until="U > 0")
    wrong("until must be given: it has ended 4 trajectories of start", start=ended)
    wrong("until must hold where it has ended start; it does not for trajectory 0", start=ended, until="U > 500")
    with pytest.raises(ValueError, match="later must be a result that starts from this one"):
        res.joined(g.simulate(HILL, [0.5], n=4))


@every_engine
def test_histograms_are_those_of_the_trajectories(engine):
    t = [0.5, 2.0]
    n = 500 if engine in COMPILED else 60
    with cases.engine(engine):
        counts = g.simulate(HILL, t, n=n, seed=4).counts
        found = g.histograms(HILL, t, n=n, low=2, width=3, bins=4, seed=4)
        alone = g.moments(HILL, t, n=n, seed=4)
        again = g.histograms(HILL, t, n=n, low=2, width=3, bins=4, seed=4, threads=3)
    assert found.edges.tolist() == [2, 5, 8, 11, 14]
    for i in range(2):
        for s in range(2):
            np.testing.assert_array_equal(found.counts[i, s], np.histogram(counts[:, i, s], [2, 5, 8, 11, 13.5])[0])
    np.testing.assert_array_equal(found.below, (counts < 2).sum(0))
    np.testing.assert_array_equal(found.above, (counts >= 14).sum(0))
    np.testing.assert_array_equal(found.moments.mean, alone.mean)
    np.testing.assert_array_equal(again.counts, found.counts)


def test_time_histogram_is_the_stationary_law():
    log = g.simulate_events(g.ReactionNetwork({"A": 4}, ["0 -> A @ 4", "A -> 0 @ 1"]), 4000.0, seed=1)
    share = log.time_histogram("A", 4000.0)
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(share[:9], stats.poisson.pmf(np.arange(9), 4), atol=0.012)
    with pytest.raises(ValueError, match="t_end must be above 0 and not before the last event; got 1"):
        log.time_histogram("A", 1.0)
    with pytest.raises(ValueError, match="species must be one of A; got 'B'"):
        log.time_histogram("B", 1e9)


def test_long_results_are_shown_by_their_sizes():
    log = g.simulate_events(HILL, 30.0, seed=1)
    assert repr(log) == f"EventLog({len(log)} events, 2 species, 4 reactions)"
    assert repr(g.histograms(HILL, [0.1, 0.2], n=5, bins=9)) == "Histograms(5 trajectories, 2 times, 2 species, 9 bins)"


def test_counts_of_a_long_log():
    """Blocks of events give what one sum gives."""
    log = g.simulate_events(CHAIN, max_events=150_000, seed=1)
    changes = (CHAIN.products - CHAIN.reactants)[log.reaction]
    np.testing.assert_array_equal(log.counts(), CHAIN.initial + np.vstack([0 * changes[:1], np.cumsum(changes, 0)]))


def test_memory_is_said_before_a_run(monkeypatch):
    net = g.example("birth_death")
    with pytest.raises(MemoryError, match=r"the result needs 24000000000000 bytes; \d+ are available"):
        g.simulate(net, [1.0], n=10**12)
    with pytest.raises(MemoryError, match="the result needs"):
        g.histograms(net, [1.0], n=2, bins=2**31, width=1)
    with pytest.raises(MemoryError, match="a log of so many events needs 12000000000000000 bytes"):
        g.simulate_events(net, max_events=10**15)
    monkeypatch.setattr(logs, "available_memory", lambda: 12 * 500)
    with pytest.raises(MemoryError, match=r"the log needs more than 6000 bytes, which are reached at t = \d\.\d+"):
        g.simulate_events(net, 1e9, seed=1)
    assert len(g.simulate_events(net, 1e9, max_events=100, seed=1)) == 100


MILLION = """
import re, sys
from pathlib import Path
import kxfast as kx
g = kx.gillespie
net = g.ReactionNetwork({"A": 10, "B": 5, "C": 0}, ["A -> B @ 1", "B -> C @ 1", "C -> A @ 1"])

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def call(n):
    return CALL

call(1000)
before = peak()
kept = call(1_000_000)
print(peak() - before)
"""


@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
@pytest.mark.parametrize(
    ("call", "most"),
    [
        ("g.simulate(net, [0.5], n=n, seed=1, threads=2)", 100e6),
        ("g.moments(net, [0.1 * i for i in range(1, 11)], n=n, seed=1, threads=2)", 4e6),
        ("g.histograms(net, [0.5], n=n, seed=1, threads=2)", 4e6),
    ],
)
def test_a_million_trajectories_in_little_memory(call, most):
    """The final state of 1e6 trajectories of 3 species within 100 MB; moments and histograms need none for each."""
    code = MILLION.replace("CALL", call)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < most
