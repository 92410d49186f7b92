"""Trajectories in vector lanes are those of the scalar kernel, bit for bit; the logarithm that both draw with."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases
from kxfast.gillespie.models import EXAMPLES

g = kx.gillespie
native = pytest.importorskip("kxfast.backends.native.gillespie", reason="the compiled module is not built")
ENGINES = [engine for engine in cases.engines("gillespie.simulate") if engine.startswith("native")]
pytestmark = pytest.mark.skipif(not ENGINES, reason="the compiled module is not built")
NEVER, AUTOMATIC, ALWAYS = 0, -1, 1
EVENTS = 400  # of a trajectory, about

NETWORKS = {name: g.example(name) for name in EXAMPLES} | {
    "ends": g.ReactionNetwork({"A": 9, "B": 0}, ["A -> B @ 0.7", "2 B -> 0 @ 0.4"]),
    "one reaction": g.ReactionNetwork({"A": 7}, ["2 A -> A @ 1"]),
    "eight": g.ReactionNetwork({f"X{i}": 9 for i in range(8)}, [f"X{i} -> X{(i + 3) % 8} @ {i}.5" for i in range(8)]),
    "twenty": g.ReactionNetwork(
        {f"X{i}": 9 for i in range(11)},
        [f"X{i} -> X{i + 1} @ 2" for i in range(10)] + [f"X{i + 1} + X{i} -> 2 X{i} @ 0.3" for i in range(10)],
    ),
    "never and always": g.ReactionNetwork({"A": 3, "B": 5}, ["A -> 0 @ 0", "0 -> A @ 2", "A + 2 B -> A + B @ 0.1"]),
    "third order": g.ReactionNetwork({"A": 30, "B": 30}, ["A + 2 B -> 3 A @ 0.01", "3 A -> 3 B @ 0.02", "B -> A @ 1"]),
}  # fmt: skip

EXPRESSIONS = {
    "Hill": g.ReactionNetwork(
        {"U": 50, "V": 50},
        ["0 -> U @ a / (1 + (V / k) ** n)", "0 -> V @ a / (1 + (U / k) ** n)", "U -> 0 @ 1", "V -> 0 @ 1"],
        {"a": 156.0, "k": 20.0, "n": 2.5},
    ),
    "powers": g.ReactionNetwork(
        {"U": 5},
        [*(f"0 -> U @ 4 / (1 + (U / 7) ** {n})" for n in (0.5, 1, 1.5, 2, 3, 7, 10, 31.5, 0.7, 2.3)),
         *(f"U -> 0 @ 0.3 * U * (U / 7 + 1) ** {n}" for n in (-0.5, -1, -3, -2.5, 0, -0.3))],
    ),
    "every operation": g.ReactionNetwork(
        {"A": 20, "B": 20, "C": 3},
        ["0 -> A @ exp(-A / 30) + 20 * (B > 10)", "0 -> B @ abs(log(1 + A) - 2) + sqrt(B + C)",
         "A -> 0 @ min(A, 3) * (A >= 1 and not B == 7)", "B -> 0 @ max(B, 0.5 * A) if B > 0 else 0",
         "B -> A @ (1 + sin(A)) * B + (B > 0) * (1 + cos(C))", "A + B -> C @ 0.01", "C -> 0 @ C * (C < 9 or A <= 50)",
         "0 -> C @ -(0 - 2) + (1 + A + B) ** (C / 9 - 1)"],
    ),
}  # fmt: skip


def grid(net, points=7):
    times = g.simulate_events(net, max_events=EVENTS, seed=2).times
    return np.linspace(0, times[-1], points)


def run(net, t, lanes, *, n, seed=1, threads=2, first=0):
    return native.simulate(net.arrays, t, "direct", seed, False, n, first, threads, None, lanes)[:2]


def same(results, expected):
    return all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*NETWORKS, *EXPRESSIONS])
def test_lanes_are_the_scalar_kernel(name, engine):
    net = (NETWORKS | EXPRESSIONS)[name]
    t = grid(net)
    for seed in (0, 5, 2**63 + 1):
        expected = run(net, t, NEVER, n=100, seed=seed)
        with cases.engine(engine):
            for n in (1, 7, 8, 9, 100):
                for threads in (1, 2, 5):
                    found = run(net, t, ALWAYS, n=n, seed=seed, threads=threads)
                    assert same(found, [each[:n] for each in expected])
            assert same(run(net, t, AUTOMATIC, n=60, seed=seed, first=40), [each[40:] for each in expected])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [2, 9, 500])
def test_moments_from_lanes(engine, n):
    net = g.example("toggle")
    t = grid(net)
    with cases.engine(engine):
        scalar, *lanes = (
            native.moments(net.arrays, t, "direct", 3, n, threads, None, lanes)
            for lanes, threads in ((NEVER, 1), (ALWAYS, 1), (ALWAYS, 3), (AUTOMATIC, 2))
        )
    for each in lanes:
        assert same(each[:2], scalar[:2])
        assert each[2] == scalar[2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("points", [1, 2, 300])
def test_few_and_many_samples(engine, points):
    """One sample is the final state; with many, several fall between two events."""
    net = NETWORKS["ends"]
    t = np.linspace(0, 40, points) if points > 1 else np.array([3.0])
    with cases.engine(engine):
        assert same(run(net, t, ALWAYS, n=70), run(net, t, NEVER, n=70))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_at_a_sample_time_counts(engine):
    net = NETWORKS["ends"]
    with cases.engine(engine):
        log = g.simulate_events(net, max_events=5, seed=2)
        at = log.times[2]
        counts = g.simulate(net, [np.nextafter(at, 0), at], n=64, seed=2).counts
    np.testing.assert_array_equal(counts[0], log.counts()[[2, 3]])


@pytest.mark.parametrize("engine", ENGINES)
def test_more_events_than_bytes_count(engine):
    net = g.ReactionNetwork({"A": 50}, ["0 -> A @ 100", "A -> 0 @ 2"])
    t = np.array([1.0, 60.0])
    with cases.engine(engine):
        counts, fired = run(net, t, ALWAYS, n=40)
        assert same((counts, fired), run(net, t, NEVER, n=40))
    assert fired.min() > 2000
    np.testing.assert_array_equal(50 + fired @ [1, -1], counts[:, -1, 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_count_that_leaves_the_range_is_the_scalar_kernels_error(engine):
    ends = g.ReactionNetwork({"A": 2**52, "B": 1}, ["B -> B + A @ 1"])
    grows = g.ReactionNetwork({"A": 2**52 - 2**40, "B": 1}, [f"B -> B + {2**30} A @ 1"])
    for net, end in ((ends, 9.0), (grows, 1e5)):
        messages = set()
        for lanes in (NEVER, ALWAYS):
            with cases.engine(engine), pytest.raises(ValueError, match=r"must stay at most 2\*\*52") as caught:
                run(net, np.array([end]), lanes, n=1)
            messages.add(str(caught.value))
        assert len(messages) == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("law", "words"),
    [
        ("A -> 0 @ 9.5 - A", r"the propensity of reactions\[1\] must be finite and at least 0; got -0.5 at"),
        (
            "A -> 0 @ (A > 25) * log(31 - A)",
            r"the propensity of reactions\[1\] must be finite and at least 0; got -?(inf|nan)",
        ),
        ("A -> 0 @ 4 + 0 * A", "the count of species 0 must stay at least 0; got -1 at"),
    ],
)
def test_a_rate_that_is_none_is_the_scalar_kernels_error(engine, law, words):
    """Most of the trajectories end well; the error names the first of those that do not, in lanes or not."""
    net = g.ReactionNetwork({"A": 9}, ["0 -> A @ 2", law])
    for n, threads in ((1, 1), (100, 1), (100, 3)):
        for lanes in (NEVER, ALWAYS):
            with cases.engine(engine), pytest.raises(ValueError, match=words):
                run(net, np.array([0.5, 50.0]), lanes, n=n, threads=threads)


@pytest.mark.parametrize("engine", ENGINES)
def test_totals_at_the_ends_of_the_range_and_the_end_of_all_rates(engine):
    """Subnormal totals, and networks that come to rest with an expression of 0."""
    tiny = g.ReactionNetwork(
        {"A": 9, "B": 0}, ["A -> B @ 5e-324 * A", "B -> A @ 5e-324 * B * (B > 4)", "A -> A @ 1e-320 * A"]
    )
    rest = g.ReactionNetwork({"A": 40, "B": 0}, ["A -> B @ A / (1 + A)", "A -> 0 @ A * (B < 5)"])
    for net, end in ((tiny, 1e307), (rest, 1e6)):
        t = np.array([1.0, end])
        with cases.engine(engine):
            assert same(run(net, t, ALWAYS, n=50), run(net, t, NEVER, n=50))


def test_progress_counts_every_sample():
    seen = []
    g.simulate(g.example("vilar"), [0.1, 0.2, 0.3], n=50, seed=1, progress=lambda *each: seen.append(each))
    assert seen[-1] == (150, 150, "sample")


def test_logarithm_of_uniforms():
    rng = np.random.default_rng(0)
    steps = np.concatenate(
        [rng.integers(2**53, size=50_000), (2**53 - rng.integers(2**40, size=20_000)) >> rng.integers(53, size=20_000)]
        + [np.clip(np.arange(-300, 300) + (k << 48), 0, 2**53 - 1) for k in range(33)]
        + [[0, 1, 2, 2**53 - 1, 2**53 - 2, 2**52, 2**52 - 1]]
    )
    for step in steps.clip(0, 2**53 - 1).tolist():
        exact = -math.log((step + 1) / 2**53)
        assert abs(native.exponential(step << 11) - exact) <= 3.3 * math.ulp(exact)  # 2.3 of ours, 1 of math.log
    assert native.exponential(2**64 - 1) == 0
    assert native.exponential(0) == 53 * math.log(2)


def test_every_model_of_the_development_data_that_lanes_serve(shared_data):
    for file in sorted((shared_data / "ssa_models").glob("*.json")):
        net = g.read_json(file)
        if len(net.rates) <= 20:
            t = grid(net)
            assert same(run(net, t, ALWAYS, n=33), run(net, t, NEVER, n=33)), file.stem
