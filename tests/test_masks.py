"""Masks: their rules, their algebra, their pictures."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

import kxfast as kx

m = kx.masks
B, H, L = 2, 3, 6


@pytest.fixture
def rng():
    return np.random.default_rng(17)


SEGMENTS = np.array([[0, 0, 1, 1, 1, 0], [0, 1, 1, 0, 0, 1]])
IDS = np.array([[0, 0, 0, 1, 1, 2], [5, 5, -1, -1, 7, 7]])
ORDER = np.array([[3, 0, 2, 1, 5, 4], [5, 4, 3, 2, 1, 0]])
REAL = np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0]], bool)
LAYOUT = np.array([[1, 0], [1, 1]], bool)
DENSE = np.random.default_rng(1).random((B, 1, L, L)) < 0.5
COUNT = SEGMENTS.cumsum(1)


def checkered(b, h, i, j):
    return (b + h + i) % 2 == j % 2 and j < i


RULES = {
    "causal": (m.causal(), lambda b, h, i, j: j <= i),
    "lengths": (m.padding([4, 0]), lambda b, h, i, j: j < (4, 0)[b]),
    "one length": (m.padding(5), lambda b, h, i, j: j < 5),
    "real": (m.padding(REAL), lambda b, h, i, j: REAL[b, j]),
    "real 0/1": (m.padding(REAL.astype(int)), lambda b, h, i, j: REAL[b, j]),
    "shared real": (m.padding(REAL[0]), lambda b, h, i, j: REAL[0, j]),
    "unilm": (m.unilm(SEGMENTS), lambda b, h, i, j: COUNT[b, j] <= COUNT[b, i]),
    "shared unilm": (m.unilm(SEGMENTS[0]), lambda b, h, i, j: COUNT[0, j] <= COUNT[0, i]),
    "prefix": (m.prefix_lm([2, 4]), lambda b, h, i, j: j < (2, 4)[b] or j <= i),
    "window": (m.sliding_window(2, 1), lambda b, h, i, j: i - 2 <= j <= i + 1),
    "documents": (m.documents(IDS), lambda b, h, i, j: IDS[b, i] == IDS[b, j]),
    "permutation": (m.permutation(ORDER), lambda b, h, i, j: ORDER[b, j] < ORDER[b, i]),
    "content": (m.permutation(ORDER, include_self=True), lambda b, h, i, j: ORDER[b, j] <= ORDER[b, i]),
    "strided": (m.strided(3), lambda b, h, i, j: (i - j) % 3 == 0),
    "blocks": (m.block_sparse(LAYOUT, 4), lambda b, h, i, j: LAYOUT[i // 4, j // 4]),
    "dense": (m.dense(DENSE), lambda b, h, i, j: DENSE[b, 0, i, j]),
    "function": (m.function(checkered), checkered),
}
MASKS = [mask for mask, _ in RULES.values()]


def full(mask):
    return mask.to_dense(B, H, L, L)


@pytest.mark.parametrize("name", RULES)
def test_each_mask_is_its_rule(name):
    mask, rule = RULES[name]
    expected = np.array(
        [[[[bool(rule(b, h, i, j)) for j in range(L)] for i in range(L)] for h in range(H)] for b in range(B)]
    )
    np.testing.assert_array_equal(full(mask), expected)
    assert mask.density(B, H, L, L) == pytest.approx(expected.mean())
    np.testing.assert_array_equal(full(m.function(rule)), expected)


# Laws


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(MASKS, 2)))
def test_algebra_is_that_of_dense_arrays(a, b):
    np.testing.assert_array_equal(full(a & b), full(a) & full(b))
    np.testing.assert_array_equal(full(a | b), full(a) | full(b))
    np.testing.assert_array_equal(full(~(a & b)), full(~a | ~b))  # De Morgan
    np.testing.assert_array_equal(full(~(a | b)), full(~a & ~b))


@pytest.mark.parametrize("mask", MASKS)
def test_complements(mask):
    np.testing.assert_array_equal(full(~~mask), full(mask))
    assert full(mask | ~mask).all()
    assert not full(mask & ~mask).any()
    assert mask.density(B, H, L, L) + (~mask).density(B, H, L, L) == pytest.approx(1)


@pytest.mark.parametrize("q_len", [0, 1, 4])
@pytest.mark.parametrize("name", [name for name in RULES if name not in ("blocks", "dense", "function")])
def test_fewer_queries_are_the_last_ones(name, q_len):
    mask = RULES[name][0]
    np.testing.assert_array_equal(mask.to_dense(B, H, q_len, L), full(mask)[:, :, L - q_len :])


def test_the_other_alignment_takes_the_first_queries():
    for make in m.causal, lambda align: m.sliding_window(2, 1, align=align), lambda align: m.strided(3, align=align):
        np.testing.assert_array_equal(make(align="start").to_dense(B, H, 4, L), full(make(align="end"))[:, :, :4])


def test_causal_with_more_queries_than_keys():
    assert m.causal().to_dense(1, 1, 3, 2)[0, 0].astype(int).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert m.causal("start").to_dense(1, 1, 3, 2)[0, 0].astype(int).tolist() == [[1, 0], [1, 1], [1, 1]]


def test_masks_that_are_the_same():
    same = lambda a, b: np.testing.assert_array_equal(full(a), full(b))
    same(m.unilm([1] * L), m.causal())
    same(m.unilm([0] * L), m.padding(L))
    same(m.unilm([0, 0, 1, 1, 1, 1]), m.prefix_lm(2))
    same(m.prefix_lm(0), m.causal())
    same(m.permutation(np.arange(L), include_self=True), m.causal())
    same(m.sliding_window(L), m.causal())
    same(m.sliding_window(0), m.documents(np.arange(L)))
    same(m.strided(1), m.padding(L))
    same(m.block_sparse(full(m.causal())[0, 0], 1), m.causal())
    same(m.permutation(ORDER) | m.sliding_window(0), m.permutation(ORDER, include_self=True))


def test_permutation_is_causal_after_sorting():
    place = np.argsort(ORDER[0])
    dense = m.permutation(ORDER[0], include_self=True).to_dense(1, 1, L, L)[0, 0]
    np.testing.assert_array_equal(dense[place][:, place], m.causal().to_dense(1, 1, L, L)[0, 0])


def test_sparse_attention_counts_each_pair_once():
    dense = (m.strided(3) | m.sliding_window(2, 2)).to_dense(1, 1, 9, 9)[0, 0]
    offsets = np.subtract.outer(np.arange(9), np.arange(9))
    np.testing.assert_array_equal(dense, (offsets % 3 == 0) | (abs(offsets) < 3))


# Intervals


def some_mask(rng, b, q, k, depth):
    kind = rng.integers(3)
    if depth and kind == 0:
        return some_mask(rng, b, q, k, depth - 1) & some_mask(rng, b, q, k, depth - 1)
    if depth and kind == 1:
        return some_mask(rng, b, q, k, depth - 1) | some_mask(rng, b, q, k, depth - 1)
    if depth:
        return ~some_mask(rng, b, q, k, depth - 1)
    align = str(rng.choice(["end", "start"]))
    choices = (
        lambda: m.causal(align),
        lambda: m.sliding_window(*rng.integers(0, 5, 2).tolist(), align=align),
        lambda: m.padding(rng.integers(0, k + 2, b)),
        lambda: m.padding(rng.random((b, k)) < 0.8),
        lambda: m.unilm(rng.integers(0, 2, (b, k))),
        lambda: m.prefix_lm(rng.integers(0, k + 1, b)),
        lambda: m.documents(np.sort(rng.integers(0, 4, (b, k)), 1)),
        lambda: m.documents(rng.integers(0, 3, k)),
    )
    return choices[rng.integers(len(choices))]()


@pytest.mark.parametrize("seed", range(8))
def test_intervals_are_the_pattern(seed):
    rng = np.random.default_rng(seed)
    told = 0
    for _ in range(150):
        b, k = (int(rng.integers(1, n)) for n in (4, 12))
        q = int(rng.integers(0, k + 1))
        mask = some_mask(rng, b, q, k, int(rng.integers(3)))
        found = mask.key_intervals(b, 2, q, k)
        if found is not None:
            told += 1
            start, stop, start2, stop2 = np.moveaxis(found[..., None], 3, 0)
            key = np.arange(k)
            pattern = ((start <= key) & (key < stop)) | ((start2 <= key) & (key < stop2))
            np.testing.assert_array_equal(np.broadcast_to(pattern, (b, 2, q, k)), mask.to_dense(b, 2, q, k), repr(mask))
    assert told > 60


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (m.causal() & m.documents([0, 0, 1, 1, 1, 2]) & m.padding(5), True),
        (~m.sliding_window(1, 1), True),
        (m.documents([0, 1, 0, 1, 1, 1]), False),
        (m.padding([True, False, True, False, True, False]), False),
        (m.strided(2), False),
    ],
    ids=str,
)
def test_which_masks_are_intervals(mask, told):
    assert (mask.key_intervals(1, 1, 6, 6) is not None) == told


# Values


@pytest.mark.parametrize("mask", MASKS)
def test_patterns_are_small_and_broadcast(mask):
    pattern = mask.pattern(B, H, L, L)
    assert pattern.dtype == bool
    assert pattern.ndim == 4
    np.testing.assert_array_equal(np.broadcast_to(pattern, (B, H, L, L)), full(mask))


def test_a_mask_keeps_its_own_copy_and_cannot_change():
    ids = np.array([0, 0, 1, 1, 1, 1])
    mask = m.documents(ids)
    before = full(mask)
    ids[:] = 0
    np.testing.assert_array_equal(full(mask), before)
    with pytest.raises(ValueError, match="read-only"):
        mask.ids[0] = 3
    with pytest.raises(AttributeError):
        mask.ids = ids
    dense = mask.to_dense(B, H, L, L)
    dense[:] = False  # the caller's own
    np.testing.assert_array_equal(full(mask), before)


def test_memory_of_a_mask_grows_with_the_length_alone():
    n = 100_000
    ids = np.zeros(n, int)
    mask = (m.causal() & m.unilm(ids) & m.documents(ids)) | (m.sliding_window(9) & ~m.permutation(np.arange(n)))
    assert len(pickle.dumps(mask)) < 40 * n
    assert m.padding(n).density(1, 1, n, n) == 1  # a pattern of (1, 1, 1, n)


@pytest.mark.parametrize("mask", MASKS)
def test_masks_can_be_sent_to_other_processes(mask):
    np.testing.assert_array_equal(full(pickle.loads(pickle.dumps(~mask))), ~full(mask))


def test_a_mask_shows_how_it_was_made():
    mask = (m.causal(align="start") | m.padding([3, 5])) & ~(m.sliding_window(2) & m.strided(4))
    assert (
        repr(mask) == "(causal(align='start') | padding(lengths=[3 5])) & ~(sliding_window(left=2) & strided(rate=4))"
    )
    assert repr(m.unilm(np.zeros((2, 50), int))) == "unilm(counts=<2 x 50>)"


def test_density_of_no_pairs_is_zero():
    assert m.causal().density(2, 2, 0, 5) == 0
    assert m.causal().to_dense(0, 2, 3, 5).shape == (0, 2, 3, 5)


# Pictures


def test_a_picture_shows_the_pattern():
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    mask = m.permutation([1, 0, 2])
    ax = mask.plot(1, 2, 3, 3, head=1, labels="abc")
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 1, 0], [2, 2, 2], [1, 1, 0]])
    assert repr(mask) in ax.get_title()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]
    assert ax.get_xlabel() == "key j"
    again = m.causal().plot(1, 1, 60, 60, ax=ax)
    assert again is ax
    pyplot.close("all")
