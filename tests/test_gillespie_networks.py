"""Networks from strings, arrays and files; rate expressions; results in other forms."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases
from kxfast.backends.reference import gillespie as reference
from kxfast.cases.gillespie import ensemble_distance
from kxfast.gillespie.models import EXAMPLES

g = kx.gillespie
WORKED = g.ReactionNetwork({"A": 10, "B": 3}, ["2 A -> B @ 0.01", "B -> 2 A @ 0.2", "0 -> A @ 1.5"])


def same(a, b) -> bool:
    return cases.largest_difference(a, b) == 0


def test_networks_from_strings_arrays_and_files_are_the_same(tmp_path):
    net = g.from_arrays(["A", "B"], [10, 3], WORKED.reactants, WORKED.products, [0.01, 0.2, 1.5])
    assert net.reactions == WORKED.reactions == ("2 A -> B @ 0.01", "B -> 2 A @ 0.2", "0 -> A @ 1.5")
    record = {
        "species": ["A", "B"],
        "x0": [10, 3],
        "params": {"k": 0.2},
        "reactions": [
            {"r": {"A": 2}, "p": {"B": 1}, "k": 0.01},
            {"r": {"B": 1}, "p": {"A": 2}, "expr": "k * B"},
            {"r": {}, "p": {"A": 1}, "expr": "1.5"},
        ],
    }
    path = tmp_path / "net.json"
    path.write_text(json.dumps(record))
    results = [g.simulate(each, [1.0, 5.0], n=50, seed=1) for each in (WORKED, net, g.read_json(path))]
    assert same(results[0], results[1])
    assert ensemble_distance(results[2], results[0]) < 6


def test_every_example_runs(shared_data):
    for name in EXAMPLES:
        ours, theirs = g.example(name), g.read_json(shared_data / "ssa_models" / f"{name}.json")
        assert same([*ours.arrays], [*theirs.arrays])
        assert len(g.simulate_events(ours, max_events=9, seed=1)) == 9


def test_expressions_are_arithmetic():
    def value(text):
        net = g.ReactionNetwork({"A": 7, "B": 2}, [f"0 -> A @ {text}"], {"k": 3.0})
        return reference.propensities(net.arrays, net.initial)[0]

    assert value("k") == 3
    assert value("-k ** 2 + 10 + 0 * A") == 1
    assert value("A / B - (A + B) * k / 100") == pytest.approx(3.23)
    assert value("max(A, B, ) - min(A, k) + abs(B - A)") == 7 - 3 + 5
    assert value("sqrt(A + B) + log(exp(B)) + pow(B, 3)") == pytest.approx(3 + 2 + 8)
    assert g.ReactionNetwork({"A": 1}, ["A -> 0 @ 2 * k"], {"k": 4}).rates.tolist() == [8.0]


def test_system_of_the_article():
    system = g.System(2)
    for rate, left, right in (20, [0, 0], [1, 0]), (2.5, [1, 0], [1, 1]), (1, [1, 0], [0, 0]), (1, [0, 1], [0, 0]):
        system.add_reaction(rate, left, right)
    system.evolute(1000, seed=1)
    assert len(system.t) == len(system.n) == 1001
    assert system.t[0] == 0
    assert system.n[0].tolist() == [1, 1]
    assert np.all(np.diff(system.t) > 0)
    assert np.all(np.abs(np.diff(system.n, axis=0)).sum(axis=1) == 1)


def test_results_convert_or_say_what_is_missing(monkeypatch):
    res = g.simulate(WORKED, [1.0, 2.0], n=3, seed=1)
    for method, library in ("to_dataframe", "pandas"), ("to_xarray", "xarray"), ("plot", "matplotlib.pyplot"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            with pytest.raises(ImportError, match=f"{method} needs {library.partition('.')[0]}; install it"):
                getattr(res, method)()
    with pytest.raises(ValueError, match="std needs at least 2 trajectories"):
        g.simulate(WORKED, [1.0], seed=1).std()


def test_dataframe():
    pytest.importorskip("pandas", reason="needs pandas")
    res = g.simulate(WORKED, [1.0, 2.0], n=3, seed=1)
    assert res.to_dataframe().loc[(2, 2.0), "B"] == res.counts[2, 1, 1]


def test_xarray():
    pytest.importorskip("xarray", reason="needs xarray")
    res = g.simulate(WORKED, [1.0, 2.0], n=3, seed=1)
    assert res.to_xarray().sel(species="B", t=2.0)[2] == res.counts[2, 1, 1]


def test_plot():
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")

    def labels(res, **keywords):
        axes = res.plot(**keywords)
        matplotlib.pyplot.close(axes.figure)
        return [text.get_text() for text in axes.get_legend().get_texts()], len(axes.lines), len(axes.collections)

    one, three = (g.simulate(WORKED, [1.0, 2.0], n=n, seed=1) for n in (1, 3))
    assert labels(one) == (["A", "B"], 2, 0)
    assert labels(three) == (["A, mean and sd", "B, mean and sd"], 8, 2)
    assert labels(three, species=["B"], most=2) == (["B, mean and sd"], 3, 1)
    with pytest.raises(ValueError, match="species must be among A, B; got 'C'"):
        three.plot(species=["C"])


def test_volumes():
    """A reaction of order m has the constant c V^(1 - m); expressions stand as they are."""
    laws = ["0 -> A @ 2", "A -> 0 @ 3", "2 A -> B @ 5", "2 A + B -> 0 @ 16", "A -> B @ 7 * A"]
    net = g.ReactionNetwork({"A": 5, "B": 4}, laws, volume=4)
    np.testing.assert_array_equal(net.rates[:4], [8, 3, 1.25, 1])
    plain = g.ReactionNetwork({"A": 5, "B": 4}, laws)
    assert net.program(4) == plain.program(4)
    again = g.from_arrays(["A", "B"], [5, 4], net.reactants[:4], net.products[:4], plain.rates[:4], volume=4)
    np.testing.assert_array_equal(again.rates, net.rates[:4])
    for wrong, words in ((0, "volume must be above 0; got 0"), (1e-200, r"volume must give .* for reactions\[3\]"),
                         (1e200, r"volume must give .* for reactions\[3\]")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            g.ReactionNetwork({"A": 5, "B": 4}, laws, volume=wrong)


def test_macroscopic_rates_in_a_large_volume():
    """2 A -> 0 with d[A]/dt = -2 k [A]^2: [A] = 1 / (1/[A]0 + 2 k t), but for fluctuations of the order 1/V."""
    volume, t = 1e4, np.array([0.2, 1.0])
    net = g.ReactionNetwork({"A": 30000}, ["2 A -> 0 @ 0.7"], propensity="falling", volume=volume)
    density = g.simulate(net, t, n=40, seed=1).mean()[:, 0] / volume
    np.testing.assert_allclose(density, 1 / (1 / 3 + 1.4 * t), rtol=0.005)
