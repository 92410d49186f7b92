"""Events, rules and times of SBML models, written and read back; names that are words of Python or of formulas."""

from __future__ import annotations

import numpy as np
import pytest
from test_gillespie_events import WITHOUT_REACTIONS, T, model, rule
from test_gillespie_going_on import random_model

import kxfast as kx
from kxfast.backends.reference import gillespie as reference

g = kx.gillespie


def again(net, folder):
    """The network of the file that it is written to, which must be valid."""
    libsbml = pytest.importorskip("libsbml", reason="needs python-libsbml")
    path = folder / "again.xml"
    net.to_sbml(path)
    document = libsbml.readSBML(str(path))
    document.setConsistencyChecks(libsbml.LIBSBML_CAT_UNITS_CONSISTENCY, False)
    assert document.checkConsistency() == 0, document.getErrorLog().toString()
    return g.read_sbml(path)


@pytest.mark.parametrize(("body", "expected"), WITHOUT_REACTIONS)
def test_events_written_and_read_back(tmp_path, body, expected):
    net = again(model(tmp_path, body), tmp_path)
    assert len(net.events) == len(body)
    counts = g.simulate(net, T, seed=1).counts[0]
    for name, column in expected.items():
        assert counts[:, net.species.index(name)].tolist() == column


def test_a_written_model_of_events_has_the_same_trajectories(tmp_path):
    net = random_model(tmp_path)
    read = again(net, tmp_path)
    a, b = (g.simulate(each, [1.0, 4.0], n=100, method="direct", seed=1) for each in (net, read))
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.state.values, b.state.values)


def test_rules_and_times_written_and_read_back(tmp_path):
    body = [rule("AssignmentRule", "x", "2 * A + sin(time)"), rule("AssignmentRule", "fixedY", "B + 1")]
    net = model(
        tmp_path, body, species={"A": 3, "B": 1, "fixedY": 0},
        reactions=[(["A"], ["B"], "k * A * (1 + cos(time / 3)) * fixedY")],
    )  # fmt: skip
    read = again(net, tmp_path)
    a, b = (g.simulate(each, T, n=20, method="direct", seed=1) for each in (net, read))
    np.testing.assert_array_equal(a.counts, b.counts)
    assert a.assigned.keys() == b.assigned.keys() == {"x", "fixedY"}
    for name, values in a.assigned.items():
        np.testing.assert_allclose(b.assigned[name], values, rtol=1e-14)


def test_names_that_are_words_elsewhere(tmp_path):
    """A parameter lambda is one, and a parameter t is not the time."""
    net = g.ReactionNetwork({"A": 3, "is": 2}, ["A -> 0 @ lambda", "is -> 0 @ is * None"], {"lambda": 4, "None": 5})
    assert reference.propensities(net.arrays, net.initial).tolist() == [12, 10]
    read = model(
        tmp_path, [rule("AssignmentRule", "x", "t + time")], species={"A": 3, "B": 0},
        parameters={"t": 5.0, "lambda": 2.0, "x": 0.0}, reactions=[(["A"], [], "lambda * A + 0 * t")],
    )  # fmt: skip
    assert g.simulate(read, [1.0, 4.0], seed=1).assigned["x"].tolist() == [[6, 9]]
    assert reference.propensities(read.arrays, read.initial).tolist() == [6]
    with pytest.raises(ValueError, match=r"must name species and parameters \(A\); got 'lambda'"):
        g.ReactionNetwork({"A": 3}, ["A -> 0 @ lambda"])
    with pytest.raises(ValueError, match="must be an arithmetic expression; got 'lambda x: 3'"):
        g.ReactionNetwork({"A": 3}, ["A -> 0 @ lambda x: 3"])
