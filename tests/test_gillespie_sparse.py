"""Networks of tens of thousands of reactions: nothing is dense, and nothing is searched from the start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import kxfast as kx

g = kx.gillespie
COMPILED = "native" in kx.available("gillespie.simulate")
S, R = (20_000, 60_000) if COMPILED else (200, 600)


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(0)
    places = rng.integers(S, size=(R, 3)).tolist()
    texts = [
        f"X{a} + X{b} -> X{c} @ {1 + j % 7}" if j % 3 else f"X{a} -> X{b} + X{c} @ 0.5"
        for j, (a, b, c) in enumerate(places)
    ]
    return g.ReactionNetwork({f"X{i}": 10 for i in range(S)}, texts)


def test_sixty_thousand_reactions(large):
    log = g.simulate_events(large, max_events=2000, seed=1)
    assert len(log) == 2000
    assert np.all(log.counts()[-1] >= 0)
    np.testing.assert_array_equal(log.counts()[-1] - large.initial, large.changes[log.reaction].sum(axis=0))
    again = g.from_arrays(large.species, large.initial, *(sparse_side(large, side) for side in (0, 1)), large.rates)
    assert again.reactions == large.reactions
    np.testing.assert_array_equal(g.simulate_events(again, max_events=2000, seed=1).times, log.times)


def sparse_side(net, which):
    side = net.sides[which]
    return sparse.csc_array((side.counts, (side.reactions, side.species)), shape=(len(net.rates), len(net.species)))


def test_sparse_and_dense_arrays_are_the_same_network():
    rng = np.random.default_rng(1)
    sides = rng.integers(0, 3, (2, 30, 8)) * (rng.random((2, 30, 8)) < 0.3)
    names = [f"X{i}" for i in range(8)]
    dense = g.from_arrays(names, [9] * 8, *sides, np.ones(30))
    doubled = [sparse.coo_array((np.r_[x[x > 0], x[x > 0]], np.hstack([np.nonzero(x)] * 2)), x.shape) for x in sides]
    twice = g.from_arrays(names, [9] * 8, *doubled, np.ones(30))  # entries at the same place are added
    found = g.from_arrays(names, [9] * 8, *map(sparse.csr_array, sides), np.ones(30))
    np.testing.assert_array_equal(dense.reactants, sides[0])
    np.testing.assert_array_equal(dense.changes.toarray(), sides[1] - sides[0])
    assert found.reactions == dense.reactions
    np.testing.assert_array_equal(twice.products, 2 * sides[1])
    with pytest.raises(ValueError, match=r"products must have shape \(30, 8\) to match 30 rates and 8 species"):
        g.from_arrays(names, [9] * 8, sides[0], sparse.csr_array(sides[1].T), np.ones(30))
    with pytest.raises(ValueError, match="reactants must be at least 0; got -1"):
        g.from_arrays(names, [9] * 8, sparse.csr_array(-sides[0].clip(0, 1)), sides[1], np.ones(30))
