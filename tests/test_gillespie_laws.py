"""Laws of exact simulation: known distributions, for every engine and method, as tests that can fail.

Seeds are fixed; a bound of 4.5 standard errors is passed by chance once in 1.5e5 draws of the seed.
"""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm

import kxfast as kx
from kxfast import cases, dispatch
from kxfast.backends.reference import gillespie as reference

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")


def native_methods(engine):
    """All of them on one instruction set: test_gillespie_methods.py has it that the others give the same bits."""
    module = dispatch.load("gillespie", "native")
    return module.METHODS if engine == [each for each in ENGINES if each.startswith("native")][-1] else ("direct",)


VARIANTS = [
    pytest.param(engine, method, id=f"{engine}-{method}")
    for engine in ENGINES
    for method in (reference.METHODS if engine == "reference" else native_methods(engine))
]
every_method = pytest.mark.parametrize(("engine", "method"), VARIANTS)
every_native = pytest.mark.parametrize("engine", [e for e in ENGINES if e.startswith("native")])
BOUND = 4.5


def ensemble(engine, method, net, t, *, n, seed=1):
    """n trajectories compiled, a hundredth of that (at least 150) in the reference."""
    n = n if engine.startswith("native") else max(150, n // 100)
    with cases.engine(engine):
        return g.simulate(net, t, n=n, method=method, seed=seed)


def z_scores(counts, mean, variance):
    """Of mean and variance at each time; the latter with the sample's own kurtosis."""
    n, m = len(counts), counts.mean(axis=0)
    d = counts - m
    s2, kurtosis = (d**2).sum(axis=0) / (n - 1), (d**4).mean(axis=0) / (d**2).mean(axis=0) ** 2
    return np.sqrt(n / variance) * (m - mean), np.sqrt(n / np.maximum(2, kurtosis - 1)) * (s2 / variance - 1)


def assert_law(counts, mean, variance):
    for z in z_scores(counts, mean, variance):
        assert np.max(np.abs(z)) < BOUND


def immigration_death(t, k=5.0, rate=0.5, n0=20):
    p = np.exp(-rate * t)
    return n0 * p + k / rate * (1 - p), n0 * p * (1 - p) + k / rate * (1 - p)


def birth_death(t, birth=0.1, death=0.11, n0=100):
    growth = np.exp((birth - death) * t)
    return n0 * growth, n0 * (birth + death) / (birth - death) * growth * (growth - 1)


def test_closed_forms_are_those_of_the_specification():
    np.testing.assert_allclose(immigration_death(3.0), [12.231301601, 11.235560234], atol=5e-10)
    mean, variance = birth_death(np.array([10.0, 50.0]))
    np.testing.assert_allclose(mean, [90.483741804, 60.653065971], atol=5e-10)
    np.testing.assert_allclose(np.sqrt(variance), [13.447081334, 22.386771963], atol=5e-10)


@every_method
def test_immigration_and_death(engine, method):
    t = np.array([0.5, 1.0, 3.0])
    net = g.ReactionNetwork({"A": 20}, ["0 -> A @ 5", "A -> 0 @ 0.5"])
    assert_law(ensemble(engine, method, net, t, n=20_000).counts[:, :, 0], *immigration_death(t))


@every_method
def test_birth_and_death(engine, method):
    t = np.array([1.0, 10.0, 50.0]) if engine.startswith("native") else np.array([1.0, 10.0])
    net = g.ReactionNetwork({"A": 100}, ["A -> 2 A @ 0.1", "A -> 0 @ 0.11"])
    assert_law(ensemble(engine, method, net, t, n=10_000, seed=2).counts[:, :, 0], *birth_death(t))


@every_method
def test_stationary_law_of_immigration_and_death(engine, method):
    net = g.ReactionNetwork({"A": 4}, ["0 -> A @ 4", "A -> 0 @ 1"])
    counts = ensemble(engine, method, net, [10.0], n=30_000, seed=3).counts[:, 0, 0]
    assert chi_square(np.bincount(counts), stats.poisson.pmf(np.arange(40), 4)) > 1e-4


@every_method
def test_law_of_the_first_event(engine, method):
    net = g.ReactionNetwork({"A": 10, "B": 3}, ["2 A -> B @ 0.01", "B -> 2 A @ 0.2", "0 -> A @ 1.5", "3 B -> A @ 0"])
    n = 4000 if engine.startswith("native") else 1500
    with cases.engine(engine):
        logs = [g.simulate_events(net, max_events=1, method=method, seed=seed) for seed in range(n)]
    times, reactions = np.array([log.times[0] for log in logs]), np.array([log.reaction[0] for log in logs])
    assert stats.kstest(times * 2.55, "expon").pvalue > 1e-4
    fired = np.bincount(reactions, minlength=4)
    assert fired[3] == 0
    assert stats.chisquare(fired[:3], n * np.array([0.45, 0.60, 1.5]) / 2.55).pvalue > 1e-4
    table = np.array([np.bincount(reactions[times * 2.55 > x], minlength=3)[:3] for x in (0.3, 0.7, 1.5)])
    assert stats.chi2_contingency(np.vstack([-np.diff(table, axis=0), table[-1], fired[:3] - table[0]])).pvalue > 1e-4


def chi_square(observed, probability):
    """p-value of a histogram; cells are joined from the right until five are expected in each."""
    size = max(len(observed), len(probability))
    observed, probability = (np.pad(np.asarray(x, float), (0, size - len(x))) for x in (observed, probability))
    order = np.argsort(-probability)
    observed, expected = observed[order], probability[order] * observed.sum()
    keep = int(np.sum(expected >= 5))
    rest = np.array([observed[keep:].sum()]), np.array([expected[keep:].sum()])
    assert rest[0][0] == 0 or rest[1][0] > 0
    if rest[1][0] >= 1:
        observed, expected = np.append(observed[:keep], rest[0]), np.append(expected[:keep], rest[1])
    else:
        observed, expected = observed[:keep], expected[:keep]
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


def master_equation(net, propensity, t):
    """Reachable states and their probabilities at time t, from the generator's exponential."""
    states, change = [tuple(net.initial.tolist())], net.products - net.reactants
    index, moves = {states[0]: 0}, []
    for state in states:
        for a, d in zip(propensity(state), change, strict=True):
            after = tuple((np.array(state) + d).tolist())
            if a > 0:
                if after not in index:
                    index[after] = len(states)
                    states.append(after)
                moves.append((index[state], index[after], a))
    generator = np.zeros((len(states), len(states)))
    for i, j, a in moves:
        generator[i, j] += a
        generator[i, i] -= a
    return index, expm(generator * t)[0]


CLOSED = {
    "dimerisation": (
        g.ReactionNetwork({"P": 9, "P2": 0}, ["2 P -> P2 @ 0.1", "P2 -> 2 P @ 0.6"]),
        lambda x: [0.1 * comb(x[0], 2), 0.6 * x[1]],
    ),
    "third order": (
        g.ReactionNetwork(
            {"A": 6, "B": 2, "C": 0}, ["2 A -> B @ 0.3", "B -> 2 A @ 1", "3 A + B -> C @ 0.2", "C -> A @ 0.7"]
        ),
        lambda x: [0.3 * comb(x[0], 2), x[1], 0.2 * comb(x[0], 3) * x[1], 0.7 * x[2]],
    ),
    "falling": (
        g.ReactionNetwork({"P": 9, "P2": 0}, ["2 P -> P2 @ 0.05", "P2 -> 2 P @ 0.6"], propensity="falling"),
        lambda x: [0.1 * comb(x[0], 2), 0.6 * x[1]],
    ),
    "expressions": (
        g.ReactionNetwork({"A": 12, "B": 0}, ["A -> B @ 4 * A / (A + k)", "B -> A @ 0.5 * B ** 1.5"], {"k": 3}),
        lambda x: [4 * x[0] / (x[0] + 3), 0.5 * x[1] ** 1.5],
    ),
    "ring of 22": (
        g.ReactionNetwork(
            {f"X{i}": int(i == 0) for i in range(22)}, [f"X{i} -> X{(i + 3) % 22} @ 1" for i in range(22)]
        ),
        list,
    ),
}  # fmt: skip


def master_equation_p_value(engine, method, name, net=None, *, n=40_000):
    known, propensity = CLOSED[name]
    index, probability = master_equation(known, propensity, 1.5)
    counts = ensemble(engine, method, net or known, [1.5], n=n, seed=5).counts[:, 0]
    found = [index[tuple(row)] for row in counts.tolist()]
    return chi_square(np.bincount(found, minlength=len(index)), probability)


@every_method
@pytest.mark.parametrize("name", CLOSED)
def test_master_equation(engine, method, name):
    assert master_equation_p_value(engine, method, name) > 1e-4


@pytest.mark.parametrize(
    ("engine", "method"),
    [each for each in VARIANTS if each.values[0] != "reference" or each.values[1] == "direct"],  # the others take long
)
def test_a_wrong_propensity_is_caught(engine, method):
    """Powers for binomials (n^2 / 2 for n (n - 1) / 2), kept from going below 0, and a rate that is 10 % too high."""
    powers = g.ReactionNetwork(
        {"P": 9, "P2": 0}, ["2 P -> P2 @ 0.05 * P ** 2 * min(1, max(P - 1, 0))", "P2 -> 2 P @ 0.6"]
    )
    assert master_equation_p_value(engine, method, "dimerisation", powers, n=200_000) < 1e-4
    t, counts = np.array([3.0]), {"n": 40_000 if engine.startswith("native") else 100_000}
    faster = g.ReactionNetwork({"A": 20}, ["0 -> A @ 5.5", "A -> 0 @ 0.5"])
    z, _ = z_scores(ensemble(engine, method, faster, t, **counts).counts[:, :, 0], *immigration_death(t))
    assert abs(z[0]) > BOUND


@every_native
def test_acceptance_of_the_discrete_stochastic_models(engine):
    """Form of the public test suite: 50 times, 10 000 runs, at most 3 outside each range."""
    t = np.arange(1.0, 51.0)
    dimers = g.ReactionNetwork({"P": 100, "P2": 0}, ["2 P -> P2 @ 0.001", "P2 -> 2 P @ 0.01"])
    index, _ = master_equation(dimers, lambda x: [0.001 * comb(x[0], 2), 0.01 * x[1]], 0)
    p = np.array([state[0] for state in index])
    laws = [master_equation(dimers, lambda x: [0.001 * comb(x[0], 2), 0.01 * x[1]], time)[1] for time in t]
    means = np.array([law @ p for law in laws])
    models = [
        (g.ReactionNetwork({"X": 100}, ["X -> 2 X @ 0.1", "X -> 0 @ 0.11"]), *birth_death(t)),
        (g.ReactionNetwork({"X": 0}, ["0 -> X @ 1", "X -> 0 @ 0.1"]), *immigration_death(t, 1.0, 0.1, 0)),
        (dimers, means, np.array([law @ p**2 for law in laws]) - means**2),
    ]
    for net, mean, variance in models:
        z, y = z_scores(ensemble(engine, "direct", net, t, n=10_000, seed=11).counts[:, :, 0], mean, variance)
        assert np.sum(np.abs(z) > 3) <= 3
        assert np.sum(np.abs(y) > 5) <= 3
        assert np.max(np.abs(z)) < 8


@every_native
def test_gene_expression_of_the_article(engine):
    net = g.ReactionNetwork({"m": 20, "n": 50}, ["0 -> m @ 20", "m -> m + n @ 2.5", "m -> 0 @ 1", "n -> 0 @ 1"])
    with cases.engine(engine):
        mom = g.moments(net, [12.0], n=20_000, seed=1)
        res = g.simulate(net, [10.0, 10_000.0], seed=1, averages=True)
    error = np.sqrt(mom.variance[0] / mom.n)
    assert np.all(np.abs(mom.mean[0] - [20, 50]) < BOUND * error)
    assert np.all(np.abs(mom.variance[0] / [20, 112.5] - 1) < BOUND * np.sqrt(2.2 / mom.n))
    np.testing.assert_allclose(res.time_mean[0], [20, 50], rtol=0.02)
    np.testing.assert_allclose(res.time_variance[0], [20, 112.5], rtol=0.08)


@every_method
def test_many_reactions_that_run_out(engine, method):
    net = g.ReactionNetwork({f"X{i}": 20 for i in range(30)}, [f"X{i} -> 0 @ {1 + i}" for i in range(30)])
    with cases.engine(engine):
        log = g.simulate_events(net, max_events=10_000, method=method, seed=1)
    assert log.absorbed
    assert len(log) == 600
    assert np.all(log.counts()[-1] == 0)


@every_native
def test_sums_survive_the_end_of_the_fastest_reactions(engine):
    """22 reactions of which one, at first 1e15 times as fast as the other, is over at once."""
    never = [f"S -> S + F @ {i} * 0" for i in range(20)]
    net = g.ReactionNetwork({"F": 1000, "S": 1}, ["F -> 0 @ 1e9", "S -> 0 @ 1e-3", *never])
    with cases.engine(engine):
        left = g.simulate(net, [1.0, 500.0], n=20_000, seed=1).counts
    assert np.all(left[:, :, 0] == 0)
    alive = np.exp(-0.5)
    assert abs(left[:, 1, 1].mean() - alive) < BOUND * np.sqrt(alive * (1 - alive) / 20_000)
