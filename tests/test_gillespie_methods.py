"""Every compiled method of the stem gillespie beside the others: promises, ends, wrong rates, and what "auto" takes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import SOON, seconds_to_interrupt

import kxfast as kx
from kxfast import cases
from kxfast.cases.gillespie import ensemble_distance

g = kx.gillespie
native = pytest.importorskip("kxfast.backends.native.gillespie", reason="the compiled module is not built")
ENGINES = [engine for engine in cases.engines("gillespie.simulate") if engine.startswith("native")]
pytestmark = pytest.mark.skipif(not ENGINES, reason="the compiled module is not built")
every_method = pytest.mark.parametrize("method", native.METHODS)

GENES = {f"{kind}{i}": 0 for i in range(12) for kind in "mp"}
VARIED = {
    "all orders": g.ReactionNetwork(
        {"A": 12, "B": 7, "C": 0},
        ["2 A -> B @ 0.1", "B -> 2 A @ 1", "3 A + B -> C @ 0.01", "2 A + 2 B -> C @ 0.003", "C -> 0 @ 0.5",
         "0 -> A @ 2"],
    ),
    "vilar": g.example("vilar"),
    "chain of 58": g.ReactionNetwork(
        {f"X{i}": 5 for i in range(30)},
        [f"X{i} -> X{i + 1} @ 1" for i in range(29)] + [f"X{i + 1} + X{i} -> 2 X{i} @ 0.3" for i in range(29)],
    ),
    "expressions": g.ReactionNetwork(
        {"U": 20, "V": 20, "W": 300},
        ["0 -> U @ 30 / (1 + (V / 8) ** 2.5)", "0 -> V @ 30 * exp(-U / 9)", "U -> 0 @ U",
         "V -> 0 @ min(V, sqrt(V) * 3)", "2 U -> U @ 0.01 * U * (U - 1)", "W -> 0 @ 0.1 * W / (1 + W / 100)",
         "0 -> W @ 20 * abs(log(1 + V) - 2)"],
    ),
    "twelve genes": g.ReactionNetwork(
        GENES,
        [text for i in range(12) for text in (
            f"0 -> m{i} @ {i + 1}.5 / (1 + (p{(i + 1) % 12} / 20) ** 2)", f"m{i} -> m{i} + p{i} @ 4", f"m{i} -> 0 @ 1",
            f"p{i} -> 0 @ 0.5")],
    ),
    "rates far apart": g.ReactionNetwork(
        {f"X{i}": 10 for i in range(30)}, [f"X{i} -> X{(i + 7) % 30} @ {10.0 ** (i % 15 - 12)}" for i in range(30)]
    ),
}  # fmt: skip


def grid(net, points=5):
    return np.linspace(0, g.simulate_events(net, max_events=600, method="direct", seed=2).times[-1], points)


@every_method
@pytest.mark.parametrize("name", VARIED)
def test_methods_have_the_same_law(name, method):
    net = VARIED[name]
    t = grid(net)
    found, expected = (g.simulate(net, t, n=4000, method=m, seed=s) for m, s in ((method, 1), ("direct", 2)))
    assert found.method == method
    assert ensemble_distance(found, expected) < 5


@every_method
@pytest.mark.parametrize("name", VARIED)
def test_instruction_sets_threads_logs_and_samples_agree(name, method):
    net = VARIED[name]
    t = grid(net)
    how = {"method": method, "seed": 5}
    results = []
    for engine in ENGINES:
        with cases.engine(engine):
            for threads in (1, 3):
                ensemble = g.simulate(net, t, n=60, averages=True, threads=threads, **how)
                moments = g.moments(net, t, n=60, threads=threads, **how)
                results.append((ensemble, moments, g.simulate_events(net, t[-1], **how)))
    assert all(cases.largest_difference(each, results[0]) == 0 for each in results[1:])
    ensemble, moments, log = results[0]
    np.testing.assert_array_equal(ensemble.counts[0], log.counts()[np.searchsorted(log.times, t, side="right")])
    np.testing.assert_array_equal(ensemble.fired[0], np.bincount(log.reaction, minlength=len(net.rates)))
    np.testing.assert_allclose(moments.mean, ensemble.mean(), rtol=1e-12)
    held = np.diff(np.concatenate([[0.0], log.times, t[-1:]]))[:, None]
    np.testing.assert_allclose(ensemble.time_mean[0], (held * log.counts()).sum(0) / t[-1], 1e-9, 1e-12)
    shorter = g.simulate_events(net, max_events=len(log) - 7, **how)
    np.testing.assert_array_equal(shorter.times, log.times[:-7])


@every_method
def test_long_logs_go_on_from_stretch_to_stretch(method):
    net = VARIED["chain of 58"]
    res = g.simulate(net, [60.0], method=method, seed=3)
    log = g.simulate_events(net, 60.0, method=method, seed=3)
    assert res.events[0] == len(log) > 2 * 4096
    np.testing.assert_array_equal(res.counts[0, 0], log.counts()[-1])
    assert np.all(np.diff(log.times) > 0)
    assert np.all(log.counts() >= 0)


@every_method
def test_the_end_is_found(method):
    """Dimers of the last molecule cannot form: its bounds in a rejection method say that they could."""
    pairs = g.ReactionNetwork({f"X{i}": 21 for i in range(30)}, [f"2 X{i} -> 0 @ {i + 1}" for i in range(30)])
    log = g.simulate_events(pairs, max_events=10**6, method=method, seed=1)
    assert log.absorbed
    assert len(log) == 300
    assert np.all(log.counts()[-1] == 1)
    exact = g.simulate_events(pairs, max_events=300, method=method, seed=1)
    assert exact.absorbed
    assert not g.simulate_events(pairs, max_events=299, method=method, seed=1).absorbed
    laws = g.ReactionNetwork({"A": 9, "B": 5}, ["A -> B @ A * (A - 1) / (1 + B)", "B -> 0 @ B"])
    assert g.simulate_events(laws, max_events=10**6, method=method, seed=1).counts()[-1].tolist() == [1, 0]
    nothing = g.ReactionNetwork({"A": 5}, [])
    assert g.simulate_events(nothing, max_events=9, method=method).absorbed


@every_method
def test_rates_and_counts_that_are_none(method):
    def fails(species, reactions, words):
        with pytest.raises(ValueError, match=words):
            g.simulate(g.ReactionNetwork(species, reactions), [1e3], method=method, seed=1)

    bad = r"the propensity of reactions\[0\] must be finite and at least 0; got"
    fails({"A": 3}, ["A -> 0 @ 1 - A"], f"{bad} -2")
    fails({"A": 9}, ["A -> 0 @ A - 4.5"], f"{bad} -0.5")
    fails({"A": 3}, ["A -> 0 @ A / A"], f"{bad} -?nan")
    fails({"A": 3}, ["A -> 0 @ 2 + 0 * A"], "the count of 'A' must stay at least 0; got -1")
    fails({"A": 10}, ["A -> 0 @ 1e308"], f"{bad} inf")
    fails({"A": 2**52, "B": 1}, ["B -> B + A @ 1"], r"the count of 'A' must stay at most 2\*\*52")


@every_method
def test_a_weight_far_below_the_others_is_found(method):
    """One reaction in 1e12 events of the rest, then the rest runs out."""
    net = g.ReactionNetwork(
        {"F": 3000, "S": 40}, ["F -> 0 @ 1e9", "S -> 0 @ 1e-3", *(f"S -> S + F @ {i} * 0" for i in range(20))]
    )
    left = g.simulate(net, [1e3], n=2000, method=method, seed=1).counts[:, 0]
    assert np.all(left[:, 0] == 0)
    p = np.exp(-1.0)
    assert abs(left[:, 1].mean() - 40 * p) < 4.5 * np.sqrt(40 * p * (1 - p) / 2000)


@pytest.mark.parametrize("method", [*native.METHODS, "tau_leaping"])
@pytest.mark.alone
def test_control_c_is_heard(method):
    setup = """
import kxfast as kx
net = kx.gillespie.ReactionNetwork({"A": 0}, ["0 -> A @ 100", "A -> 0 @ 1"])
kx.gillespie.simulate(net, [1.0])
"""
    call = f"kx.gillespie.simulate(net, [1e9], method={method!r})"
    assert seconds_to_interrupt(setup, call, 0.2) < SOON


def test_auto_chooses_once_by_the_network_alone():
    choices = {
        "schlogl": ("direct", "direct"),
        "vilar": ("sorting_direct", "direct"),
        "chain": ("composition_rejection", "composition_rejection"),
    }
    for name, expected in choices.items():
        net = g.example(name) if name != "chain" else g.ReactionNetwork(
            {f"X{i}": 10 for i in range(200)}, [f"X{i} -> X{(i + d) % 200} @ 1" for i in range(200) for d in (1, 199)]
        )  # fmt: skip
        t = grid(net, 2)
        for engine in ENGINES:
            with cases.engine(engine):
                assert (g.simulate(net, t, seed=1).method, g.simulate(net, t, n=2, seed=9).method) == expected
                assert g.simulate_events(net, max_events=5).method == expected[0]
                assert g.moments(net, t, n=2).method == expected[1]
                net.chosen_methods.clear()


def test_auto_takes_bounds_where_counts_are_large():
    turns = [f"H + X{i} -> X{(i + 1) % 40} @ 1e-4" for i in range(40)]
    births = [f"X{i} -> X{i} + H @ 0.2" for i in range(40)]
    net = g.ReactionNetwork({"H": 2000} | {f"X{i}": 300 for i in range(40)}, turns + births)
    assert g.simulate(net, [0.1]).method == "rssa"
