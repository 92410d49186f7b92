"""Attention by Hopper's warp groups, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF, agree, agree_back, inputs, plant, there
from cuda_emulation import GpuArray, LaunchError, emulated

import kxfast as kx
from kxfast import masks
from kxfast.backends.cuda import attention_plan
from kxfast.cases.attention import _every_mask

MASKS = _every_mask(np.random.default_rng(3), 150, 290)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_in_any_order_of_threads(rng, name):
    agree(inputs(rng, BRAIN, 1, 2, 1, 150, 290, 16, 16), MASKS[name], warp_groups=True)


# Head sizes of one panel, of two, of four; not whole panels, not whole steps of depth; values in one product or two.
@pytest.mark.parametrize(
    ("kind", "d", "dv"),
    [(HALF, 64, 64), (BRAIN, 128, 128), (HALF, 40, 24), (BRAIN, 80, 136), (BRAIN, 256, 200), (HALF, 8, 256)],
    ids=str,
)
def test_all_head_sizes(rng, kind, d, dv):
    mask = masks.causal() & masks.padding([140, 0])
    agree(inputs(rng, kind, 2, 2, 1, 70, 150, d, dv), mask, orders=range(1, 3), warp_groups=True)
    agree(inputs(rng, kind, 1, 4, 2, 129, 17, d, dv), orders=[2], scale=-0.3, warp_groups=True)


@pytest.mark.parametrize("shape", [(2, 2, 70, 200), (2, 70, 200), (70, 1), (1, 200), (2, 1, 1, 200), ()], ids=str)
def test_biases_of_every_shape(rng, shape):
    bias = rng.standard_normal(shape).astype(BRAIN)
    if shape[-1:] == (200,):
        bias[..., 3:9] = -np.inf
    agree(inputs(rng, BRAIN, 2, 2, 1, 70, 200, 16, 16), masks.causal(), bias=bias, orders=[1], warp_groups=True)


def test_what_stands_in_masked_pairs_goes_nowhere(rng):
    for kind in BRAIN, HALF:
        q, k, v = inputs(rng, kind, 1, 2, 1, 130, 300, 64, 64)
        k[..., 250:, :] = np.nan
        v[..., 250:270, :], v[..., 270:, :] = np.inf, -np.inf
        v[..., 0, 3] = np.nan  # allowed, for the first row alone
        first = masks.dense(np.arange(300) > 0) | masks.dense(np.arange(130)[:, None] == 0)
        agree((q, k, v), masks.padding(250) & first, warp_groups=True)
        bias = np.zeros((1, 300), kind)
        bias[0, 250:] = -np.inf
        k = rng.standard_normal(k.shape).astype(kind)
        agree((q, k, v), first, bias=bias, orders=[0], warp_groups=True)
        agree((q, k, v), masks.padding(250) & first, orders=[1], scale=0.0, warp_groups=True)
        v[..., 5, 2] = np.inf  # allowed for all
        agree((q, k, v), masks.padding(250), orders=[0], warp_groups=True)


def test_tiles_that_are_empty_are_never_touched(rng):
    """Their keys are not even read: they lie in memory that is none."""
    q, k, v = inputs(rng, HALF, 1, 1, 1, 100, 512, 64, 64)
    expected = kx.attention.scaled_dot_product_attention(q, k, v, mask=masks.padding(100), backend="reference")
    kept = [np.ascontiguousarray(x[:, :, :128]) for x in (k, v)]
    far = [GpuArray(np.lib.stride_tricks.as_strided(x, (1, 1, 512, 64), x.strides)) for x in kept]
    with emulated(orders=[0], warp_groups=True):
        found = kx.attention.scaled_dot_product_attention(there(q), *far, mask=masks.padding(100))
        nothing = kx.attention.scaled_dot_product_attention(there(q), *far, mask=masks.padding(0))
    np.testing.assert_allclose(found.memory.astype("f"), expected.astype("f"), atol=2e-3)
    assert not nothing.memory.any()


@pytest.mark.parametrize(
    ("kind", "d", "dv", "rows"),
    [(BRAIN, 64, 64, 64), (BRAIN, 12, 8, 200), (BRAIN, 8, 12, 200), (BRAIN, 264, 8, 200), (np.dtype("f"), 64, 64, 200)],
    ids=str,
)
def test_what_warp_groups_are_not_for_goes_the_other_way(rng, monkeypatch, kind, d, dv, rows):
    texts, write = [], attention_plan.text
    monkeypatch.setattr(attention_plan, "text", lambda *each: texts.append(write(*each)) or texts[-1])
    agree(inputs(rng, kind, 1, 1, 1, rows, 40, d, dv), orders=[0], warp_groups=True)
    assert ["attention_groups.cuh" in each for each in texts] == [False]


@pytest.mark.parametrize("name", MASKS)
def test_gradients_under_every_mask(rng, name):
    agree_back(inputs(rng, BRAIN, 1, 2, 1, 150, 290, 16, 16), MASKS[name], warp_groups=True)


@pytest.mark.parametrize(
    ("kind", "d", "dv"), [(HALF, 64, 64), (BRAIN, 128, 128), (HALF, 40, 104), (BRAIN, 80, 8), (BRAIN, 192, 16)], ids=str
)
def test_gradients_of_all_head_sizes(rng, kind, d, dv):
    mask = masks.causal() & masks.padding([140, 0])
    agree_back(inputs(rng, kind, 2, 4, 2, 70, 150, d, dv), mask, orders=range(1, 3), warp_groups=True)
    agree_back(inputs(rng, kind, 1, 2, 1, 129, 65, d, dv), orders=[2], scale=-0.3, warp_groups=True)


def test_gradients_with_a_bias(rng):
    bias = rng.standard_normal((2, 70, 200)).astype(BRAIN)
    bias[..., 3:9] = -np.inf
    arrays = inputs(rng, BRAIN, 2, 2, 1, 70, 200, 16, 16)
    agree_back(arrays, masks.causal(), bias=bias, orders=[1], warp_groups=True)
    agree_back(arrays, bias=bias[:1, :1], orders=[2], warp_groups=True)


@pytest.mark.parametrize("d", [64, 128])
def test_what_stands_in_masked_pairs_goes_into_no_gradient(rng, d):
    for kind in BRAIN, HALF:
        q, k, v = inputs(rng, kind, 1, 2, 1, 200, 300, d, d)
        grad = rng.standard_normal(q.shape).astype(kind)
        k[..., 250:, :], v[..., 250:, :] = np.nan, np.inf
        grad[:, 0, 150, 2] = np.nan
        q[..., 140, 5] = -np.nan  # these two rows may attend to the first key alone
        few = masks.dense(~np.isin(np.arange(200), (140, 150))[:, None]) | masks.dense(np.arange(300) == 0)
        agree_back((q, k, v), masks.padding(250) & few, grad, warp_groups=True, orders=[0, 2])


PLANTED = {
    "a tile told of too early": ("    copy_async_wait<1>();\n    tell", "    copy_async_wait<2>();\n    tell"),
    "a tile not waited for": ("    stages_[round % kStages].full.wait(parity_of(round));\n", ""),
    "a place written while it is read": ("      read.wait(before);\n", ""),
    "a turn that is not passed on": (
        "        rounds.pass_turn();\n        warp_group_wait<0>(sums.at[0]);\n        warp_group_wait<0>(s",
        "        warp_group_wait<0>(sums.at[0]);\n        warp_group_wait<0>(s",
    ),
    "scores read too early": ("warp_group_wait<0>(sums.at[0]);\n        warp_group_wait<0>(s.at[0]);\n", ""),
    "the last tiles are not told of": (
        "    copy_async_wait<0>();\n    tell(sent_);\n    if (thread_of_group() == 0) last",
        "    if (thread_of_group() == 0) last",
    ),
    "a wrong swizzle": ("(chunk ^ first % 8) * 8", "(chunk ^ first % 4) * 8"),
    "a wrong fragment": ("p.at[0][2 * k + i / 2][i % 2 * 2], p", "p.at[0][2 * k + i % 2][i / 2 * 2], p"),
    "values that are not looked through": ("ring.send(head.bias || !all)", "ring.send(false)"),
    "the other half's pairs": ("kept[kN / 64 - 1]) << 32", "kept[0]) << 32"),
    "every tile full": (".all = all;", ".all = 1;"),
}


PLANTED_BACK = {
    ("queries", "keys that are not looked through"): ("ring.send(head.bias || !all)", "ring.send(false)"),
    ("queries", "the first products of a pair"): ("rows.share[e / 2]", "rows.share[e % 2]"),
    ("queries", "a place given back too early"): (
        "    tile = rounds.tile(round + 1);\n", "    rounds.has_read(round);\n    tile = rounds.tile(round + 1);\n"
    ),
    ("queries", "sums read too early"): (
        "wait<0>(sums.at[0]);\n        warp_group_wait<0>(s.at[0]);\n        warp_group_wait<0>(dp.at[0]);",
        "wait<1>(s.at[0]);",
    ),
    ("keys", "what is looked through is not told"): ("stage.strange[1] = round;", ";"),
    ("keys", "pairs of another warp"): ("r / 32 * 16, first)", "r / 64 * 16, first)"),
    ("keys", "bases of another place"): ("memory.bases + place * kQueries", "memory.bases + place * 32"),
    ("keys", "the next scores into these products"): (
        "        group_times(of_keys, gradients, memory.queries(place));\n        score(round + 1);",
        "        score(round + 1);\n        group_times(of_keys, gradients, memory.queries(round % kStages + 1));",
    ),
    ("keys", "forbidden pairs that count"): ("-static_cast<SumOf<T>>(0)", "static_cast<SumOf<T>>(0)"),
    ("keys", "a member too few"): ("++at.member, at.tile = 0;", "at.member += 2, at.tile = 0;"),
}  # fmt: skip


@pytest.mark.parametrize(("kernel", "bug"), PLANTED_BACK)
def test_planted_bugs_in_gradients_are_found(rng, monkeypatch, kernel, bug):
    old, new = PLANTED_BACK[kernel, bug]
    plant(monkeypatch, f"attention_groups_{kernel}.cuh", old, new)
    q, k, v = inputs(rng, BRAIN, 1, 2, 1, 400, 400, 16, 16)
    grad = rng.standard_normal(q.shape).astype(BRAIN)
    k[..., 330:, :] = np.nan
    grad[:, :, 370:] = np.nan
    few = masks.dense(np.arange(400)[:, None] < 370) | masks.dense(np.arange(400) == 0)
    with pytest.raises((AssertionError, LaunchError)):
        agree_back((q, k, v), masks.padding(330) & few, grad, warp_groups=True)


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    old, new = PLANTED[bug]
    plant(monkeypatch, "attention_groups.cuh", old, new)
    q, k, v = inputs(rng, BRAIN, 1, 1, 1, 128, 700, 16, 16)
    v[..., 600:, :] = np.nan
    with pytest.raises((AssertionError, LaunchError)):
        agree((q, k, v), masks.padding(600), warp_groups=True)


def test_the_bugs_are_planted_where_there_was_none(rng):
    q, k, v = inputs(rng, BRAIN, 1, 1, 1, 128, 700, 16, 16)
    v[..., 600:, :] = np.nan
    agree((q, k, v), masks.padding(600), warp_groups=True)
