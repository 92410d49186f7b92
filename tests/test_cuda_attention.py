"""Attention on a GPU, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF, agree, distance, forward, inputs, plant, there
from cuda_emulation import GpuArray, LaunchError, emulated
from helpers import numbers

import kxfast as kx
from kxfast import masks
from kxfast.backends.cuda import attention_masks, attention_plan, nvrtc
from kxfast.cases.attention import _every_mask

MASKS = _every_mask(np.random.default_rng(3), 70, 100)
SQUARE = _every_mask(np.random.default_rng(3), 65, 65)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", [name for name, mask in MASKS.items() if name != "function"])
def test_every_mask_in_any_order_of_threads(rng, name):
    agree(inputs(rng, BRAIN, 1, 2, 1, 70, 100, 64, 64), MASKS[name])


@pytest.mark.parametrize("name", [name for name, mask in SQUARE.items() if name != "function"])
def test_every_mask_of_as_many_queries_as_keys(rng, name):
    agree(inputs(rng, np.dtype("d"), 2, 2, 2, 65, 65, 20, 7), SQUARE[name], orders=[0])


# Types; head sizes that are whole chunks or not; values in parts; tiles of 64, 32 and 16 keys; two bands and one.
@pytest.mark.parametrize(
    ("kind", "d", "dv"),
    [
        (HALF, 40, 24), (HALF, 5, 3), (BRAIN, 96, 80), (BRAIN, 16, 272),
        (np.dtype("f"), 64, 64), (np.dtype("f"), 3, 7), (np.dtype("d"), 20, 72),
    ],
    ids=str,
)  # fmt: skip
def test_both_types_of_kernels_and_all_head_sizes(rng, kind, d, dv):
    mask = masks.causal() & masks.padding([60, 0])
    agree(inputs(rng, kind, 2, 2, 1, 40, 75, d, dv), mask, orders=range(1, 3))
    if d <= 64:
        agree(inputs(rng, kind, 1, 4, 2, 33, 17, d, dv), orders=[2], scale=-0.3)


@pytest.mark.parametrize("kind", [BRAIN, np.dtype("d")], ids=str)
@pytest.mark.parametrize("shape", [(2, 2, 70, 100), (2, 70, 100), (70, 1), (1, 100), (2, 1, 1, 100), ()], ids=str)
def test_biases_of_every_shape(rng, kind, shape):
    bias = rng.standard_normal(shape).astype(kind)
    d, dv = (64, 64) if kind == BRAIN else (20, 7)
    if shape[-1:] == (100,):
        bias[..., 3:9] = -np.inf
    agree(inputs(rng, kind, 2, 2, 1, 70, 100, d, dv), masks.causal(), bias=bias, orders=[1])


@pytest.mark.parametrize("shape", [(2, 2, 70, 100), (70, 100), (2, 1, 1, 100), (70, 1), (2, 1, 70, 1)], ids=str)
def test_booleans_on_the_device(rng, shape):
    mask = rng.random(shape) < 0.4
    arrays = inputs(rng, np.dtype("d"), 2, 2, 2, 70, 100, 20, 7)
    expected = kx.attention.scaled_dot_product_attention(*arrays, mask=mask, return_lse=True, backend="reference")
    with emulated():
        found = kx.attention.scaled_dot_product_attention(*map(there, arrays), mask=GpuArray(mask), return_lse=True)
    for x, y in zip(found, expected, strict=True):
        assert distance(x.memory, y) <= 1e-14


def test_the_worked_numbers():
    q, k, v = (
        numbers(each).reshape(1, 1, 4, 2)
        for each in ("1 .5 -.5 2 .25 -1 1.5 1", ".5 1 1 -1 -1 .5 0 2", "1 2 3 -1 -2 .5 0 4")
    )
    first = ".71044013 2.33918655"
    table = {
        "none": (None, f".84426652 1.81895095 -.07759562 3.23772087 1.74719836 -.02014005 {first}"),
        "causal": (masks.causal(), f"1 2 1.09438267 1.85842600 1.86694298 -.29566123 {first}"),
        "unilm": (
            masks.unilm([0, 0, 1, 1]), f"1.82504200 .76243700 1.09438267 1.85842600 1.86694298 -.29566123 {first}"
        ),
    }  # fmt: skip
    for mask, expected in table.values():
        (out, _), _ = forward((q, k, v), mask)
        np.testing.assert_allclose(out.ravel(), numbers(expected), atol=1e-8)


@pytest.mark.parametrize("kind", [BRAIN, np.dtype("f")], ids=str)
def test_what_stands_in_masked_pairs_goes_nowhere(rng, kind):
    q, k, v = inputs(rng, kind, 1, 2, 1, 70, 130, 64, 64)
    k[..., 100:, :] = np.nan
    v[..., 100:110, :], v[..., 110:, :] = np.inf, np.nan
    v[..., 0, 3] = np.nan  # allowed, for the first row alone
    first = masks.dense(np.arange(130) > 0) | masks.dense(np.arange(70)[:, None] == 0)
    for mask in masks.padding(100) & first, first & masks.dense(rng.permuted(np.arange(130) < 100)[None] * False):
        agree((q, k, v), mask)
    bias = np.zeros((1, 130), kind)
    bias[0, 100:] = -np.inf
    agree((q, rng.standard_normal(k.shape).astype(kind), v), first, bias=bias, orders=[0])
    v[..., 5, 2] = np.inf  # allowed for all
    agree((q, k, v), masks.padding(100), orders=[0])


@pytest.mark.parametrize("sizes", [(0, 3, 3), (2, 0, 3), (2, 3, 0)], ids=str)
def test_nothing_to_attend_to(rng, sizes):
    b, q_len, k_len = sizes
    for mask in None, masks.causal() & ~masks.causal(), masks.strided(2):
        agree(inputs(rng, np.dtype("d"), b, 2, 1, q_len, k_len, 20, 7), mask, orders=[0])


def test_tiles_that_are_empty_are_never_touched(rng):
    """Their keys are not even read: they lie in memory that is none."""
    q, k, v = inputs(rng, np.dtype("d"), 1, 1, 1, 40, 64, 20, 8)
    expected = kx.attention.scaled_dot_product_attention(q, k, v, mask=masks.padding(20))
    kept = [np.ascontiguousarray(x[:, :, :32]) for x in (k, v)]
    far = [GpuArray(np.lib.stride_tricks.as_strided(x, (1, 1, 64, x.shape[3]), x.strides)) for x in kept]
    with emulated(orders=[0]):
        found = kx.attention.scaled_dot_product_attention(there(q), *far, mask=masks.padding(20))
    assert distance(found.memory, expected) < 1e-14


def test_ranges_hold_what_rows_hold(rng):
    for name, mask in MASKS.items():
        intervals = None if mask is None else mask.key_intervals(1, 2, 70, 100)
        if intervals is None or intervals.shape[2] == 1:
            continue
        found, dense = attention_masks.ranges(intervals, 16), mask.to_dense(1, 2, 70, 100)[0, 0]
        for tile in range(5):
            rows = dense[16 * tile : 16 * tile + 16]
            r, key = found[0, tile], np.arange(100)
            some = ((r[0] <= key) & (key < r[1])) | ((r[2] <= key) & (key < r[3]))
            every = ((r[4] <= key) & (key < r[5])) | ((r[6] <= key) & (key < r[7]))
            assert not (rows.any(0) & ~some).any(), name
            assert not (every & ~rows.all(0)).any(), name


PLANTED = {
    "a wait too short": ("copy_async_wait<1>();\n", "copy_async_wait<2>();\n", AssertionError),
    "no wait at the end": ("  else\n    copy_async_wait<0>();", "", (AssertionError, LaunchError)),
    "no barrier between stages": ("    __syncthreads();\n    if (kStages == 1", "    if (kStages == 1", LaunchError),
    "a wrong fragment": ("[i % 2 * 2], p.at", "[i / 2 * 2], p.at", AssertionError),
    "rows and columns exchanged": ("load_matrix_x4_transposed(two", "load_matrix_x4(two", AssertionError),
    "a tail let through": ("Interval{0, end, 0, 0}", "Interval{0, end + 64, 0, 0}", AssertionError),
    "a sum that does not shrink": (
        "fused(total[t][i], shrink, total_here)",
        "total[t][i] + total_here",
        AssertionError,
    ),
    "a class of full tiles too wide": ("to <= r[5]", "to <= r[5] + 1", AssertionError),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    old, new, error = PLANTED[bug]
    plant(monkeypatch, "attention.cuh", old, new)
    mask = masks.sliding_window(100, 60) if "class" in bug else None
    with pytest.raises(error):
        agree(inputs(rng, BRAIN, 1, 1, 1, 64, 250 if mask is None else 130, 16, 16), mask)


def test_they_compile_for_every_chip():
    for kind, d in ("e", 64), ("d", 16):
        plan = attention_plan.forward(kind, d, d)
        code, _ = nvrtc.compile_text(attention_plan.text(kind, d, d, plan, "attention.cuh"), "compute_80")
        assert b".target sm_80" in code


def test_what_is_made_of_a_mask_is_made_once(rng, monkeypatch):
    arrays, made = inputs(rng, np.dtype("d"), 1, 2, 1, 65, 65, 20, 7), []
    make = attention_masks._made
    monkeypatch.setattr(attention_masks, "_made", lambda *each: made.append(each) or make(*each))
    with emulated(orders=[0]) as device:
        q, k, v = map(there, arrays)
        for mask in masks.causal(), masks.strided(3), masks.function(lambda b, h, i, j: i != j):
            before = len(made)
            first, second = (kx.attention.scaled_dot_product_attention(q, k, v, mask=mask) for _ in range(2))
            np.testing.assert_array_equal(first.memory, second.memory)
            assert len(made) == before + 1
        monkeypatch.setattr(device, "stream", lambda: 7)
        kx.attention.scaled_dot_product_attention(q, k, v, mask=mask)
        assert len(made) == before + 2  # memory belongs to a stream
