"""Layers, residual blocks, log-determinants, and the other steps of invertible networks."""

import numpy as np
import pytest

import kxfast as kx
from kxfast.lipschitz.layers import ACTIVATIONS

L = kx.lipschitz


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def contraction(rng, name="tanh", n=4, norm=0.8):
    w, b = rng.standard_normal((2, n, n)), rng.standard_normal((2, n))
    w *= np.sqrt(norm) / np.array([np.linalg.norm(x, 2) for x in w])[:, None, None]
    return [L.Linear(w[0], b[0]), L.Activation(name), L.Linear(w[1], b[1])]


def run(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def every_layer(rng):
    yield L.Linear(rng.standard_normal((5, 4)), rng.standard_normal(5)), (4,)
    yield L.Conv1d(rng.standard_normal((4, 1, 3)), stride=2, padding=2, groups=2, padding_mode="circular"), (2, 7)
    yield L.Conv2d(rng.standard_normal((3, 2, 3, 2)), rng.standard_normal(3), padding=(1, 0), dilation=2), (2, 6, 5)
    for name in ACTIVATIONS:
        yield L.Activation(name), (4, 3)


def test_first_derivatives(rng):
    for layer, shape in every_layer(rng):
        x, t, h = rng.standard_normal((2, *shape)), rng.standard_normal((2, *shape)), 1e-6
        slope = (layer(x + h * t) - layer(x - h * t)) / (2 * h)
        np.testing.assert_allclose(layer.jvp(x, t), slope, atol=1e-7)
        g = rng.standard_normal(slope.shape)
        assert np.vdot(layer.vjp(x, g), t) == pytest.approx(np.vdot(g, layer.jvp(x, t)))
        single = layer(x.astype(np.float32))
        assert single.dtype == (np.float64 if hasattr(layer, "weight") else np.float32)


def test_activations_are_as_steep_as_they_say(rng):
    z = np.linspace(-30, 30, 20001)[None]
    for name, constant in ACTIVATIONS.items():
        if name != "sorting":
            steep = np.abs(L.Activation(name).jvp(z, np.ones_like(z))).max()
            assert 0.99 * constant < steep <= constant


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_gradient_of_the_log_determinant(rng, name):
    layers, x, h = contraction(rng, name), rng.standard_normal((3, 4)), 1e-6
    units = 2 * np.broadcast_to(np.eye(4)[:, None], (4, 3, 4))
    found = L.logdet_gradient(layers, x, terms=200, probes=units)
    linear = [layers[0], layers[2]]
    for layer, (dw, db) in zip(linear, found, strict=True):
        for array, slope in (layer.weight, dw), (layer.bias, db):
            for place in np.ndindex(*array.shape):
                kept = array[place]
                array[place] = kept + h
                up = L.logdet_exact(layers, x).mean.sum()
                array[place] = kept - h
                down = L.logdet_exact(layers, x).mean.sum()
                array[place] = kept
                assert slope[place] == pytest.approx((up - down) / (2 * h), abs=1e-6)


def test_gradient_through_convolutions(rng):
    w = 0.15 * rng.standard_normal((2, 2, 2, 3))
    layers = [L.Conv1d(w[0], padding=1), L.Activation("tanh"), L.Conv1d(w[1], np.zeros(2), padding=1)]
    x, h = rng.standard_normal((2, 2, 3)), 1e-6
    units = np.sqrt(6) * np.broadcast_to(np.eye(6).reshape(6, 1, 2, 3), (6, 2, 2, 3))
    (dw0, db0), (dw1, db1) = L.logdet_gradient(layers, x, terms=200, probes=units)
    assert db0 is None
    np.testing.assert_allclose(db1, 0, atol=1e-12)
    for layer, dw in (layers[0], dw0), (layers[2], dw1):
        for place in np.ndindex(*layer.weight.shape):
            values = []
            for step in h, -h:
                layer.weight[place] += step
                values.append(L.logdet_exact(layers, x).mean.sum())
                layer.weight[place] -= step
            assert dw[place] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-6)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("kind", ["dense", "2-D", "groups", "1-D"])
def test_gradients_of_a_block(rng, kind, backend):
    """Both parts of a likelihood, for the input and all weights, are slopes of it."""
    if backend not in kx.available():
        pytest.skip("native is not built")
    normal, even = rng.standard_normal, {"padding": 1, "padding_mode": "circular"}
    layers, size = {
        "dense": ([L.Linear(normal((6, 4)), normal(6)), L.Activation("lipswish"), L.Linear(normal((4, 6)))], (4,)),
        "2-D": ([L.Conv2d(normal((3, 2, 3, 2)), normal(3), stride=(1, 2), padding=(1, 0)), L.Activation("softplus"),
                 L.Conv2d(normal((4, 3, 1, 1))), L.Activation("sorting"),
                 L.Conv2d(normal((2, 4, 1, 1)), padding=(0, 1))], (2, 2, 4)),
        "groups": ([L.Conv2d(normal((4, 1, 3, 3)), groups=2, **even), L.Activation("tanh"),
                    L.Conv2d(normal((2, 2, 3, 3)), dilation=2, padding=2, groups=2)], (2, 3, 3)),
        "1-D": ([L.Activation("elu"), L.Conv1d(normal((2, 3, 3)), normal(2), **even), L.Activation("sigmoid"),
                 L.Conv1d(normal((3, 2, 2)), dilation=2, padding=1)], (3, 4)),
    }[kind]  # fmt: skip
    for layer in layers:
        if hasattr(layer, "weight"):
            layer.weight[...] *= 0.6 / np.linalg.norm(layer.weight)
    x, h, n = normal((3, *size)), 1e-6, int(np.prod(size))
    grad, weights = normal(x.shape), normal(3)
    units = np.sqrt(n) * np.broadcast_to(np.eye(n).reshape(n, 1, *size), (n, *x.shape))

    def value():
        return np.vdot(grad, x + run(layers, x)) + weights @ L.logdet_exact(layers, x).mean

    options = {"logdet_grad": weights, "terms": 60, "probes": units, "backend": backend}
    dx, found = L.residual_backward(grad, x, layers, **options)
    owners = [layer for layer in layers if hasattr(layer, "weight")]
    pairs = [(x, dx)]
    for layer, (dw, db) in zip(owners, found, strict=True):
        assert (db is None) == (layer.bias is None)
        pairs += [(layer.weight, dw)] + ([] if db is None else [(layer.bias, db)])
    for array, slope in pairs:
        assert slope.shape == array.shape
        for place in np.ndindex(*array.shape):
            kept, values = array[place], []
            for step in h, -h:
                array[place] = kept + step
                values.append(value())
            array[place] = kept
            assert slope[place] == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("window", [0, 3, 5])
def test_inverse_round_trip(rng, window):
    layers, x = contraction(rng, norm=0.95), rng.standard_normal((6, 4))
    found = L.residual_inverse(layers, x + run(layers, x), window=window, tol=1e-9)
    assert found.converged.all()
    assert np.all(np.linalg.norm(found.x - x, axis=1) <= found.error_bound)
    assert found.error_bound.max() < 1e-8


def test_mixing_needs_fewer_steps(rng):
    layers, x = [L.Linear(-0.97 * np.eye(4) + 0.01 * rng.standard_normal((4, 4)))], rng.standard_normal((3, 4))
    y = x + run(layers, x)
    plain, mixed = (L.residual_inverse(layers, y, window=w, lipschitz=0.99) for w in (0, 5))
    assert plain.converged.all()
    assert mixed.converged.all()
    assert mixed.steps.max() * 5 < plain.steps.min()


def test_samples_do_not_depend_on_their_batch(rng):
    layers, y = contraction(rng), rng.standard_normal((5, 4)) * np.array([[1], [10], [0.1], [100], [0]])
    whole = L.residual_inverse(layers, y)
    for i in range(5):
        alone = L.residual_inverse(layers, y[i : i + 1])
        assert alone.steps[0] == whole.steps[i]
        np.testing.assert_allclose(alone.x[0], whole.x[i], rtol=1e-12, atol=1e-14)


def test_what_is_no_contraction_is_flagged():
    y = np.array([[1.0], [2.0]])
    found = L.residual_inverse(lambda x: -3 * x + (x > 5) * x, y, max_steps=50, window=0)
    assert not found.converged.any()
    assert np.all(found.error_bound == np.inf)
    assert np.all(np.isfinite(found.x))
    one = L.residual_inverse(lambda x: np.where(x > 1.5, np.nan, 0.5 * np.sin(x)), y)
    assert one.converged.tolist() == [True, False]


def test_single_precision_and_nothing(rng):
    layers, x = contraction(rng), rng.standard_normal((3, 4)).astype(np.float32)
    found = L.residual_inverse(layers, (x + run(layers, x)).astype(np.float32))
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, x, atol=1e-5)
    empty = np.zeros((0, 4))
    assert L.residual_inverse(layers, empty).x.shape == (0, 4)
    assert L.logdet_exact(layers, empty).mean.shape == (0,)
    assert L.logdet_series(layers, empty, seed=0).mean.shape == (0,)
    none = L.Linear(np.zeros((0, 0)))
    assert L.logdet_exact(none, np.zeros((2, 0))).mean.tolist() == [0, 0]
    assert L.logdet_series(none, np.zeros((2, 0)), seed=0).mean.tolist() == [0, 0]
    nothing = L.logdet_series(layers, x, terms=0, seed=0)
    assert nothing.mean.tolist() == [0, 0, 0]
    assert np.all(nothing.truncation_bound >= np.abs(L.logdet_exact(layers, x).mean))


def test_log_determinants_of_composed_maps_add(rng):
    f, g, x = contraction(rng), contraction(rng, "elu"), rng.standard_normal((3, 4))
    y = x + run(f, x)
    total = L.logdet_exact(f, x).mean + L.logdet_exact(g, y).mean
    jacobians = []
    for e in np.eye(4):
        t = np.broadcast_to(e, x.shape)
        for block, at in (f, x), (g, y):
            s, here = t, at
            for layer in block:
                s, here = layer.jvp(here, s), layer(here)
            t = t + s
        jacobians.append(t)
    np.testing.assert_allclose(np.linalg.slogdet(np.stack(jacobians, -1))[1], total)


def test_estimates_agree_with_the_truth_within_their_errors(rng):
    layers, x = contraction(rng, norm=0.7), rng.standard_normal((4, 4))
    exact = L.logdet_exact(layers, x).mean
    series = L.logdet_series(layers, x, terms=20, probes=2000, seed=1)
    assert np.all(np.abs(series.mean - exact) <= 5 * series.standard_error + series.truncation_bound)
    for p in None, 0.3:
        roulette = L.logdet_roulette(layers, x, samples=2000, p=p, seed=1)
        assert np.all(np.abs(roulette.mean - exact) <= 5 * roulette.standard_error)
        assert np.all(roulette.standard_error > 0)
    again = L.logdet_roulette(layers, x, samples=2000, p=0.3, seed=1)
    np.testing.assert_array_equal(again.mean, roulette.mean)
    assert np.all(np.isnan(L.logdet_series(layers, x, seed=0).standard_error))


def test_lipschitz_bounds(rng):
    for name, constant in ACTIVATIONS.items():
        layers = contraction(rng, name)
        bounds = L.lipschitz_bounds(layers, (4,))
        assert 0 < bounds.lower <= bounds.upper <= 0.8 * constant * 1.003
        local = L.jacobian_norm(layers, rng.standard_normal((20, 4)))
        assert np.all(local.lower <= bounds.upper)
    net = [L.Conv2d(rng.standard_normal((3, 2, 3, 3)), padding=1), L.Activation("relu")]
    bounds = L.lipschitz_bounds(net, (2, 6, 6))
    exact = L.conv_spectral_norm(net[0].weight, (6, 6), padding=1)
    assert bounds.lower <= exact.upper
    assert bounds.upper == pytest.approx(exact.upper)


def test_actnorm(rng):
    x = rng.standard_normal((5, 3, 4, 4)) * 3 + 1
    s, b = L.actnorm_init(x)
    y, logdet = L.actnorm(x, s, b)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, atol=1e-5)
    back, inverse = L.actnorm(y, s, b, inverse=True)
    np.testing.assert_allclose(back, x)
    assert logdet == pytest.approx(16 * s.sum())
    assert inverse == -logdet


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_squeeze_is_a_permutation(rng, factor):
    x = rng.standard_normal((2, 3, 6, 12))
    y = L.squeeze(x, factor)
    assert y.shape == (2, 3 * factor**2, 6 // factor, 12 // factor)
    np.testing.assert_array_equal(np.sort(y, axis=None), np.sort(x, axis=None))
    np.testing.assert_array_equal(L.unsqueeze(y, factor), x)


def test_padding_with_channels(rng):
    x = rng.standard_normal((2, 3, 4))
    y = L.injective_pad(x, 2)
    assert not y[:, 3:].any()
    np.testing.assert_array_equal(L.injective_unpad(y, 2), x)
    np.testing.assert_array_equal(L.injective_pad(x, 0), x)
