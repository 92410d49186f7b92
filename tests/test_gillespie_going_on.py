"""Going on with SBML events: what is due, what triggers were and what events have changed is part of a result."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import stats
from test_gillespie_events import ENGINES, WITHOUT_REACTIONS, T, event, every_method, model, run

import kxfast as kx
from kxfast import cases

g = kx.gillespie
CUTS = (0.0, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0, 7.0)


def in_parts(engine, method, net, t, cuts, **keywords):
    """A run that is paused at each of some times, as a file."""
    edges = [*(cut for cut in sorted(set(cuts)) if cut < t[-1]), t[-1]]
    res = None
    for low, high in zip([-1.0, *edges[:-1]], edges, strict=True):
        inner = [x for x in t if low < x < high]
        res = pickle.loads(pickle.dumps(res))
        later = run(engine, method, net, [*inner, high], start=res, **keywords)
        res = later if res is None else res.joined(later)
    return res


def random_model(folder):
    """Births until 6 are there; a while later, which depends on B, they go and B counts how often, if still so many.

    While B is odd another event waits to make births faster, with the rate of the time when B became odd.
    """
    body = [
        event("A >= 6", {"A": "A - 6", "B": "B + 1"}, delay="0.2 + 0.1 * B", persistent=False, early=False),
        event("B == 1 || B == 3", {"k": "k + 1 + A"}, delay="0.35", name="faster", priority="2"),
        event("time > 2.5", {"k": "k / 2"}, delay="0.4", name="slower", priority="A"),
    ]
    return model(
        folder, body, species={"A": 3, "B": 0}, parameters={"k": 6.0, "x": 0.0},
        reactions=[([], ["A"], "k"), (["A"], [], "0.4 * A")],
    )  # fmt: skip


@every_method
@pytest.mark.parametrize(("body", "expected"), WITHOUT_REACTIONS)
def test_a_cut_changes_nothing_that_is_not_random(tmp_path, engine, method, body, expected):
    net = model(tmp_path, body)
    for cuts in [(cut,) for cut in CUTS] + [CUTS, tuple(T)]:
        res = in_parts(engine, method, net, T, cuts)
        at = np.searchsorted(res.t, T)
        for name, counts in expected.items():
            assert res.counts[0, at, net.species.index(name)].tolist() == counts, cuts


@every_method
def test_a_cut_has_the_law_of_an_uninterrupted_run(tmp_path, engine, method):
    net = random_model(tmp_path)
    t, n = [1.0, 2.6, 4.0], 12000 if engine.startswith("native") else 250
    whole = run(engine, method, net, t, n=n)
    cut = in_parts(engine, method, net, t, (0.7, 1.6, 2.6, 2.7, 3.1), n=n, seed=2)
    cut_counts = cut.counts[:, np.searchsorted(cut.t, t)]
    assert distance(whole, replace(cut, counts=cut_counts)) > 1e-4
    assert len(whole.state.due) > n / 20  # much is on its way
    np.testing.assert_array_equal(
        np.diff(whole.state.begin), [len(x) for x in np.split(whole.state.due, whole.state.begin[1:-1])]
    )


def distance(a, b):
    """The p-value of one law for (A, B) at the last time, k there, and the number of events."""
    tables = []
    for res in (a, b):
        odd = np.round(res.state.values[:, 0] * 4).astype(int)
        tables.append(res.counts[:, -1, 1] * 100000 + np.minimum(res.counts[:, -1, 0], 9) * 1000 + np.minimum(odd, 999))
    cells, both = np.unique(np.concatenate(tables), return_inverse=True)
    table = np.array([np.bincount(part, minlength=len(cells)) for part in np.split(both, [len(a.counts)])])
    rare = table.sum(0) < 20
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(1)]) if rare.any() else table
    return stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue


def test_forgetting_any_part_is_found(tmp_path):
    """The test above sees what is lost: delayed events, their values, truths and variables."""
    net, n = random_model(tmp_path), 12000
    engine = ENGINES[0]
    if not engine.startswith("native"):
        pytest.skip("the compiled module is not built")
    whole = run(engine, "direct", net, [4.0], n=n)
    first = run(engine, "direct", net, [2.7], n=n, seed=2)
    state = first.state
    none = np.array([], np.int64)
    losses = {
        "nothing": state,
        "delayed events": replace(
            state, begin=np.zeros(n + 1, np.int64), due=none.astype(float), which=none, taken=np.zeros((0, 2))
        ),
        "values": replace(state, taken=np.zeros_like(state.taken)),
        "truth": replace(state, truth=np.zeros_like(state.truth)),
        "variables": replace(state, values=np.full_like(state.values, 6.0)),
    }
    found = {
        lost: distance(run(engine, "direct", net, [4.0], start=replace(first, state=each), seed=3), whole)
        for lost, each in losses.items()
    }
    assert found.pop("nothing") > 1e-4
    assert max(found.values()) < 1e-6, found


def test_going_on_does_not_depend_on_threads_or_executors(tmp_path):
    net = random_model(tmp_path)
    engines = [engine for engine in ENGINES if engine.startswith("native")] or ENGINES
    expected = first_expected = None
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for engine in engines:
            for keywords in ({"threads": 1}, {"threads": 3}, {"executor": threads}, {"executor": processes}):
                first = run(engine, "direct", net, [2.7], n=40, **keywords)
                last = run(engine, "direct", net, [3.0, 4.0], start=first, until="B >= 4", **keywords)
                expected, first_expected = expected or last, first_expected or first
                for found, like in ((first, first_expected), (last, expected)):
                    assert cases.largest_difference(found, like) == 0
                    for a, b in zip(found.state.arrays, like.state.arrays, strict=True):
                        np.testing.assert_array_equal(a, b)


@every_method
def test_going_on_until(tmp_path, engine, method):
    """First-passage times of a run in parts have the law of those of one run, and what has ended stays ended."""
    net, n = random_model(tmp_path), 3000 if engine.startswith("native") else 150
    whole = run(engine, method, net, [5.0], n=n, until="B >= 2").stopped
    cut = in_parts(engine, method, net, [5.0], (0.7, 1.6, 2.6, 2.7, 3.1), n=n, seed=2, until="B >= 2")
    gone = np.isfinite(cut.stopped)
    assert gone.sum() > n / 3
    assert stats.ks_2samp(whole[np.isfinite(whole)], cut.stopped[gone]).pvalue > 1e-4
    assert abs(gone.mean() - np.isfinite(whole).mean()) < 4.5 * np.sqrt(0.5 / n)
    np.testing.assert_array_equal(cut.counts[gone, -1, 1], 2)
    for i in np.flatnonzero(gone)[:50]:
        after = cut.counts[i, cut.t >= cut.stopped[i]]
        assert np.all(after == after[0])


@every_method
def test_results_say_what_is_delayed(tmp_path, engine, method):
    net = model(
        tmp_path, [event("time >= 2", {"A": "A + 2", "x": "7"}, delay="3"), event("time > 1", {"k": "3"}, name="f")]
    )
    res = run(engine, method, net, [2.5], n=2)
    assert repr(res) == "Trajectories(2 trajectories, 1 times, 2 species, 0 events, 2 of the model delayed)"
    assert repr(res.state) == "EventState(2 trajectories, 2 events, 2 variables, 2 delayed events)"
    assert res.state.events == ("e", "f")
    assert res.state.variables == ("k", "x")
    assert res.state.values.tolist() == [[3, 0]] * 2
    assert res.state.truth.tolist() == [[True, True]] * 2
    assert res.state.begin.tolist() == [0, 1, 2]
    assert res.state.due.tolist() == [5, 5]
    assert res.state.which.tolist() == [0, 0]
    assert res.state.taken.tolist() == [[7, 7]] * 2
    assert run(engine, method, net, [5.0], start=res).state.values.tolist() == [[3, 7]] * 2


def test_wrong_states(tmp_path):
    net = model(tmp_path, [event("time >= 2", {"A": "2"}, delay="3")])
    bare = g.ReactionNetwork({"A": 5, "B": 0}, ["A -> 0 @ 1"])
    res = g.simulate(net, [2.5], n=3)

    def wrong(words, start, of=net):
        with pytest.raises(ValueError, match=words):
            g.simulate(of, [4.0], start=start)

    wrong(
        "start must be a result of the network it goes on with, which has events 'e'; got none", g.simulate(bare, [1.0])
    )
    wrong("which has no events; got events 'e'", res, bare)
    wrong(
        "start must hold the events of its 3 trajectories as simulate returned them",
        replace(res, state=replace(res.state, which=res.state.which + 1)),
    )
    wrong("start must hold the events of its 2 trajectories", replace(res, counts=res.counts[:2]))
