"""Dilated gated convolution: laws and edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from conv_inputs import BIAS, NORM, VARIANTS, M, W, X, problem

import kxfast as kx
from kxfast.checks import half_types

conv = kx.conv.dilated_gated_conv1d
backward = kx.conv.dilated_gated_conv1d_backward


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# Laws


def test_plain_convolution_is_linear_in_x_and_in_the_weight(rng):
    x, w, b, mask = problem(rng)
    run = lambda x, w: kx.conv.dilated_conv1d(x, w, mask=mask, dilation=2)
    z, v = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    np.testing.assert_allclose(run(2 * x - z, w), 2 * run(x, w) - run(z, w), atol=1e-13)
    np.testing.assert_allclose(run(x, w + 3 * v), run(x, w) + 3 * run(x, v), atol=1e-13)
    np.testing.assert_allclose(kx.conv.dilated_conv1d(x, w, b, mask=mask, dilation=2) - run(x, w), b + 0 * run(x, w))


def test_backward_is_the_adjoint_of_the_plain_convolution(rng):
    """With gate logits 0 (s = 1/2), A0 is half of a linear map; then <y, grad> = <x, dx>."""
    x, w, _, mask = problem(rng)
    w[..., 3:] = 0
    grad = rng.standard_normal((2, 6, 3))
    y = conv(x, w, mask=mask, skip="none", dilation=2)
    dx, *_ = backward(grad, x, w, mask=mask, skip="none", dilation=2)
    np.testing.assert_allclose(np.sum(y * grad), np.sum(x * dx), rtol=1e-12)


@pytest.mark.parametrize("variant", ["A", "A0", "B", "C", "D"])
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_padding_does_not_reach_real_positions(rng, variant, padding):
    x, w, b, _ = problem(rng, channels=2, out=2)
    keywords = dict(VARIANTS[variant], dilation=2, padding=padding)
    expected = conv(x, w, b, **keywords)
    for fill in (0, 1e30, np.nan, np.inf):
        longer = np.concatenate([x, np.full((2, 5, 2), fill)], 1)
        mask = np.arange(11) < np.array([[6], [6]])
        y = conv(longer, w, b, mask=mask, **keywords)
        np.testing.assert_allclose(y[:, :6], expected, rtol=1e-12)
        assert np.all(np.isfinite(y))
        for each in backward(np.broadcast_to(mask[..., None], longer.shape), longer, w, b, mask=mask, **keywords)[:3]:
            assert np.all(np.isfinite(each))


@pytest.mark.parametrize("variant", ["A", "A0", "B", "B raw"])  # what C and D give at padding is part of their result
def test_nan_gradients_of_padding_do_not_spread(rng, variant):
    x, w, b, mask = problem(rng)
    grad = np.where(mask[..., None], np.ones(3), np.nan)
    for each in backward(grad, x, w, b, mask=mask, **VARIANTS[variant]):
        assert np.all(np.isfinite(each))


@pytest.mark.parametrize("variant", ["A", "A0", "B", "C"])
def test_shifting_the_input_shifts_the_result(rng, variant):
    x, w, b, _ = problem(rng)
    keywords = dict(VARIANTS[variant], dilation=2)
    shifted = np.concatenate([np.zeros((2, 4, 3)), x, np.zeros((2, 4, 3))], 1)
    later = np.roll(shifted, 1, 1)
    np.testing.assert_array_equal(conv(later, w, b, **keywords)[:, 5:10], conv(shifted, w, b, **keywords)[:, 4:9])


@pytest.mark.parametrize("masked", [True, False])
def test_b_is_a_with_converted_weights(rng, masked):
    x, w, b, mask = problem(rng)
    convert = lambda w: np.concatenate([w[..., 3:], -w[..., :3]], -1)  # [c | -g] from [g | c]
    keywords = {"mask": mask, "mask_input": masked, "dilation": 2}
    expected = conv(x, w, b, gate="first", **keywords)
    np.testing.assert_allclose(conv(x, convert(w), convert(b), **keywords), expected, atol=1e-14)


@pytest.mark.parametrize("skip", ["none", "add"])
def test_only_the_order_of_halves_changes_without_a_gated_skip(rng, skip):
    x, w, b, mask = problem(rng)
    swap = lambda w: np.roll(w, 3, -1)
    keywords = {"mask": mask, "skip": skip}
    np.testing.assert_array_equal(conv(x, w, b, **keywords), conv(x, swap(w), swap(b), gate="first", **keywords))


@pytest.mark.parametrize("variant", VARIANTS)
def test_causal_never_looks_ahead(rng, variant):
    x, w, b, mask = problem(rng, channels=2, out=2)
    run = lambda x: conv(x, w, b, mask=mask, padding="causal", dilation=2, **VARIANTS[variant])
    changed = x.copy()
    changed[:, 4:] += 1
    np.testing.assert_array_equal(run(changed)[:, :4], run(x)[:, :4])
    changed[:, 3] += 1
    assert np.any(run(changed)[0, 3] != run(x)[0, 3])


def test_a_convex_mixture_stays_between_input_and_candidate(rng):
    x, w, b, _ = problem(rng)
    candidate = kx.conv.dilated_conv1d(x, w, b)[..., :3]
    y = conv(x, w, b)
    assert np.all((y >= np.minimum(x, candidate)) & (y <= np.maximum(x, candidate)))


def test_even_kernels_put_the_extra_zero_at_the_end():
    x = np.arange(1.0, 5)[None, :, None]
    w = np.array([1.0, 10])[:, None, None]
    np.testing.assert_array_equal(kx.conv.dilated_conv1d(x, w)[0, :, 0], [21, 32, 43, 4])


@pytest.mark.parametrize(
    ("dilations", "expected"), [((1, 2, 4, 8, 16, 1), 65), ((1, 2, 5, 1, 2, 5, 1, 2, 5, 1, 1, 1), 55)]
)
def test_receptive_field_of_a_stack(rng, dilations, expected):
    layers = [kx.conv.GatedLayer(rng.standard_normal((3, 2, 4)), dilation=r) for r in dilations]
    x = rng.standard_normal((1, 99, 2))
    changed = x.copy()
    changed[:, 49] += 1
    moved = (kx.conv.dgcnn(changed, layers) != kx.conv.dgcnn(x, layers)).any((0, 2))
    assert np.flatnonzero(moved).tolist() == list(range(49 - expected // 2, 50 + expected // 2))


# Edges


@pytest.mark.parametrize("shape", [(0, 5, 2), (2, 0, 2), (0, 0, 2)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_empty_inputs_give_empty_results(shape, variant):
    x, mask = np.zeros(shape), np.ones(shape[:2])
    assert conv(x, W, BIAS, mask=mask, **VARIANTS[variant]).shape == shape
    dx, dw, db, *_ = backward(x, x, W, BIAS, mask=mask, **VARIANTS[variant])
    assert dx.shape == shape
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("dilation", [5, 7, 2**40])
def test_only_the_centre_tap_survives_a_long_dilation(rng, dilation):
    x, w, b, mask = problem(rng, length=5)
    expected = conv(x, w[1:2], b, mask=mask)
    np.testing.assert_allclose(conv(x, w, b, mask=mask, dilation=dilation), expected, atol=1e-14)
    assert not backward(x, x, w, b, mask=mask, dilation=dilation)[1][[0, 2]].any()


def test_masked_rows_are_what_the_specification_says():
    mask = np.zeros((1, 5))
    for variant in "A", "A0", "B", "B raw":
        assert not conv(X, W, BIAS, mask=mask, **VARIANTS[variant]).any()
    h = 1 / (1 + np.exp(-BIAS[2:])) * BIAS[:2]
    np.testing.assert_allclose(conv(X, W, BIAS, mask=mask, skip="add")[0], np.tile(h, (5, 1)), rtol=1e-14)
    assert conv(X, W, BIAS, mask=mask, skip="add", norm=NORM).all()


@pytest.mark.parametrize("gate", ["last", "first"])
def test_stored_padding_does_not_reach_what_does_not_read_it(rng, gate):
    """Without masked input, trailing NaN stays out of causal results and of all gradients but its own."""
    x, w, b, _ = problem(rng)
    shortcut = rng.standard_normal((3, 3)), rng.standard_normal(3)
    keywords = {"gate": gate, "mask_input": False, "padding": "causal", "dilation": 2, "shortcut": shortcut}
    grad = rng.standard_normal(x.shape)
    *expected, (ds, dt) = conv(x, w, b, **keywords), *backward(grad, x, w, b, **keywords)
    longer, wider = (np.concatenate([each, np.full((2, 4, 3), np.nan)], 1) for each in (x, grad))
    keywords["mask"] = np.arange(10) < [[6], [6]]
    y, dx, *rest, (ds2, dt2) = conv(longer, w, b, **keywords), *backward(wider, longer, w, b, **keywords)
    for result, each in zip((y[:, :6], dx[:, :6], *rest, ds2, dt2), (*expected, ds, dt), strict=True):
        np.testing.assert_allclose(result, each, atol=1e-13)


def test_a_share_far_below_one_keeps_its_digits():
    x, bias = np.full((1, 1, 1), 1e12, np.float32), np.array([0, 30], np.float32)
    y = conv(x, np.zeros((1, 1, 2), np.float32), bias)
    assert y.item() == pytest.approx(1e12 * np.exp(-30), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_beyond_the_range_of_exp(dtype):
    x = np.array([[[3.0]]], dtype)
    for logit, expected in (1e4, 7), (-1e4, 3), (89, 7), (-89, 3), (np.inf, 7), (-np.inf, 3):
        y = conv(x, np.zeros((1, 1, 2), dtype), np.array([7, logit], dtype))
        assert y[0, 0, 0] == expected
        assert np.isfinite(backward(x, x, np.zeros((1, 1, 2), dtype), np.array([7, logit], dtype))[0]).all()


def test_gate_dropout_keeps_the_mean_of_logits_and_repeats(rng):
    x, w = np.zeros((1, 1000, 8)), np.zeros((1, 8, 16))
    bias = np.repeat([1.0, 2.0], 8)
    run = lambda seed: conv(x, w, bias, skip="none", drop_gate=0.25, seed=seed)
    y = run(1)
    dropped = y == 0.5  # s(0)
    np.testing.assert_allclose(y[~dropped], 1 / (1 + np.exp(-2 / 0.75)))
    assert abs(dropped.mean() - 0.25) < 0.02
    np.testing.assert_array_equal(run(1), y)
    assert np.any(run(2) != y)
    np.testing.assert_array_equal(conv(x, w, bias, skip="none", seed=1), conv(x, w, bias, skip="none"))
    stacked = kx.conv.dgcnn(x, [kx.conv.GatedLayer(w, bias, skip="none")] * 2, drop_gate=0.25, seed=1)
    assert np.any((stacked == 0.5) != dropped)  # each layer drops others


def test_gate_dropout_draws_philox_words():
    """Counter 0 and key 0 of the generator's published test vectors."""
    from kxfast.backends.reference.conv.dropout import philox

    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox(0, np.array(0), np.array(0)).tolist() == expected


@pytest.mark.parametrize("kind", half_types(), ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_half_types_are_rounded_once(rng, kind, variant):
    x, w, b, mask = problem(rng, channels=2, out=2)
    x, w, b = (each.astype(kind) for each in (x, w, b))
    wide = [each.astype(np.float32) for each in (x, w, b)]
    keywords = dict(VARIANTS[variant], mask=mask, dilation=2)
    if variant == "D":
        keywords["norm"] = (x[0, 0], b[:2], 0.5)
    y = conv(x, w, b, **keywords)
    assert y.dtype == kind
    np.testing.assert_array_equal(y, conv(*wide, **keywords).astype(kind))
    for a, e in zip(backward(x, x, w, b, **keywords)[:3], backward(wide[0], *wide, **keywords)[:3], strict=True):
        np.testing.assert_array_equal(a, e.astype(kind))


def test_out_is_filled_and_returned(rng):
    x, w, b, mask = problem(rng)
    layers = [kx.conv.GatedLayer(w, b)] * 2
    for run in (
        lambda out: conv(x, w, b, mask=mask, out=out),
        lambda out: kx.conv.dilated_conv1d(x, w[..., :3], out=out),
        lambda out: kx.conv.dgcnn(x, layers, out=out),
    ):
        out = np.empty((2, 6, 3))
        assert run(out) is out
        np.testing.assert_array_equal(out, run(None))


def test_mask_with_a_last_axis_of_one():
    np.testing.assert_array_equal(conv(X, W, BIAS, mask=M[..., None]), conv(X, W, BIAS, mask=M))


def test_relu_pair_sum():
    h = kx.conv.dilated_conv1d(X, W, BIAS, dilation=2, mask=M)
    relu = kx.conv.dilated_conv1d(X, W, BIAS, dilation=2, mask=M, activation="relu")
    np.testing.assert_array_equal(relu, np.maximum(h, 0))
    both = kx.conv.dilated_conv1d(X, W, BIAS, dilation=2, mask=M, activation="relu_pair_sum")
    np.testing.assert_array_equal(both, relu[..., :2] + relu[..., 2:])
