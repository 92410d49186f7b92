"""Python functions as rates: the same law as the expression they stand for, in every method, thread and lane."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from gillespie_rates import hill, many, pairs

import kxfast as kx
from kxfast import cases
from kxfast.cases.gillespie import ensemble_distance

g = kx.gillespie
COMPILED = "native" in kx.available("gillespie.simulate")
if COMPILED:
    pytest.importorskip("numba", reason="needs numba")
METHODS = ("direct", "sorting_direct", "next_reaction", "composition_rejection", "rssa") if COMPILED else ("direct",)


BY_FUNCTION = g.ReactionNetwork(
    {"U": 5, "V": 5},
    [("0 -> U", hill), "0 -> V @ 15 / (1 + (U / k) ** 2)", "U -> 0 @ 1", ("2 V -> V", pairs)],
    {"k": 5},
)
BY_EXPRESSION = g.ReactionNetwork(
    {"U": 5, "V": 5},
    ["0 -> U @ 15 / (1 + (V / k) ** 2)", "0 -> V @ 15 / (1 + (U / k) ** 2)", "U -> 0 @ 1", "2 V -> V @ 2"],
    {"k": 5},
)


@pytest.mark.parametrize("method", METHODS)
def test_a_function_has_the_law_of_its_expression(method):
    t, n = [0.4, 2.0], 4000 if COMPILED else 300
    found, expected = (
        g.simulate(net, t, n=n, method=method, seed=s) for net, s in ((BY_FUNCTION, 1), (BY_EXPRESSION, 2))
    )
    assert ensemble_distance(found, expected) < 5


@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
def test_lanes_threads_and_processes_give_the_same_numbers():
    from kxfast.backends.native import gillespie as native

    t = np.array([0.4, 2.0])
    expected = native.simulate(BY_FUNCTION.arrays, t, "direct", 1, False, 90, 0, 1, None, 0)[0]
    for lanes, threads in ((1, 1), (1, 3), (0, 2), (-1, 2)):
        found = native.simulate(BY_FUNCTION.arrays, t, "direct", 1, False, 90, 0, threads, None, lanes)[0]
        np.testing.assert_array_equal(found, expected)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        spread = g.simulate(BY_FUNCTION, t, n=90, seed=1, method="direct", executor=executor)
    np.testing.assert_array_equal(spread.counts, g.simulate(BY_FUNCTION, t, n=90, seed=1, method="direct").counts)
    four = g.ReactionNetwork(dict.fromkeys("ABCD", 3), [("A -> 0", many), ("B -> A + B", many)])  # too many for lanes
    assert g.simulate(four, [0.1], n=20, seed=1).counts.shape == (20, 1, 4)


def test_the_reference_calls_the_function_itself():
    with cases.engine("reference"):
        found = g.simulate(BY_FUNCTION, [1.0], n=200, seed=1)
    expected = g.simulate(BY_EXPRESSION, [1.0], n=2000, seed=2)
    assert ensemble_distance(found, expected) < 5


def test_wrong_functions():
    def wrong(function, error, words, backend=None):
        with pytest.raises(error, match=words):
            g.simulate(g.ReactionNetwork({"A": 3}, [("A -> 0", function)], {"k": 1.0}), [9.0], seed=1, backend=backend)

    wrong(lambda A, x: A, ValueError, r"the rate of reactions\[0\] must have arguments named after .*; got 'x'")
    wrong(lambda A, t: A, ValueError, "got 't'; a rate that depends on the time must be an expression")
    wrong(lambda: 1.0, ValueError, "must be a function of 1 to 30 arguments; got 0")
    wrong(lambda *A: 1.0, ValueError, r"must be a function of plain arguments; got \*A")
    wrong(lambda A: -A, ValueError, r"the propensity of reactions\[0\] must be finite and at least 0; got -3")
    wrong(dict, TypeError, r"the rate of reactions\[0\] must be a Python function; got")
    with pytest.raises(TypeError, match=r"reactions\[0\] must be a str such as"):
        g.ReactionNetwork({"A": 3}, [("A -> 0", 3)])
    if COMPILED:
        wrong(lambda A: object(), ValueError, "must be a function that Numba compiles; got")
        wrong(lambda A: A.none, ValueError, "got Unknown attribute 'none' of type float64")


def test_functions_cannot_be_written_as_sbml(tmp_path):
    pytest.importorskip("libsbml", reason="needs python-libsbml")
    with pytest.raises(ValueError, match=r"net must have no Python functions as rates.*; reactions\[0\] has one"):
        BY_FUNCTION.to_sbml(tmp_path / "net.xml")
    assert not (tmp_path / "net.xml").exists()
