"""Attention by products of bfloat16, in pairs, in tiles and in emulated tiles, beside the reference in float64."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

if settings.native() is None:
    pytest.skip("the compiled module is not built", allow_module_level=True)
ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: NumPy has no bfloat16")
from kxfast._native import core  # noqa: E402  the module may be missing
from kxfast.backends.native import attention as native  # noqa: E402

m = kx.masks


@pytest.fixture(params=["pairs", "tiles", "emulated"], autouse=True)
def products(request):
    """Pairs and tiles where the processor has them, and tiles that are emulated, everywhere."""
    core.emulate_tiles(request.param == "emulated")
    try:
        if core.half_products() != request.param:
            pytest.skip(f"this processor has no fast products of bfloat16 in {request.param}")
        yield request.param
    finally:
        core.emulate_tiles(False)


def masks(rng, n):
    blocks = rng.random((-(-n // 64), -(-n // 64))) < 0.4
    return {
        "none": None,
        "causal": m.causal(),
        "window": m.sliding_window(33),
        "two runs": ~m.sliding_window(40),
        "UniLM": m.unilm((np.arange(n) > n // 3).astype(int)),
        "padding": m.padding(rng.integers(0, n + 1, 2)),
        "blocks": m.block_sparse(blocks, 64),
        "permutation": m.permutation(rng.permutation(n)),
        "random": m.dense(rng.random((2, 1, n, n)) < 0.3),
    }


def halves(rng, shapes, scale=1.0):
    return [(rng.standard_normal(shape) * scale).astype(ml_dtypes.bfloat16) for shape in shapes]


def both(x, grad, backend, **options):
    out, lse = kx.attention.scaled_dot_product_attention(*x, return_lse=True, backend=backend, **options)
    return (
        out,
        lse,
        *kx.attention.scaled_dot_product_attention_backward(
            grad, *x, out, lse, backend=backend, need_dbias="bias" in options, **options
        ),
    )


def near(found, exact, dtype):
    for half, right in zip(found, exact, strict=True):
        if half is None or right is None:
            assert half is right
            continue
        assert half.dtype in (dtype, np.float32)
        wide, there = np.asarray(half, np.float64), np.isfinite(right)
        np.testing.assert_array_equal(np.isfinite(wide), there)
        wrong = np.abs(wide[there] - right[there])
        assert wrong.max(initial=0) <= 1e-2 * np.abs(right[there]).max(initial=1e-30)


def check(x, grad, **options):
    exact = {name: np.asarray(each, np.float64) if name == "bias" else each for name, each in options.items()}
    wide = [each.astype(np.float64) for each in (*x, grad)]
    near(both(x, grad, "native", **options), both(wide[:3], wide[3], "reference", **exact), x[0].dtype)


@pytest.mark.parametrize("n", [9, 64, 201])
@pytest.mark.parametrize("which", range(9))
def test_every_kind_of_mask(which, n):
    rng = np.random.default_rng(which + n)
    name, mask = list(masks(rng, n).items())[which]
    *x, grad = halves(rng, [(2, 3, n, 32)] * 4)
    assert native.multiplied_as_it_is(x[0], x[1]), name
    check(x, grad, mask=mask)


@pytest.mark.parametrize(("d", "dv"), [(1, 1), (7, 5), (16, 16), (33, 80), (64, 48), (96, 128), (130, 17)])
def test_widths_that_fill_no_register(d, dv):
    rng = np.random.default_rng(d)
    q, k = halves(rng, [(1, 4, 77, d), (1, 2, 131, d)], 64 / (d + 63))
    v, grad = halves(rng, [(1, 2, 131, dv), (1, 4, 77, dv)])
    check((q, k, v), grad, mask=m.dense(rng.random((77, 131)) < 0.7))


@pytest.mark.parametrize("shape", [(1, 1, 70, 90), (2, 3, 70, 90), (1, 3, 1, 90), (2, 1, 1, 90)])
@pytest.mark.parametrize("scale", [0.2, -0.3, 0.0])
def test_bias_and_scale(shape, scale):
    rng = np.random.default_rng(3)
    q, k = halves(rng, [(2, 3, 70, 24), (2, 3, 90, 24)])
    v, grad = halves(rng, [(2, 3, 90, 24), (2, 3, 70, 24)])
    (bias,) = halves(rng, [shape])
    check((q, k, v), grad, bias=bias, scale=scale, mask=m.dense(rng.random((70, 90)) < 0.8))


@pytest.mark.parametrize("scale", [-2.0, 0.0, 3.0])
def test_scales_where_nothing_is_masked(scale):
    q, k, v, grad = halves(np.random.default_rng(11), [(1, 2, 130, 64)] * 4)
    found, exact = (
        both((q, k, v), grad, "native", scale=scale),
        both([x.astype(float) for x in (q, k, v)], grad, "reference", scale=scale),
    )
    near(found[:2], exact[:2], q.dtype)


def test_a_bias_for_each_query_changes_the_sum_alone():
    rng = np.random.default_rng(9)
    x, (bias,) = halves(rng, [(2, 2, 70, 16)] * 3), halves(rng, [(2, 1, 70, 1)])
    found = kx.attention.scaled_dot_product_attention(*x, bias=bias, return_lse=True)
    plain = kx.attention.scaled_dot_product_attention(*x, return_lse=True)
    near(found, (plain[0].astype(float), plain[1] + bias[..., 0].astype(np.float32) / 4), x[0].dtype)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_may_not_be_attended_to_goes_nowhere(value):
    rng = np.random.default_rng(4)
    x = halves(rng, [(1, 2, 150, 16)] * 4)
    mask = m.padding(101) & m.causal()
    *x, grad = x
    clean = [each.astype(np.float64) for each in (*x, grad)]
    x[1][:, :, 101:], x[2][:, :, 101:] = value, value
    near(both(x, grad, "native", mask=mask), both(clean[:3], clean[3], "reference", mask=mask), x[0].dtype)


def test_large_scores_and_rows_of_large_ones():
    rng = np.random.default_rng(5)
    q, k, v, grad = halves(rng, [(1, 2, 130, 16)] * 4)
    q[:, :, ::7] *= 30  # dk then rests on differences of numbers, out among them, that were rounded to bfloat16
    found, exact = both((q, k, v), grad, "native"), both([x.astype(float) for x in (q, k, v)], grad, "reference")
    near(found[:3] + found[4:], exact[:3] + exact[4:], q.dtype)


def not_widened(x):
    assert x is None, "computed in floats"


def test_scores_that_grow_from_panel_to_panel(monkeypatch):
    """Weights made with the maximum before would overflow; what is infinite would be computed again, in floats."""
    q, k, v = halves(np.random.default_rng(12), [(1, 2, 400, 16)] * 3)
    growth = np.repeat(np.array([1, 60, 120, 180], np.float32), 128)[:400, None]
    q, k = np.abs(q), (np.abs(k.astype(np.float32)) * growth).astype(k.dtype)
    wide = [x.astype(float) for x in (q, k, v)]
    exact = kx.attention.scaled_dot_product_attention(*wide, return_lse=True, backend="reference")
    monkeypatch.setattr(native, "widened", not_widened)
    near(kx.attention.scaled_dot_product_attention(q, k, v, return_lse=True, backend="native"), exact, q.dtype)


def test_results_do_not_depend_on_the_number_of_threads():
    *x, grad = halves(np.random.default_rng(6), [(1, 3, 1100, 24)] * 4)
    results = []
    for count in 1, 2, 5:
        kx.set_num_threads(count)
        try:
            results.append(both(x, grad, "native", mask=m.causal()))
        finally:
            kx.set_num_threads(None)
    for other in results[1:]:
        for a, b in zip(results[0][:5], other[:5], strict=True):
            np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def test_a_place_for_the_result_is_filled():
    x = halves(np.random.default_rng(7), [(1, 2, 40, 16)] * 3)
    expected = kx.attention.scaled_dot_product_attention(*x)
    place = np.zeros_like(expected)
    assert kx.attention.scaled_dot_product_attention(*x, out=place) is place
    np.testing.assert_array_equal(place.view(np.uint16), expected.view(np.uint16))


def test_few_queries_and_other_types_are_widened():
    q, k, _ = halves(np.random.default_rng(8), [(1, 2, 4, 16)] * 3)
    assert not native.multiplied_as_it_is(q, k)
    assert not native.multiplied_as_it_is(q.astype(np.float16), k)


def test_tiles_and_pairs_are_really_other_sums():
    x = halves(np.random.default_rng(10), [(1, 2, 90, 48)] * 3)
    sums = []
    for emulated in False, True:
        core.emulate_tiles(emulated)
        sums.append(kx.attention.scaled_dot_product_attention(*x, return_lse=True)[1])
    assert 0 < np.abs(sums[0] - sums[1]).max() < 1e-4


@pytest.mark.parametrize("which", range(9))
def test_the_processors_tiles_and_emulated_ones_agree(which, products):
    if products != "tiles":
        pytest.skip("both are needed: the processor's own tiles are compared")
    rng = np.random.default_rng(which)
    name, mask = list(masks(rng, 330).items())[which]
    q, k = halves(rng, [(2, 4, 330, 48), (2, 2, 330, 48)])
    v, grad = halves(rng, [(2, 2, 330, 80), (2, 4, 330, 80)])
    found = both((q, k, v), grad, "native", mask=mask)
    core.emulate_tiles(True)
    emulated = both((q, k, v), grad, "native", mask=mask)
    np.testing.assert_allclose(found[1], emulated[1], rtol=0, atol=2e-5, err_msg=name)
    for one, other in zip(found[:1] + found[2:5], emulated[:1] + emulated[2:5], strict=True):
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
        assert difference.max() <= 2.0**-8 * np.abs(other.astype(np.float64)).max(), name
        assert np.mean(difference > 0) < 0.05, name


@pytest.mark.parametrize("which", range(9))
def test_ordinary_numbers_are_never_computed_again_in_floats(which, monkeypatch):
    """The way back for what is not finite is slow: masked pairs of ordinary numbers must not take it."""
    monkeypatch.setattr(native, "widened", not_widened)
    rng = np.random.default_rng(which)
    name, mask = list(masks(rng, 150).items())[which]
    *x, grad = halves(rng, [(2, 2, 150, 40)] * 4)
    assert all(np.isfinite(np.asarray(each, np.float64)).any() for each in both(x, grad, "native", mask=mask)[:5]), name


def test_gradients_of_values_that_are_masked_and_nan_are_not_either(monkeypatch):
    q, k, v, grad = halves(np.random.default_rng(3), [(1, 2, 150, 40)] * 4)
    mask = m.padding(101) & m.causal()
    out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
    run = kx.attention.scaled_dot_product_attention_backward
    right = run(grad, q, k, v, out, lse, mask=mask)
    v[:, :, 101:] = np.nan
    monkeypatch.setattr(native, "widened", not_widened)
    for found, expected in zip(run(grad, q, k, v, out, lse, mask=mask), right, strict=True):
        np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("count", [97, 193, 400])
def test_blocks_that_end_anywhere(count):
    rng = np.random.default_rng(count)
    q, grad = halves(rng, [(1, 2, count, 40)] * 2)
    k, v = halves(rng, [(1, 1, 263, 40)] * 2)
    check((q, k, v), grad, mask=m.dense(rng.random((count, 263)) < 0.5))
