"""Events of SBML models, rules, and conditions that end trajectories: by hand where nothing is random, else by law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import kxfast as kx
from kxfast import cases, dispatch

g = kx.gillespie
ENGINES = cases.engines("gillespie.simulate")
VARIANTS = [
    pytest.param(engine, method, id=f"{engine}-{method}")
    for engine in [each for each in ENGINES if not each.startswith("native")]
    + [e for e in ENGINES if "native" in e][-1:]
    for method in dispatch.load("gillespie", engine.partition("/")[0]).METHODS
]
every_method = pytest.mark.parametrize(("engine", "method"), VARIANTS)
T = np.arange(0.0, 11.0)


def model(folder, body, *, species=None, parameters=None, reactions=()):
    """An SBML file from infix formulas: body is a list of functions of the libSBML model."""
    libsbml = pytest.importorskip("libsbml", reason="needs python-libsbml")
    document = libsbml.SBMLDocument(3, 2)
    made = document.createModel()
    compartment = made.createCompartment()
    compartment.setId("cell")
    compartment.setSize(2)
    compartment.setConstant(True)
    for name, count in (species or {"A": 5, "B": 0}).items():
        each = made.createSpecies()
        each.setId(name)
        each.setCompartment("cell")
        each.setInitialAmount(count)
        each.setHasOnlySubstanceUnits(not name.endswith("c"))
        each.setBoundaryCondition(name.startswith("fixed"))
        each.setConstant(False)
    for name, value in (parameters or {"k": 1.0, "x": 0.0}).items():
        each = made.createParameter()
        each.setId(name)
        each.setValue(value)
        each.setConstant(False)
    for j, (left, right, law) in enumerate(reactions):
        each = made.createReaction()
        each.setId(f"r{j}")
        each.setReversible(False)
        for create, names in ((each.createReactant, left), (each.createProduct, right)):
            for name in names:
                reference = create()
                reference.setSpecies(name)
                reference.setStoichiometry(1)
                reference.setConstant(True)
        each.createKineticLaw().setMath(libsbml.parseL3Formula(law))
    for add in body:
        add(made, libsbml.parseL3Formula)
    path = folder / "model.xml"
    libsbml.writeSBMLToFile(document, str(path))
    return g.read_sbml(path)


def event(trigger, assignments, *, delay=None, priority=None, initial=True, persistent=True, early=True, name="e"):
    def add(made, formula):
        each = made.createEvent()
        each.setId(name)
        each.setUseValuesFromTriggerTime(early)
        when = each.createTrigger()
        when.setMath(formula(trigger))
        when.setInitialValue(initial)
        when.setPersistent(persistent)
        for text, create in ((delay, each.createDelay), (priority, each.createPriority)):
            if text is not None:
                create().setMath(formula(text))
        for target, text in assignments.items():
            assignment = each.createEventAssignment()
            assignment.setVariable(target)
            assignment.setMath(formula(text))

    return add


def rule(kind, variable, text):
    def add(made, formula):
        each = getattr(made, f"create{kind}")()
        (each.setSymbol if kind == "InitialAssignment" else each.setVariable)(variable)
        each.setMath(formula(text))

    return add


def run(engine, method, net, t=T, **keywords):
    with cases.engine(engine):
        return g.simulate(net, t, method=method, **({"seed": 1} | keywords))


WITHOUT_REACTIONS = [
    ([event("time >= 3", {"A": "7"})], {"A": [5] * 3 + [7] * 8}),
    ([event("time > 3", {"A": "7"})], {"A": [5] * 3 + [7] * 8}),
    ([event("3.5 < time", {"A": "A + 2"})], {"A": [5] * 4 + [7] * 7}),
    ([event("time >= 10", {"A": "0"})], {"A": [5] * 10 + [0]}),
    ([event("time >= 0", {"A": "9"}, initial=False)], {"A": [9] * 11}),
    ([event("time >= 0", {"A": "9"}, initial=True)], {"A": [5] * 11}),
    ([event("A > 3", {"A": "1"}, initial=False)], {"A": [1] * 11}),
    ([event("time >= 2", {"B": "B + 1"}, initial=False)], {"B": [0] * 2 + [1] * 9}),
    ([event("time >= 2", {"A": "A + B"}, delay="3")], {"A": [5] * 11}),
    ([event("time >= 2", {"A": "B + 1"}, delay="3"), event("time >= 4", {"B": "10"}, name="f")],
     {"A": [5] * 5 + [1] * 6, "B": [0] * 4 + [10] * 7}),
    ([event("time >= 2", {"A": "B + 1"}, delay="3", early=False), event("time >= 4", {"B": "10"}, name="f")],
     {"A": [5] * 5 + [11] * 6}),
    ([event("time >= 2 && B < 1", {"A": "1"}, delay="3", persistent=False),
      event("time >= 4", {"B": "10"}, name="f")], {"A": [5] * 11, "B": [0] * 4 + [10] * 7}),
    ([event("time >= 2 && B < 1", {"A": "1"}, delay="3"), event("time >= 4", {"B": "10"}, name="f")],
     {"A": [5] * 5 + [1] * 6}),
    ([event("time >= 2", {"A": "A * 2"}, priority="1"), event("time >= 2", {"A": "A + 1"}, priority="2", name="f")],
     {"A": [5] * 2 + [10] * 9}),
    ([event("time >= 2", {"A": "A * 2"}, priority="1", early=False),
      event("time >= 2", {"A": "A + 1"}, priority="2", name="f", early=False)], {"A": [5] * 2 + [12] * 9}),
    ([event("time >= 2", {"x": "2.5"}), event("x > 2", {"B": "4"}, name="f")], {"B": [0] * 2 + [4] * 9}),
    ([event("time >= x + 6", {"B": "4"}), event("time >= 2", {"x": "2"}, name="f")], {"B": [0] * 8 + [4] * 3}),
    ([event("time >= 4 && time < 4.5", {"B": "B + 1"}), event("B >= 1", {"A": "0"}, delay="2", name="f")],
     {"A": [5] * 6 + [0] * 5, "B": [0] * 4 + [1] * 7}),
]  # fmt: skip


@every_method
@pytest.mark.parametrize(("body", "expected"), WITHOUT_REACTIONS)
def test_events_without_reactions(tmp_path, engine, method, body, expected):
    net = model(tmp_path, body)
    res = run(engine, method, net)
    for name, counts in expected.items():
        assert res.counts[0, :, net.species.index(name)].tolist() == counts
    assert res.events.sum() == 0


@every_method
def test_an_event_of_a_count_comes_with_its_reaction(tmp_path, engine, method):
    """A decays to 2 and is set to 5 again: it is never seen below 3, and B counts how often."""
    body = [event("A <= 2", {"A": "5", "B": "B + 1"})]
    net = model(tmp_path, body, reactions=[(["A"], [], "k * A")], species={"A": 5, "B": 0})
    res = run(engine, method, net, np.linspace(0, 10, 200), n=20)
    assert set(np.unique(res.counts[:, :, 0])) == {3, 4, 5}
    np.testing.assert_array_equal(res.fired[:, 0], 5 - res.counts[:, -1, 0] + 3 * res.counts[:, -1, 1])


@every_method
def test_a_rate_that_an_event_changes(tmp_path, engine, method):
    """Decay at 0.2 until 3, then at 1; a reset of a clock forgets nothing else."""
    body = [event("time >= 3", {"k": "k * 5"})]
    net = model(
        tmp_path, body, reactions=[(["A"], [], "k * A")], species={"A": 100, "B": 0}, parameters={"k": 0.2, "x": 0}
    )
    n = 4000 if engine.startswith("native") else 120
    left = run(engine, method, net, [3.0, 4.0], n=n).counts[:, :, 0]
    p = np.exp([-0.6, -1.6])
    assert np.all(np.abs(left.mean(0) - 100 * p) < 4.5 * np.sqrt(100 * p * (1 - p) / n))


def test_equal_priorities_take_a_random_order(tmp_path):
    body = [
        event("time >= 2", {"A": "A * 2"}, early=False),
        event("time >= 2", {"A": "A + 1"}, early=False, name="f"),
    ]
    for engine in ENGINES:
        counts = run(engine, "auto", model(tmp_path, body), n=200).counts[:, -1, 0]
        assert set(counts.tolist()) == {11, 12}
        assert abs((counts == 11).mean() - 0.5) < 4.5 * 0.5 / np.sqrt(200)


def test_events_that_are_none(tmp_path):
    for engine in ENGINES:
        with pytest.raises(ValueError, match=r"an event must assign .* whole one; got 2.5 for 'A' at"):
            run(engine, "auto", model(tmp_path, [event("time >= 2", {"A": "2.5"})]))
        restless = [event("A > 4", {"A": "0"}), event("A < 1", {"A": "5"}, name="f")]
        with pytest.raises(ValueError, match="events must come to rest"):
            run(
                engine,
                "auto",
                model(tmp_path, restless, species={"A": 0, "B": 0}, reactions=[([], ["A"], "1")]),
                [50.0],
            )
    for trigger, words in {
        "tan(time) > 0": "'tan", "time * 2 > 3": "must compare the time itself with parameters",
        "time > A": "must compare the time itself with parameters", "time": "must use the time in comparisons alone",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=words):
            g.simulate(model(tmp_path, [event(trigger, {"A": "2"})]), [1.0])
    with pytest.raises(ValueError, match="event 'e' assigns to 'cell', which is not supported"):
        model(tmp_path, [event("time > 1", {"cell": "2"})])
    with pytest.raises(ValueError, match="net must have no events, which a log cannot hold; got 'e'"):
        g.simulate_events(model(tmp_path, [event("time > 1", {"A": "2"})]), 1.0)


def test_rules_and_assignments(tmp_path):
    body = [
        rule("InitialAssignment", "A", "x * 4"), rule("InitialAssignment", "x", "k + 1"),
        rule("InitialAssignment", "Cc", "x"), rule("AssignmentRule", "fixedY", "2 * A + total"),
        rule("AssignmentRule", "total", "Cc + k"),
    ]  # fmt: skip
    species, parameters = {"A": 5, "Cc": 0, "fixedY": 0}, {"k": 1.0, "x": 0.0, "total": 0.0}
    net = model(tmp_path, body, species=species, parameters=parameters, reactions=[(["A"], [], "fixedY / 10")])
    assert net.species == ("A", "Cc")
    assert net.initial.tolist() == [8, 4]
    res = g.simulate(net, [0.0, 1.0], n=50, seed=1)
    np.testing.assert_array_equal(res.assigned["total"], res.counts[:, :, 1] / 2 + 1)
    np.testing.assert_array_equal(res.assigned["fixedY"], 2 * res.counts[:, :, 0] + res.assigned["total"])
    with pytest.raises(ValueError, match="must not depend on itself"):
        model(tmp_path, [rule("AssignmentRule", "x", "k + x")])
    with pytest.raises(ValueError, match="'x' must be a formula of known numbers"):
        model(tmp_path, [rule("InitialAssignment", "x", "x + 1")])
    with pytest.raises(ValueError, match="rateRule 'A' is not supported"):
        model(tmp_path, [rule("RateRule", "A", "k")])
    with pytest.raises(ValueError, match="must be a linear formula of 'x' itself"):
        model(tmp_path, [rule("RateRule", "x", "exp(x)")])


def test_rate_rules_of_parameters(tmp_path):
    for slope, expected in ("k", 1 + 3 * T), ("-k * x", np.exp(-3 * T)), ("2 - x", 2 - np.exp(-T)):
        body = [rule("RateRule", "x", slope), rule("AssignmentRule", "y", "x")]
        net = model(tmp_path, body, parameters={"k": 3.0, "x": 1.0, "y": 0.0})
        np.testing.assert_allclose(g.simulate(net, T, seed=1).assigned["y"][0], expected, rtol=1e-13)


def test_functions_and_pieces(tmp_path):
    libsbml = pytest.importorskip("libsbml", reason="needs python-libsbml")

    def define(made, formula):
        each = made.createFunctionDefinition()
        each.setId("f")
        each.setMath(libsbml.parseL3Formula("lambda(p, q, p * q + 1)"))

    laws = ["f(A, k)", "piecewise(3, A > 7, 2, A == 5, 1)", "log10(100) + ln(exp(2)) + sqrt(16) + root(3, 8)",
            "piecewise(1, !(A >= 5 || B < 0) && k != 1, 7)"]  # fmt: skip
    net = model(tmp_path, [define], reactions=[(["A"], [], law) for law in laws])
    reference = dispatch.load("gillespie", "reference")
    np.testing.assert_allclose(reference.propensities(net.arrays, net.initial), [6, 2, 10, 7], rtol=1e-14)


@every_method
def test_until_gives_first_passage_times(engine, method):
    """Pure birth: the time of the fifth event is Gamma distributed; extinction of pure death is a known law."""
    n = 3000 if engine.startswith("native") else 150
    births = g.ReactionNetwork({"A": 0, "B": 0}, ["0 -> A @ 2", "0 -> B @ 1"], {"limit": 5})
    res = run(engine, method, births, [1.0, 1000.0], n=n, until="A >= limit")
    assert stats.kstest(res.stopped, stats.gamma(5, scale=0.5).cdf).pvalue > 1e-4
    assert np.all(res.counts[:, 1, 0] == 5)
    assert np.all(res.counts[res.stopped < 1, 0] == res.counts[res.stopped < 1, 1])
    assert np.all(res.fired[:, 0] == 5)
    deaths = g.ReactionNetwork({"A": 3}, ["A -> 0 @ 1"])
    res = run(engine, method, deaths, [1.5], n=n, until="not A")
    gone = (1 - np.exp(-1.5)) ** 3
    assert abs(np.isfinite(res.stopped).mean() - gone) < 4.5 * np.sqrt(gone * (1 - gone) / n)
    np.testing.assert_array_equal(np.isinf(res.stopped), res.counts[:, 0, 0] > 0)
    assert run(engine, method, deaths, [1.5], until="A == 3").stopped.tolist() == [0.0]
    assert run(engine, method, deaths, [1.5]).stopped is None


def test_until_does_not_depend_on_threads_or_executors():
    from concurrent.futures import ThreadPoolExecutor

    net = g.example("toggle")
    with ThreadPoolExecutor(2) as executor:
        results = [
            g.simulate(net, [1.0, 5.0], n=50, seed=3, until=f"{net.species[0]} >= 3", threads=threads, executor=pool)
            for threads, pool in ((1, None), (3, None), (1, executor))
        ]
    assert all(cases.largest_difference(each, results[0]) == 0 for each in results[1:])
