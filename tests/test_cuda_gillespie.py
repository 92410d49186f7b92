"""Ensembles on a GPU, run by the emulation: the trajectories of the compiled CPU code, bit for bit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cuda_compile import compile_for_gpu
from cuda_emulation import emulated
from test_gillespie_lanes import EXPRESSIONS, NETWORKS, grid

import kxfast as kx
from kxfast import settings
from kxfast.backends.cuda import gillespie, gillespie_source, nvrtc
from kxfast.cases.gillespie import _NETWORKS as CASES

pytestmark = pytest.mark.skipif(settings.native() is None, reason="the compiled module is not installed")

ALL = NETWORKS | EXPRESSIONS
T = np.array([0.0, 0.4, 1.1, 3.0])
BIRTH = NETWORKS["birth_death"]


def on(backend, net, t=T, function="simulate", **keywords):
    return getattr(kx.gillespie, function)(net, t, method="direct", backend=backend, **keywords)


def both(net, t=T, device=None, **keywords):
    with emulated(**(device or {})) as used:
        ours = on("cuda", net, t, **keywords)
    assert used.launches
    return ours, on("native", net, t, **keywords)


def assert_same(results, names=("counts", "fired", "events")):
    ours, theirs = results
    for name in names:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        assert np.asarray(getattr(ours, name)).dtype == np.asarray(getattr(theirs, name)).dtype


@pytest.mark.parametrize("name", ALL)
def test_trajectories_are_those_of_the_cpu(name):
    results = both(ALL[name], grid(ALL[name], 5), n=70, seed=11)
    assert_same(results)
    assert results[0].events.sum() > 70


def test_lanes_are_refilled_and_launches_go_on(monkeypatch):
    """One block of 128 walks 300 trajectories, seven events a launch; Ctrl-C would be heard between launches."""
    monkeypatch.setattr(gillespie, "_ROUNDS", 7)
    seen = []
    device = {"blocks": 1, "orders": [2]}
    results = both(BIRTH, n=300, seed=3, device=device, progress=lambda *done: seen.append(done[:2]))
    assert_same(results)
    mine = seen[: next(i for i, (done, _) in enumerate(seen) if done == 1200) + 1]
    assert len(mine) > 20
    assert mine == sorted(mine)


def test_ensembles_larger_than_memory_go_in_parts():
    results = both(BIRTH, n=300, seed=3, device={"free": 4 * 130 * 8 * (4 + 2 + 2), "orders": [2]})
    assert_same(results)


@pytest.mark.parametrize("order", range(3))  # one at a time: how far a launch comes depends on who takes what
@pytest.mark.parametrize("name", ["dimerisation", "schlogl"])
def test_averages_moments_and_histograms(name, order):
    net, given = NETWORKS[name], {"seed": 1, "device": {"orders": [order]}}
    t = grid(net, 4)
    assert_same(both(net, t, n=40, **given, averages=True), ("counts", "fired", "time_mean", "time_variance"))
    assert_same(both(net, t, n=300, **given, function="moments"), ("mean", "variance", "events"))
    low = int(net.initial.min()) // 2
    found = both(net, t, n=300, **given, function="histograms", low=low, width=3, bins=20)
    assert_same(found, ("counts", "below", "above"))
    assert_same([each.moments for each in found], ("mean", "variance"))


def test_squares_of_large_counts_are_exact():
    net = kx.gillespie.ReactionNetwork({"A": 2**51 + 12345, "B": 2**40}, ["A -> B @ 1e-15", "B -> A @ 1e-12"])
    assert_same(both(net, n=200, seed=4, function="moments"), ("mean", "variance", "events"))


def test_going_on_from_counts_and_from_results():
    starts = np.arange(50).reshape(50, 1)
    assert_same(both(BIRTH, n=50, seed=5, start=starts))
    with emulated():
        first = on("cuda", BIRTH, n=50, seed=5)
        later = on("cuda", BIRTH, T + 3.5, seed=5, start=first)
    assert_same((later, on("native", BIRTH, T + 3.5, seed=5, start=first)))


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("A -> 0 @ 9.5 - A", r"the propensity of reactions\[1\] must be finite and at least 0; got -0.5 at"),
        ("A -> 0 @ (A > 25) * log(31 - A)", r"the propensity of reactions\[1\] must be finite .*; got -?(inf|nan)"),
        ("A -> 0 @ 4 + 0 * A", "the count of 'A' must stay at least 0; got -1 at"),
    ],
)
def test_errors_are_those_of_the_cpu(law, words):
    net = kx.gillespie.ReactionNetwork({"A": 9}, ["0 -> A @ 2", law])
    messages = []
    for backend in "cuda", "native":
        with emulated(), pytest.raises(ValueError, match=words) as caught:
            on(backend, net, np.array([0.5, 50.0]), n=1, seed=1)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    with emulated(orders=[0]), pytest.raises(ValueError, match=words):
        on("cuda", net, np.array([0.5, 50.0]), n=100, seed=1)


def test_counts_and_totals_that_leave_the_range_are_errors():
    ends = kx.gillespie.ReactionNetwork({"A": 2**52, "B": 1}, ["B -> B + A @ 1"])
    with (
        emulated(),
        pytest.raises(ValueError, match=r"count of 'A' must stay at most 2\*\*52; got .* trajectory 0"),
    ):
        on("cuda", ends, np.array([9.0]), n=1, seed=0)
    huge = kx.gillespie.ReactionNetwork({"A": 1}, ["A -> 0 @ 1e308", "0 -> A @ 1e308"])
    with emulated(), pytest.raises(ValueError, match="the sum of all propensities must be finite; got inf at t = 0"):
        on("cuda", huge, np.array([9.0]), n=1, seed=0)


def test_subnormal_totals_and_networks_that_come_to_rest():
    tiny = kx.gillespie.ReactionNetwork(
        {"A": 9, "B": 0}, ["A -> B @ 5e-324 * A", "B -> A @ 5e-324 * B * (B > 4)", "A -> A @ 1e-320 * A"]
    )
    assert_same(both(tiny, np.array([1.0, 1e307]), n=50, seed=1))
    rest = kx.gillespie.ReactionNetwork({"A": 40, "B": 0}, ["A -> B @ A / (1 + A)", "A -> 0 @ A * (B < 5)"])
    assert_same(both(rest, np.array([1.0, 1e6]), n=50, seed=1))


NOT_SERVED = {
    "events and until run on the CPU": (BIRTH, {"until": "X >= 200"}),
    "rates that depend on the time run on the CPU": (
        kx.gillespie.ReactionNetwork({"A": 1}, ["0 -> A @ 1 + sin(t)"]), {}),
    "rates that are Python functions run on the CPU": (
        kx.gillespie.ReactionNetwork({"A": 1}, [("0 -> A", lambda A: 1.0 + A)]), {}),
    "rate expressions run there in at most 32 reactions of 32 species; got 33 and 1": (
        kx.gillespie.ReactionNetwork({"A": 1}, [f"0 -> A @ {i + 1} * sqrt(A)" for i in range(33)]), {}),
    "averages of networks of more than 32 reactions or 32 species run on the CPU": (
        kx.gillespie.ReactionNetwork({"A": 1}, [f"0 -> A @ {i + 1}" for i in range(33)]), {"averages": True}),
    "networks without reactions run on the CPU": (kx.gillespie.ReactionNetwork({"A": 1}, []), {}),
}  # fmt: skip


@pytest.mark.parametrize("words", NOT_SERVED)
def test_what_is_not_served_is_said(words):
    net, keywords = NOT_SERVED[words]
    with emulated() as device, pytest.raises(kx.BackendError, match=words):
        on("cuda", net, **keywords)
    assert not device.launches
    with (
        emulated(),
        pytest.raises(kx.BackendError, match=r"it has no method 'rssa'; available: native: .*; cuda: direct"),
    ):
        kx.gillespie.simulate(BIRTH, T, method="rssa", backend="cuda")
    with emulated(), pytest.raises(kx.BackendError, match=r"backend 'cuda' cannot serve gillespie\.simulate_events"):
        kx.gillespie.simulate_events(BIRTH, 3.0, backend="cuda")


def test_networks_that_differ_in_numbers_share_a_text():
    a, b = (
        kx.gillespie.ReactionNetwork({"A": n}, [f"0 -> A @ {k}", f"A -> 0 @ {k} * A / (1 + A)"])
        for n, k in ((1, 2.5), (7, 1e-9))
    )
    sources = [gillespie_source.generate(net.arrays, moments=False, averages=False) for net in (a, b)]
    assert sources[0].text == sources[1].text
    assert not np.array_equal(sources[0].numbers, sources[1].numbers)


@pytest.mark.parametrize("name", [*ALL, "chain of 24"])
def test_every_output_compiles_without_spills(name):
    net = (ALL | CASES)[name]
    for moments, averages in (False, False), (False, True), (True, False):
        text = gillespie_source.generate(net.arrays, moments=moments, averages=averages).text
        _, log = compile_for_gpu(text, "sm_90a")
        if name != "every operation":  # sine and cosine reduce large arguments on the stack
            assert re.findall(r"(\d+) bytes (?:stack frame|spill)", log) in (["0"] * 3, ["0"] * 6), log  # pow is a call
        assert int(re.findall(r"Used (\d+) registers", log)[0]) <= 255
    code, log = nvrtc.compile_text(text, "compute_80")
    assert b".target sm_80" in code
    assert not log
