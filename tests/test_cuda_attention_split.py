"""Few queries with many keys on a GPU, which are split among blocks: run by the emulation, beside the reference."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF, TOLERANCE, distance, exact, inputs, plant, there
from cuda_emulation import LaunchError, emulated

import kxfast as kx
from kxfast import masks
from kxfast.backends.cuda import attention_plan

KEYS = 300  # 19 tiles of double, whose tiles are the smallest


def launched(device):
    """Let a device tell which kernels it has launched."""
    names, kernel = [], device.kernel
    device.kernel = lambda text, name: names.append(name) or kernel(text, name)
    return names


def split(arrays, mask=None, bias=None, multiprocessors=64, orders=(1,)):
    """Return (out, lse) of the emulation, which must have split, and of the reference."""
    run = kx.attention.scaled_dot_product_attention
    expected = run(*map(exact, arrays), mask=mask, bias=exact(bias), return_lse=True, backend="reference")
    with emulated(orders=orders, multiprocessors=multiprocessors, warp_groups=True) as device:
        names = launched(device)
        found = run(*map(there, arrays), mask=mask, bias=there(bias), return_lse=True)
    assert names[-2:] == ["attention_split", "attention_join"]
    return [x.memory for x in found], expected


def agree(arrays, mask=None, **keywords):
    (out, lse), (theirs, their_lse) = split(arrays, mask, **keywords)
    kind = arrays[0].dtype
    assert out.dtype == kind
    assert distance(out, theirs) <= TOLERANCE[kind]
    assert distance(lse, their_lse) <= (1e-14 if kind == np.float64 else 2e-6)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def every_mask(q_len):
    segments = (np.arange(KEYS) >= 200).astype(int)
    allowed = np.random.default_rng(3).random((q_len, KEYS)) < 0.1
    allowed[:, 100:200] = False  # a split has none
    return {
        "all": None,
        "causal": masks.causal(),
        "padding": masks.padding([KEYS - 9, 70]),
        "nothing": masks.padding([0, 120]),
        "window": masks.sliding_window(30),
        "unilm": masks.unilm(segments),
        "booleans": masks.dense(allowed),
        "strided": masks.strided(7),
    }


@pytest.mark.parametrize("name", every_mask(1))
@pytest.mark.parametrize("q_len", [1, 33])
def test_every_mask(rng, name, q_len):
    agree(inputs(rng, np.dtype("d"), 2, 2, 1, q_len, KEYS, 20, 7), every_mask(q_len)[name])


def test_a_function_and_a_permutation(rng):
    arrays = inputs(rng, np.dtype("d"), 1, 2, 2, 30, KEYS, 20, 7)
    agree(arrays, masks.function(lambda b, h, i, j: (i + j // 50 + h) % 2 == 0))
    arrays = inputs(rng, np.dtype("d"), 1, 1, 1, KEYS, KEYS, 20, 7)
    agree(arrays, masks.permutation(rng.permutation(KEYS)))


# Halves in one band where the plan for many queries has two; values in parts; odd sizes; one head of queries.
@pytest.mark.parametrize(
    ("kind", "d", "dv", "keys"),
    [(BRAIN, 64, 64, 600), (HALF, 40, 24, 777), (BRAIN, 16, 272, 600), (np.dtype("f"), 3, 7, 300),
     (np.dtype("d"), 20, 72, 200)],
    ids=str,
)  # fmt: skip
def test_all_types_in_any_order_of_threads(rng, kind, d, dv, keys):
    agree(inputs(rng, kind, 1, 2, 1, 5, keys, d, dv), masks.padding(keys - 3), orders=range(3))


def test_biases(rng):
    bias = rng.standard_normal((2, 1, 9, KEYS))
    bias[..., 40:140] = -np.inf
    agree(inputs(rng, np.dtype("d"), 2, 2, 1, 9, KEYS, 20, 7), bias=bias)


def test_what_stands_in_masked_pairs_goes_nowhere_and_the_rest_does(rng):
    q, k, v = inputs(rng, np.dtype("d"), 1, 2, 1, 3, KEYS, 20, 7)
    k[..., 250:, :], v[..., 240:, :] = np.nan, np.inf
    v[..., 7, 3] = np.nan  # allowed
    agree((q, k, v), masks.padding(240))
    k[..., 8, :] = np.nan  # so is this: all of a result is NaN if a score is
    out, _ = split((q, k, v), masks.padding(240))[0]
    assert np.isnan(out).all()


def test_splits_fill_multiprocessors_and_none_is_too_small():
    plan = attention_plan.split("E", 128, 128)
    assert plan == attention_plan.forward("E", 128, 128)
    assert attention_plan.splits(plan, 32, 8192, 132) == 8  # 256 blocks of 264 at a time
    assert attention_plan.splits(plan, 32, 8192, 16) == 1
    assert attention_plan.splits(plan, 1, 8192, 132) == 8192 // plan.other // 4
    assert attention_plan.splits(plan, 1, 4 * plan.other, 132) == 1
    assert attention_plan.splits(plan, 0, 8192, 132) == 1
    wide, narrow = attention_plan.forward("E", 64, 64), attention_plan.split("E", 64, 64)
    assert (wide.bands, narrow.bands) == (2, 1)
    assert 0 < narrow.shared < wide.shared


def test_nothing_and_many_queries_are_not_split(rng):
    for sizes in (0, 2, 2, 5, KEYS), (1, 2, 2, 0, KEYS), (1, 2, 2, 5, 0), (4, 8, 8, 5, KEYS):
        with emulated(orders=[0], multiprocessors=16) as device:
            names = launched(device)
            kx.attention.scaled_dot_product_attention(*map(there, inputs(rng, np.dtype("d"), *sizes, 20, 7)))
        assert set(names) <= {"attention_forward"}


PLANTED = {
    "a tile twice": ("(split + 1) / splits)", "(split + 1) / splits + 1)"),
    "a tile left out": ("all_tiles * split / splits", "all_tiles * split / splits + 1"),
    "results added as they are": ("fused(weight, outs", "fused(Sum(1), outs"),
    "a row of another split": ("outs[(s * rows + row)", "outs[(s / 2 * rows + row)"),
    "the first logarithm alone": ("top, lses[s * rows + row])", "top, lses[row])"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, name):
    plant(monkeypatch, "attention_split.cuh", *PLANTED[name])
    arrays = inputs(rng, np.dtype("d"), 1, 1, 1, 2, KEYS, 20, 7)
    arrays[0][:, :, 1] *= 3000  # of logarithms far apart
    with pytest.raises((AssertionError, LaunchError)):
        agree(arrays)
