"""Attention: the worked numbers of its specification, gradients, laws and edges."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_gradients, numbers

import kxfast as kx
from kxfast.checks import half_types

attend = kx.attention.scaled_dot_product_attention
backward = kx.attention.scaled_dot_product_attention_backward
m = kx.masks

Q = np.array([[1, 0.5], [-0.5, 2], [0.25, -1], [1.5, 1]])[None, None]
K = np.array([[0.5, 1], [1, -1], [-1, 0.5], [0, 2]])[None, None]
V = np.array([[1, 2], [3, -1], [-2, 0.5], [0, 4]])[None, None]
NEAR = {"atol": 5.1e-9, "rtol": 0}

WORKED = {
    "none": (
        None,
        ".84426652 1.81895095 -.07759562 3.23772087 1.74719836 -.02014005 .71044013 2.33918655",
        "1.80315425 3.15378621 1.33248272 2.24888952",
    ),
    "causal": (
        m.causal(),
        "1 2 1.09438267 1.85842600 1.86694298 -.29566123 .71044013 2.33918655",
        ".70710678 1.28577803 1.26619396 2.24888952",
    ),
    "UniLM": (
        m.unilm([0, 0, 1, 1]),
        "1.82504200 .76243700 1.09438267 1.85842600 1.86694298 -.29566123 .71044013 2.33918655",
        "1.23902156 1.28577803 1.26619396 2.24888952",
    ),
    "UniLM with padding": (
        m.unilm([0, 0, 1, 0]) & m.padding([3]),
        "1.82504200 .76243700 1.09438267 1.85842600 1.86694298 -.29566123 1.25522807 1.06562233",
        "1.23902156 1.28577803 1.26619396 1.67970164",
    ),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_numbers(name):
    mask, rows, lse = WORKED[name]
    for given in (mask, None if mask is None else mask.to_dense(1, 1, 4, 4)):
        out, total = attend(Q, K, V, mask=given, return_lse=True)
        np.testing.assert_allclose(out.ravel(), numbers(rows), **NEAR)
        np.testing.assert_allclose(total.ravel(), numbers(lse), **NEAR)


def test_worked_scores():
    """Each score is the log-sum-exp of attention to one key alone."""
    printed = ".70710678 .35355339 -.53033009 .70710678 1.23743687 -1.76776695 1.06066017 2.82842712"
    printed += " -.61871843 .88388348 -.53033009 -1.41421356 1.23743687 .35355339 -.70710678 1.41421356"
    alone = [attend(Q, K, V, mask=np.arange(4) == j, return_lse=True)[1] for j in range(4)]
    np.testing.assert_allclose(np.stack(alone, -1).ravel(), numbers(printed), **NEAR)


def test_worked_gradients():
    grad = np.array([[1.0, 0], [0, 1], [1, 1], [1, -1]])[None, None]
    out, lse = attend(Q, K, V, mask=m.causal(), return_lse=True)
    dq, dk, dv = backward(grad, Q, K, V, out, lse, mask=m.causal())
    printed = "0 0 -.04769186 .19076742 .64376728 -.23355093 .71098346 -1.90786918"
    np.testing.assert_allclose(dq.ravel(), numbers(printed), **NEAR)
    printed = ".23319813 .19906108 .99652731 .20048338 -.13813657 .32818145 -1.09158888 -.72772592"
    np.testing.assert_allclose(dk.ravel(), numbers(printed), **NEAR)
    printed = "1.51553264 .74096074 .83255100 .57920670 .21790126 .11384766 .43401510 -.43401510"
    np.testing.assert_allclose(dv.ravel(), numbers(printed), **NEAR)


def test_worked_positions():
    np.testing.assert_allclose(
        kx.attention.sinusoidal([1], 4)[0], numbers(".84147098 .54030231 .00999983 .99995000"), **NEAR
    )
    turned = kx.attention.rotary(np.array([[1.0, 2, 3, 4]]), [1])[0]
    np.testing.assert_allclose(turned, numbers("-1.14263966 1.92207560 2.95985067 4.02979950"), **NEAR)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def problem(rng, batch=2, heads=4, groups=2, q_len=3, k_len=5, dim=3, value_dim=2):
    normal = rng.standard_normal
    return (
        normal((batch, heads, q_len, dim)),
        normal((batch, groups, k_len, dim)),
        normal((batch, groups, k_len, value_dim)),
    )


BIASES = {"none": None, "keys": (5,), "heads": (4, 1, 1), "pattern": (3, 5), "all": (2, 4, 3, 5)}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", BIASES)
def test_gradients(rng, groups, bias):
    arrays = list(problem(rng, groups=groups))
    mask = rng.random((2, 1, 3, 5)) < 0.7
    mask[0, 0, 1] = False
    if bias != "none":
        arrays.append(rng.standard_normal(BIASES[bias]))
    split = lambda arrays: (arrays[:3], {"mask": mask, "scale": 0.8, "bias": arrays[3] if arrays[3:] else None})
    grad = rng.standard_normal((2, 4, 3, 2))

    def run(*arrays):
        three, keywords = split(arrays)
        return attend(*three, **keywords)

    three, keywords = split(arrays)
    out, lse = attend(*three, return_lse=True, **keywords)
    gradients = backward(grad, *three, out, lse, need_dbias=bias != "none", **keywords)
    assert len(gradients) == len(arrays)
    assert_gradients(run, arrays, grad, gradients)


# Laws


def test_each_row_is_a_mean_of_values(rng):
    q, k, _ = problem(rng)
    constant = np.full((2, 2, 5, 2), 3.0)
    np.testing.assert_allclose(attend(q, k, constant), 3)


def test_values_enter_linearly(rng):
    q, k, v = problem(rng)
    w = rng.standard_normal(v.shape)
    np.testing.assert_allclose(attend(q, k, 2 * v - w), 2 * attend(q, k, v) - attend(q, k, w), atol=1e-13)


def test_a_shift_of_a_row_of_scores_changes_only_the_lse(rng):
    q, k, v = problem(rng)
    shift = rng.standard_normal((3, 1)) * 100
    out, lse = attend(q, k, v, return_lse=True)
    out2, lse2 = attend(q, k, v, bias=shift, scale=3**-0.5, return_lse=True)
    np.testing.assert_allclose(out2, out, atol=1e-12)
    np.testing.assert_allclose(lse2, lse + shift[:, 0] / np.sqrt(3))


def test_order_of_keys_does_not_matter_and_order_of_queries_is_kept(rng):
    q, k, v = problem(rng)
    keys, queries = rng.permutation(5), rng.permutation(3)
    out = attend(q[:, :, queries], k[:, :, keys], v[:, :, keys])
    np.testing.assert_allclose(out, attend(q, k, v)[:, :, queries], rtol=1e-12)


def test_chunks_of_keys_combine_through_their_lse(rng):
    q, k, v = problem(rng)
    mask = rng.random((2, 4, 3, 5)) < 0.6
    mask[0, 0, 0, :2] = False
    parts = [attend(q, k[:, :, c], v[:, :, c], mask=mask[..., c], return_lse=True) for c in (slice(2), slice(2, 5))]
    expected, lse = attend(q, k, v, mask=mask, return_lse=True)
    total = np.logaddexp(parts[0][1], parts[1][1])
    np.testing.assert_allclose(total, lse)
    weights = [np.exp(part[1] - np.where(np.isneginf(total), 0, total)) for part in parts]
    combined = sum(part[0] * weight[..., None] for part, weight in zip(parts, weights, strict=True))
    np.testing.assert_allclose(combined, expected, atol=1e-13)


def test_causal_never_looks_ahead(rng):
    q, k, v = problem(rng, q_len=5)
    out = attend(q, k, v, mask=m.causal())
    k[:, :, 3:] += 1
    v[:, :, 3:] += 1
    np.testing.assert_array_equal(attend(q, k, v, mask=m.causal())[:, :, :3], out[:, :, :3])


def test_grouped_queries_are_repeated_keys(rng):
    q, k, v = problem(rng)
    np.testing.assert_array_equal(attend(q, k, v), attend(q, k.repeat(2, 1), v.repeat(2, 1)))


def test_permutation_is_causal_after_sorting(rng):
    q, k, v = problem(rng, q_len=5)
    order = rng.permutation(5)
    place = np.argsort(order)
    out = attend(q, k, v, mask=m.permutation(order, include_self=True))
    expected = attend(q[:, :, place], k[:, :, place], v[:, :, place], mask=m.causal())
    np.testing.assert_allclose(out[:, :, place], expected, rtol=1e-12)


# Edges


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_masked_keys_and_values_may_hold_anything(rng, bad):
    q, k, v = problem(rng)
    mask = np.ones((2, 1, 3, 5), bool)
    mask[..., 4] = mask[1, 0, 2] = False
    grad = rng.standard_normal((2, 4, 3, 2))
    out, lse = attend(q, k, v, mask=mask, return_lse=True)
    expected = backward(grad, q, k, v, out, lse, mask=mask)
    for x in k, v:
        x[:, :, 4] = bad
    q[1, :, 2] = grad[1, :, 2] = bad  # the empty row
    result = attend(q, k, v, mask=mask, return_lse=True)
    np.testing.assert_array_equal(result[0], out)
    np.testing.assert_array_equal(result[1], lse)
    for a, b in zip(backward(grad, q, k, v, *result, mask=mask), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-15)


def test_nan_reaches_only_rows_that_attend_to_it(rng):
    q, k, v = problem(rng, q_len=5)
    expected = attend(q, k, v, mask=m.causal())
    v[:, :, 3] = np.nan
    out = attend(q, k, v, mask=m.causal())
    np.testing.assert_array_equal(out[:, :, :3], expected[:, :, :3])
    assert np.isnan(out[:, :, 3:]).all()


def test_rows_that_attend_to_nothing(rng):
    q, k, v = problem(rng)
    mask = np.zeros((3, 5), bool)
    mask[1] = True
    for keywords in {"mask": mask}, {"bias": np.where(mask, 0, -np.inf)}:
        out, lse = attend(q, k, v, return_lse=True, **keywords)
        assert not out[:, :, [0, 2]].any()
        assert np.isneginf(lse[:, :, [0, 2]]).all()
        np.testing.assert_array_equal(out[:, :, 1], attend(q, k, v)[:, :, 1])
        dq, dk, dv = backward(np.ones_like(out), q, k, v, out, lse, **keywords)
        assert not dq[:, :, [0, 2]].any()
        assert np.isfinite(dk).all()
        assert np.isfinite(dv).all()


@pytest.mark.parametrize("sizes", [{"k_len": 0}, {"q_len": 0}, {"batch": 0}, {"value_dim": 0}, {"dim": 0}])
def test_empty_axes(rng, sizes):
    q, k, v = problem(rng, **sizes)
    for mask in None, m.causal(), m.padding(5):
        out, lse = attend(q, k, v, mask=mask, return_lse=True)
        assert out.shape == (*q.shape[:3], v.shape[3])
        assert lse.shape == q.shape[:3]
        if "k_len" in sizes:
            assert not out.any()
            assert np.isneginf(lse).all()
        shapes = [each.shape for each in backward(out, q, k, v, out, lse, mask=mask)]
        assert shapes == [q.shape, k.shape, v.shape]


def test_large_scores_do_not_overflow():
    q = np.full((1, 1, 1, 1), 1e4, np.float32)
    k = np.array([1, -1], np.float32).reshape(1, 1, 2, 1)
    out, lse = attend(q, k, k, return_lse=True)
    assert out.item() == 1
    assert lse.item() == 1e4


@pytest.mark.parametrize("kind", half_types(), ids=str)
def test_half_types_are_rounded_once(rng, kind):
    q, k, v = (each.astype(kind) for each in problem(rng))
    wide = [each.astype(np.float32) for each in (q, k, v)]
    out, lse = attend(q, k, v, mask=m.causal(), return_lse=True)
    expected, lse32 = attend(*wide, mask=m.causal(), return_lse=True)
    assert out.dtype == kind
    assert lse.dtype == np.float32
    np.testing.assert_array_equal(out, expected.astype(kind))
    np.testing.assert_array_equal(lse, lse32)
    gradients = backward(out, q, k, v, out, lse, mask=m.causal())
    rounded = out.astype(np.float32)
    for a, b in zip(gradients, backward(rounded, *wide, rounded, lse, mask=m.causal()), strict=True):
        np.testing.assert_array_equal(a, b.astype(kind))


def test_out_is_filled_and_returned(rng):
    q, k, v = problem(rng)
    out = np.empty((2, 4, 3, 2))
    assert attend(q, k, v, out=out) is out
    np.testing.assert_array_equal(out, attend(q, k, v))


# Positions


def test_rotary_scores_depend_on_distance_alone(rng):
    q, k = rng.standard_normal((2, 1, 8))
    score = lambda i, j: (kx.attention.rotary(q, [i]) @ kx.attention.rotary(k, [j]).T).item()
    assert score(3, 1) == pytest.approx(score(1003, 1001), rel=1e-10)
    assert score(3, 1) != pytest.approx(score(1, 3), rel=1e-3)


def test_rotary_keeps_lengths_and_turns_back(rng):
    x = rng.standard_normal((2, 3, 7, 6))
    y = kx.attention.rotary(x)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1))
    np.testing.assert_allclose(kx.attention.rotary(y, inverse=True), x, atol=1e-14)
    np.testing.assert_array_equal(kx.attention.rotary(x, np.broadcast_to(np.arange(7), (2, 1, 7))), y)


def test_sinusoidal_layouts_hold_the_same_numbers(rng):
    a, b = (kx.attention.sinusoidal(9, 6, layout=layout) for layout in ("interleaved", "blocks"))
    np.testing.assert_array_equal(np.concatenate([a[:, 1::2], a[:, ::2]], 1), b)
    np.testing.assert_allclose((a**2).sum(1), 3)
    assert kx.attention.sinusoidal(np.ones((2, 3), np.float32), 4).dtype == np.float32
