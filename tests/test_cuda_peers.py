"""Peers in JAX compute what ours compute: on the host, small; the command times them on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

import kxfast as kx
from benchmarks.gpu import attention, lipschitz, with_jax
from benchmarks.gpu import cooccurrence as pairs
from benchmarks.gpu import words as grams
from kxfast import masks

jax = pytest.importorskip("jax", reason="the peers are JAX's")


@pytest.fixture
def wide():
    """Leave JAX's integers as they were."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def host(x):
    return np.asarray(x, np.float64)


def test_jax_without_a_gpu_is_no_peer():
    if jax.default_backend() == "gpu":
        pytest.skip("JAX has a GPU here")
    with pytest.raises(ImportError, match=r"JAX .* sees no GPU"):
        with_jax.imported()
    assert with_jax.imported(gpu=False) is jax


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("words", "mask"),
    [
        ({}, None),
        ({"is_causal": True}, masks.causal()),
        ({"is_causal": True, "local_window_size": (16, 0)}, masks.sliding_window(16)),
        ({"allowed": attention._prefix(64)}, masks.prefix_lm(32)),
        ({"queries": 5}, None),
    ],
)
def test_attention(words, mask, backward):
    call = with_jax.attention((2, 3, 64, 32), backward, 5, how=None, dtype="float32", **words)
    rows = words.get("queries", 64)
    shapes = [(2, each, 3, 32) for each in (rows, 64, 64, rows)]
    q, k, v, grad = (host(with_jax.normal(x, 5 + i, "float32")).transpose(0, 2, 1, 3) for i, x in enumerate(shapes))
    out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
    expected = (out,)
    if backward:
        expected = kx.attention.scaled_dot_product_attention_backward(grad, q, k, v, out, lse, mask=mask)[:3]
    found = call() if backward else (call(),)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(host(a).transpose(0, 2, 1, 3), b, atol=1e-5)


@pytest.mark.parametrize("backward", [False, True])
def test_convolutions(backward):
    shape, dilations = (2, 30, 16), (1, 3)
    x, grad = (host(with_jax.normal(shape, 5 + i)) for i in range(2))
    weights = [host(with_jax.normal((3, 16, 32), 5 + i) * 48**-0.5) for i in range(2)]
    layers = [
        kx.conv.GatedLayer(w, host(with_jax.normal((32,), 5)), dilation=r)
        for w, r in zip(weights, dilations, strict=True)
    ]
    found = with_jax.convolutions(shape, dilations, backward, 5)()
    if backward:
        expected, _ = kx.conv.dgcnn_backward(grad, x, layers)
        found = found[0]
    else:
        expected = kx.conv.dgcnn(x, layers)
    assert np.linalg.norm(host(found) - expected) < 2e-2 * np.linalg.norm(expected)


def test_training_steps_of_all_layers():
    state = lipschitz._state(lipschitz.ODD, 3, "f")
    scaled, us, vs = with_jax.normalized(*state)()
    ours, _ = kx.lipschitz.spectral_normalize(*state)
    for a, b in zip([*scaled, *us, *vs], [*ours, *state[1], *state[2]], strict=True):
        np.testing.assert_allclose(host(a), b, atol=2e-6)


def test_power_iteration_with_a_convolution():
    rng = np.random.default_rng(3)
    weight, u, v = (rng.standard_normal(shape, np.float32) for shape in ((6, 4, 3, 3), (6, 9, 9), (4, 9, 9)))
    found = with_jax.power_iteration(weight, u, 1, 10)()
    _, expected, _ = kx.lipschitz.conv_power_iteration(weight, u, v, 10, input_shape=(9, 9), padding=1)
    np.testing.assert_allclose(host(found)[0], expected, atol=1e-5)


@pytest.mark.parametrize("words", pairs.SIZES.values())
def test_counts_of_pairs(wide, words):
    ids = pairs.corpus(3, 4000, words)
    found = with_jax.counts_of_pairs(ids, words, 3)()
    kind = np.uint32 if words < 2**16 else np.uint64
    near = ids.astype(kind)
    keys = np.concatenate([near[:-d] * kind(words) + near[d:] for d in (1, 2, 3)])
    for a, b in zip(found, np.unique(keys, return_counts=True), strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


def test_counts_of_grams(wide):
    codes = grams.corpus(3, 4000, 100)
    found = with_jax.counts_of_grams(codes, 3)()
    for n, (_, counts) in enumerate(found, 1):
        rows = np.lib.stride_tricks.sliding_window_view(codes % 2**14, n)
        np.testing.assert_array_equal(np.sort(counts), np.sort(np.unique(rows, axis=0, return_counts=True)[1]))


@pytest.mark.parametrize("name", ["schlogl", "toggle"])
@pytest.mark.parametrize("peer", ["JAX", "crn-jax"])
def test_trajectories_have_the_law_of_ours(name, peer):
    net, end, n = kx.gillespie.example(name), 2.0, 1500
    if peer == "JAX":
        x, events = (host(each) for each in with_jax.trajectories(net, end, n, 7)())
    else:
        pytest.importorskip("crn_jax", reason="crn-jax is not installed")
        x = host(with_jax.with_crn_jax(net, end, n, 2, 7)())[:, -1].T
    ours = kx.gillespie.simulate(net, [0, end], n=4 * n, seed=7)
    spread = np.sqrt(ours.counts[:, -1].var(0) * (1 / n + 1 / (4 * n))) + 1e-12
    assert np.abs((x.mean(1) - ours.counts[:, -1].mean(0)) / spread).max() < 5
    np.testing.assert_allclose(x.var(1), ours.counts[:, -1].var(0), rtol=0.25)
    if peer == "JAX":
        assert events.mean() == pytest.approx(ours.events.mean(), rel=0.05)


def test_bunches_are_of_calls():
    made = []

    def call():
        made.append(jax.numpy.ones(3))
        return made[-1]

    found = with_jax.timed(call, 4)
    assert len(made) == 4 * 11  # once more, to warm up
    assert 0 < found["p10"] <= found["seconds"] <= found["p90"] < 1
