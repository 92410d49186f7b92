"""Gradients of attention on a GPU, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF, agree_back, backward, inputs, plant
from cuda_emulation import LaunchError
from helpers import numbers

from kxfast import masks
from kxfast.cases.attention import _every_mask

MASKS = _every_mask(np.random.default_rng(3), 70, 100)
SQUARE = _every_mask(np.random.default_rng(3), 65, 65)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", [name for name, mask in MASKS.items() if name != "function"])
def test_every_mask_in_any_order_of_threads(rng, name):
    agree_back(inputs(rng, BRAIN, 1, 2, 1, 70, 100, 64, 64), MASKS[name], orders=[0, 2])


@pytest.mark.parametrize("name", [name for name, mask in SQUARE.items() if name != "function"])
def test_every_mask_of_as_many_queries_as_keys(rng, name):
    agree_back(inputs(rng, np.dtype("d"), 2, 2, 1, 65, 65, 20, 7), SQUARE[name], orders=[1])


@pytest.mark.parametrize(
    ("kind", "d", "dv"), [(HALF, 40, 24), (BRAIN, 16, 272), (np.dtype("f"), 64, 64), (np.dtype("d"), 20, 72)], ids=str
)
def test_both_types_of_kernels_and_all_head_sizes(rng, kind, d, dv):
    mask = masks.causal() & masks.padding([60, 0])
    agree_back(inputs(rng, kind, 2, 2, 1, 40, 75, d, dv), mask, orders=range(2), scale=-0.2)


@pytest.mark.parametrize("kind", [BRAIN, np.dtype("d")], ids=str)
@pytest.mark.parametrize("shape", [(2, 2, 70, 100), (2, 70, 100), (70, 1), (1, 100), (2, 1, 1, 100), ()], ids=str)
def test_biases_of_every_shape(rng, kind, shape):
    bias = rng.standard_normal(shape).astype(kind)
    d, dv = (64, 64) if kind == BRAIN else (20, 7)
    if shape[-1:] == (100,):
        bias[..., 3:9] = -np.inf
    agree_back(inputs(rng, kind, 2, 2, 1, 70, 100, d, dv), masks.causal(), bias=bias, orders=[1])
    if shape == ():
        agree_back(inputs(rng, kind, 2, 2, 1, 70, 100, d, dv), bias=bias, need_dbias=False, orders=[2])


def test_the_worked_numbers():
    q, k, v, grad = (
        numbers(each).reshape(1, 1, 4, 2)
        for each in ("1 .5 -.5 2 .25 -1 1.5 1", ".5 1 1 -1 -1 .5 0 2", "1 2 3 -1 -2 .5 0 4", "1 0 0 1 1 1 1 -1")
    )
    expected = (
        "0 0 -.04769186 .19076742 .64376728 -.23355093 .71098346 -1.90786918",
        ".23319813 .19906108 .99652731 .20048338 -.13813657 .32818145 -1.09158888 -.72772592",
        "1.51553264 .74096074 .83255100 .57920670 .21790126 .11384766 .43401510 -.43401510",
    )
    found, _ = backward((q, k, v), grad, masks.causal())
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x.ravel(), numbers(y), atol=2e-8)


@pytest.mark.parametrize("kind", [BRAIN, np.dtype("f")], ids=str)
def test_what_stands_in_masked_pairs_goes_nowhere(rng, kind):
    q, k, v = inputs(rng, kind, 1, 2, 1, 70, 130, 64, 64)
    grad = rng.standard_normal(q.shape).astype(kind)
    k[..., 100:, :], v[..., 100:, :] = np.nan, np.inf
    q[..., 40:43, :], grad[..., 41:44, :] = np.nan, np.inf  # of queries without keys
    mask = masks.padding(100) & masks.dense(((np.arange(70) < 40) | (np.arange(70) >= 44))[:, None])
    agree_back((q, k, v), mask, grad=grad)


@pytest.mark.parametrize("sizes", [(0, 3, 3), (2, 0, 3), (2, 3, 0)], ids=str)
def test_nothing_to_attend_to(rng, sizes):
    b, q_len, k_len = sizes
    arrays = inputs(rng, np.dtype("d"), b, 2, 1, q_len, k_len, 20, 7)
    for mask in None, masks.causal(), masks.strided(2):
        agree_back(arrays, mask, orders=[0])
    agree_back(inputs(rng, np.dtype("d"), 2, 2, 1, 3, 9, 20, 7), masks.causal() & ~masks.causal())


PLANTED = {
    "a wait too short": ("copy_async_wait<1>();\n", "copy_async_wait<2>();\n", AssertionError),
    "shares of the wrong rows": ("shares[place(n, e)]", "shares[place(n, 0)]", AssertionError),
    "no barrier between stages": (
        "    __syncthreads();\n    if (kStages == 1 && following.member < members)",
        "    if (kStages == 1 && following.member < members)",
        (LaunchError, AssertionError),
    ),
    "a head of the group left out": (
        "members = static_cast<int>(problem.heads / problem.groups)",
        "members = 1",
        AssertionError,
    ),
    "rows without keys let in": ("return x == minus_infinity<T>() ? -x :", "return", AssertionError),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    old, new, error = PLANTED[bug]
    plant(monkeypatch, "attention_backward.cuh", old, new)
    mask = masks.causal(align="start") if "rows" not in bug else masks.causal() & masks.sliding_window(500)
    with pytest.raises(error):
        agree_back(inputs(rng, BRAIN, 1, 2, 1, 250, 130, 16, 16), mask)
