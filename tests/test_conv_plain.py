"""Convolutions without a gate and pooling, compiled: endings, windows, NaN and threads."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")
BACKENDS = pytest.mark.parametrize("backend", ["native", "reference"])


@BACKENDS
def test_windows_take_the_largest_and_drop_what_is_left_over(backend):
    x = np.array([[[3.0], [-1], [4], [-1], [-5], [-9], [2]]])
    run = lambda pool, activation=None: kx.conv.dilated_conv1d(
        x, np.ones((1, 1, 1)), activation=activation, pool=pool, backend=backend
    )[0, :, 0].tolist()
    assert run(1) == [3, -1, 4, -1, -5, -9, 2]
    assert run(2) == [3, 4, -5]
    assert run(2, "relu") == [3, 4, 0]
    assert run(3) == [4, -1]
    assert run(7) == [4]
    assert run(8) == []


@BACKENDS
def test_a_relu_comes_before_the_sum_of_pairs(backend):
    x = np.array([[[1.0], [-1]]])
    weight = np.array([[[2.0, -5, -3, 7]]])  # halves (2, -5) and (-3, 7)
    y = kx.conv.dilated_conv1d(x, weight, activation="relu_pair_sum", backend=backend)
    assert y.tolist() == [[[2, 7], [3, 5]]]


def test_the_block_of_the_spectrum_classifier():
    """Three convolutions with sums of pairs, then windows of two: 260 positions become 130."""
    rng = np.random.default_rng(0)
    x, found = rng.standard_normal((2, 260, 1)), []
    for backend in "native", "reference":
        y, r = x, np.random.default_rng(1)
        for i, dilation in enumerate((1, 2, 4)):
            weight, bias = r.standard_normal((3, y.shape[2], 32)) / 3, r.standard_normal(32)
            options = {"dilation": dilation, "activation": "relu_pair_sum", "pool": 2 if i == 2 else 1}
            y = kx.conv.dilated_conv1d(y, weight, bias, backend=backend, **options)
        assert y.shape == (2, 130, 16)
        found.append(y)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", [None, "relu", "relu_pair_sum"])
@pytest.mark.parametrize("channels", [1, 40, 700])  # 700: a panel of weights is taken in several turns
def test_odd_widths_are_near_a_float64_result(activation, channels):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 61, channels))
    weight, bias = rng.standard_normal((3, channels, 78)) / np.sqrt(3 * channels), rng.standard_normal(78)
    mask = rng.random((2, 61)) < 0.7
    options = {"dilation": 3, "mask": mask, "activation": activation, "pool": 3}
    exact = kx.conv.dilated_conv1d(x, weight, bias, backend="reference", **options)
    single = [each.astype(np.float32) for each in (np.where(mask[..., None], x, np.nan), weight, bias)]
    y = kx.conv.dilated_conv1d(*single, backend="native", **options)
    np.testing.assert_allclose(y, exact, rtol=0, atol=2e-6 * np.abs(exact).max())


@BACKENDS
def test_nan_of_real_positions_is_kept(backend):
    x = np.ones((1, 6, 5), np.float32)
    x[0, 3, 2] = np.nan
    for activation in None, "relu":
        y = kx.conv.dilated_conv1d(x, np.eye(5, dtype="f")[None], activation=activation, pool=2, backend=backend)
        if activation is None:  # a product spreads it over the channels that see it
            assert np.isnan(y[0, 1]).any()
        assert np.isnan(y[0, 1, 2])
        assert not np.isnan(y[0, [0, 2]]).any()
    assert np.isnan(kx.conv.masked_max_pooling(x, backend=backend)).tolist() == [[False, False, True, False, False]]
    mask = np.array([[1, 1, 1, 0, 1, 1]])
    for pool in kx.conv.masked_max_pooling, kx.conv.masked_mean_pooling:
        assert pool(x, mask=mask, backend=backend).tolist() == [[1, 1, 1, 1, 1]]


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 300, 150)).astype(np.float32)
    mask = rng.random((9, 300)) < 0.7
    weight, hidden = (rng.standard_normal(s).astype(np.float32) for s in ((3, 150, 130), (150, 90)))
    found = []
    try:
        for threads in 1, 2, 7:
            core.set_num_threads(threads)
            results = [
                kx.conv.dilated_conv1d(x, weight, mask=mask, activation=a, pool=2) for a in (None, "relu_pair_sum")
            ]
            results.append(kx.conv.attention_pooling(x, hidden, hidden[0], mask=mask))
            results += [pool(x, mask=mask) for pool in (kx.conv.masked_max_pooling, kx.conv.masked_mean_pooling)]
            found.append([each.tobytes() for each in results])
    finally:
        core.set_num_threads(0)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_attention_pooling_of_large_scores_neither_overflows_nor_loses_weights(kind):
    x = np.zeros((1, 4, 3), kind)
    x[0, :, 0] = 1, 2, 3, 4
    hidden, output = np.full((3, 20), 10, kind), np.full(20, 1000, kind)
    mask = [[1, 1, 1, 0]]
    y = kx.conv.attention_pooling(x, hidden, output, mask=mask, activation="swish", backend="native")
    assert y.tolist() == [[3, 0, 0]]


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_dilation_beyond_machine_words_reaches_nothing(backend):
    x, weight = np.ones((1, 5, 2), np.float32), np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    for padding, tap in ("same", 1), ("causal", 2):
        y = kx.conv.dilated_conv1d(x, weight, dilation=10**30, padding=padding, backend=backend)
        np.testing.assert_array_equal(y[0], np.tile(weight[tap].sum(0), (5, 1)))
