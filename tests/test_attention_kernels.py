"""Attention at lengths of many tiles: the same bits for any number of threads, and near to float64."""

import numpy as np
import pytest

import kxfast as kx


@pytest.mark.parametrize("mask", [None, kx.masks.causal(), kx.masks.sliding_window(100)], ids=str)
@pytest.mark.parametrize("heads", [(2, 1), (3, 3)], ids=str)
def test_results_do_not_depend_on_the_number_of_threads(mask, heads):
    rng = np.random.default_rng(5)
    queries, keys = heads
    q, grad = rng.standard_normal((2, 1, queries, 1100, 24), np.float32)
    k, v = rng.standard_normal((2, 1, keys, 1100, 24), np.float32)
    results = []
    for count in 1, 2, 5:
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
