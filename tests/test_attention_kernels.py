"""Attention at lengths of many tiles: the same bits for any number of threads, and near to float64."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases, settings

ENGINES = [each for each in cases.engines("attention.scaled_dot_product_attention") if each != "reference"]


@pytest.mark.parametrize("mask", [None, kx.masks.causal(), kx.masks.sliding_window(100)], ids=str)
@pytest.mark.parametrize("heads", [(2, 1), (3, 3), (4, 4), (40, 40)], ids=str)
def test_results_do_not_depend_on_the_number_of_threads(mask, heads):
    rng = np.random.default_rng(5)
    queries, keys = heads
    q, grad = rng.standard_normal((2, 1, queries, 1100, 24), np.float32)
    k, v = rng.standard_normal((2, 1, keys, 1100, 24), np.float32)
    results = []
    for count in 1, 2, 7:
        kx.set_num_threads(count)
        try:
            out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
            gradients = kx.attention.scaled_dot_product_attention_backward(grad, q, k, v, out, lse, mask=mask)
        finally:
            kx.set_num_threads(None)
        results.append((out, lse, *gradients))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mask", [None, kx.masks.causal(), kx.masks.sliding_window(100)], ids=str)
def test_float32_is_near_to_float64(mask):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3, 1, 2, 700, 64), np.float32)
    exact = kx.attention.scaled_dot_product_attention(*x.astype(np.float64), mask=mask)
    out = kx.attention.scaled_dot_product_attention(*x, mask=mask)
    assert np.abs(out - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("which", ["bias of each head", "mask of each head", "padding", "permutation"])
def test_many_heads_are_as_they_are_on_many_threads(which):
    """Few threads take heads one by one, many share their blocks: each has its own mask, bias, order and NaN."""
    rng = np.random.default_rng(15)
    b, h, keys, n, d = 2, 8, 4, 150, 20
    q, grad = rng.standard_normal((2, b, h, n, d), np.float32)
    k, v = rng.standard_normal((2, b, keys, n, d), np.float32)
    options = {
        "bias of each head": {"bias": rng.standard_normal((b, h, n, n), np.float32)},
        "mask of each head": {"mask": rng.random((b, h, n, n)) < 0.4},
        "padding": {"mask": kx.masks.padding(np.array([70, n]))},
        "permutation": {"mask": kx.masks.permutation(np.stack([rng.permutation(n) for _ in range(b)]))},
    }[which]
    if which == "padding":
        k[0, 1, 100:], v[0, :, 90:] = np.nan, np.inf

    def results(arrays, backend=None):
        *x, g = arrays
        chosen = {**options, "backend": backend}
        out, lse = kx.attention.scaled_dot_product_attention(*x, **chosen, return_lse=True)
        back = kx.attention.scaled_dot_product_attention_backward
        return out, lse, *back(g, *x, out, lse, **chosen, need_dbias="bias" in options)

    found = []
    for count in 1, 2, 7:
        kx.set_num_threads(count)
        try:
            found.append(results((q, k, v, grad), "native"))
        finally:
            kx.set_num_threads(None)
    exact = results([x.astype(np.float64) for x in (q, k, v, grad)], "reference")
    for first, *others, right in zip(*found, exact, strict=True):
        for other in others:
            np.testing.assert_array_equal(first, other)
        np.testing.assert_allclose(first, right, rtol=1e-5, atol=2e-6 * np.abs(right[np.isfinite(right)]).max())


def masks(rng, b, n):
    m = kx.masks
    ids = np.sort(rng.integers(0, 6, (b, n)), 1)
    return (
        m.causal() & m.documents(ids),
        m.unilm((np.arange(n) > n // 3) * np.ones((b, 1), int)) & m.padding(rng.integers(1, n + 1, b)),
        m.sliding_window(50, 20) | m.prefix_lm(rng.integers(0, n, b)),
        ~m.sliding_window(70),
        m.permutation(np.stack([rng.permutation(n) for _ in range(b)])),
        m.permutation(rng.permutation(n), include_self=True),
    )


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("n", [1, 70, 331])
def test_intervals_and_sorted_tokens_are_the_dense_mask(which, n):
    rng = np.random.default_rng(7)
    mask = masks(rng, 2, n)[which]
    q, grad = rng.standard_normal((2, 2, 4, n, 20), np.float32)
    k, v = rng.standard_normal((2, 2, 2, n, 20), np.float32)
    dense = kx.masks.dense(mask.to_dense(2, 1, n, n))
    results = []
    for each in mask, dense:
        out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=each, return_lse=True)
        gradients = kx.attention.scaled_dot_product_attention_backward(grad, q, k, v, out, lse, mask=each)
        results.append((out, lse, *gradients))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    reference = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, backend="reference")
    np.testing.assert_allclose(results[0][0], reference, rtol=1e-4, atol=1e-5)


def test_nan_behind_a_mask_of_intervals_goes_nowhere():
    rng = np.random.default_rng(8)
    q, k, v = rng.standard_normal((3, 1, 2, 150, 16), np.float32)
    mask = kx.masks.padding(100) & kx.masks.causal()
    expected = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask)
    k[:, :, 100:], v[:, :, 100:] = np.nan, np.inf
    np.testing.assert_array_equal(kx.attention.scaled_dot_product_attention(q, k, v, mask=mask), expected)


@pytest.mark.skipif(settings.native() is None, reason="the compiled module is not built")
def test_a_long_window_needs_no_matrix():
    """A dense pattern of these lengths would be 10 GB."""
    n = 100_000
    x = np.ones((1, 1, n, 1), np.float32)
    out = kx.attention.scaled_dot_product_attention(x, x, x, mask=kx.masks.sliding_window(30), backend="native")
    np.testing.assert_allclose(out, 1, rtol=1e-6)


@pytest.mark.parametrize("keys", [1, 63, 65, 1500, 5000])
@pytest.mark.parametrize("heads", [(1, 1), (6, 2), (8, 1)], ids=str)
@pytest.mark.parametrize("queries", [1, 3])
def test_few_queries_are_those_of_many(keys, heads, queries):
    """A step of decoding has a kernel of its own: the same results, masks, biases and gradients' lse."""
    rng = np.random.default_rng(9)
    q = rng.standard_normal((2, heads[0], 60, 37), np.float32)
    k, v = (rng.standard_normal((2, heads[1], keys, d), np.float32) for d in (37, 21))
    few, bias = q[:, :, :queries], rng.standard_normal((1, heads[0], 1, keys), np.float32)
    for mask in None, kx.masks.padding([keys // 2, keys]), kx.masks.dense(rng.random((2, 1, 1, keys)) < 0.3):
        for extra in {}, {"bias": bias}:
            every = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True, **extra)
            some = kx.attention.scaled_dot_product_attention(few, k, v, mask=mask, return_lse=True, **extra)
            for a, b in zip(some, every, strict=True):
                np.testing.assert_allclose(a, b[:, :, :queries], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("dims", [16, 48, 64])
def test_few_queries_whose_numbers_fill_vectors(kind, dims):
    """Products with as many keys as a vector has lanes are summed together, in every instruction set."""
    rng = np.random.default_rng(10)
    q = rng.standard_normal((2, 4, 2, dims)).astype(kind)
    k, v = rng.standard_normal((2, 2, 2, 150, dims)).astype(kind)
    bias = rng.standard_normal((1, 4, 1, 150)).astype(kind)
    for mask in None, kx.masks.padding([100, 149]), kx.masks.dense(rng.random((2, 1, 2, 150)) < 0.9):
        for extra in {}, {"bias": bias}:
            given = {"mask": mask, "return_lse": True, **extra}
            exact = kx.attention.scaled_dot_product_attention(q, k, v, backend="reference", **given)
            for name in ENGINES:
                with cases.engine(name):
                    found = kx.attention.scaled_dot_product_attention(q, k, v, **given)
                for a, b in zip(found, exact, strict=True):
                    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_few_queries_meet_nan_infinity_and_nothing():
    q = np.ones((1, 1, 1, 4), np.float32)
    k, v = np.ones((1, 1, 70, 4), np.float32), np.ones((1, 1, 70, 3), np.float32)
    k[0, 0, 69], v[0, 0, 69] = np.nan, np.nan
    attend = kx.attention.scaled_dot_product_attention
    assert np.isnan(attend(q, k, v)).all()
    np.testing.assert_allclose(attend(q, k, v, mask=kx.masks.padding(69)), 1)
    out, lse = attend(q, k, v, mask=kx.masks.padding(0), return_lse=True)
    assert not out.any()
    assert lse[0, 0, 0] == -np.inf
    bias = np.where(np.arange(70) < 2, 0, -np.inf).astype(np.float32)[None, None, None]
    np.testing.assert_allclose(attend(q, np.ones_like(k), np.ones_like(v), bias=bias), 1)


def test_steps_of_decoding_are_rows_of_the_whole():
    rng = np.random.default_rng(10)
    cache = kx.attention.KVCache(batch=2, heads=2, head_dim=8, capacity=4)
    x = rng.standard_normal((2, 2, 11, 8), np.float32)
    whole = kx.attention.scaled_dot_product_attention(x, x, x, mask=kx.masks.causal())
    for t in range(11):
        token = x[:, :, t : t + 1]
        step = kx.attention.decode(token, token, token, cache)
        np.testing.assert_allclose(step, whole[:, :, t : t + 1], rtol=1e-5, atol=1e-6)
