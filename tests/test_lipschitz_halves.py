"""Products of floats from those of bfloat16: in the tiles of AMX where the processor has them, emulated everywhere."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings
from kxfast.backends.reference.lipschitz import layers as reference
from kxfast.lipschitz.geometry import geometry

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")
L = kx.lipschitz

# weight (F, D, *K), shape, stride, padding, dilation, groups, mode
OPERATORS = (
    ((64, 32, 3, 3), (7, 9), 1, (1, 1), 1, 1, "zeros"),  # in frames, from here
    ((32, 64, 3, 3), (5, 16), 1, (2, 0), 2, 1, "zeros"),
    ((40, 32, 2, 4), (6, 5), 1, (3, 1), 1, 1, "zeros"),
    ((96, 32, 3), (40,), 1, (1,), 1, 1, "zeros"),
    ((64, 32, 3, 3), (6, 6), 1, (1, 1), 1, 2, "zeros"),
    ((64, 12, 3, 3), (9, 7), 1, (1, 1), 1, 1, "zeros"),  # in strips, from here
    ((32, 32, 3, 3), (8, 9), 2, (1, 1), 1, 1, "zeros"),
    ((32, 32, 3, 3), (6, 7), 1, (1, 1), 1, 1, "circular"),
    ((33, 50, 1, 1), (5, 5), 1, (0, 0), 1, 1, "zeros"),
    ((33, 50, 1, 1), (5, 5), 1, (1, 1), 1, 1, "zeros"),
)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def layers(rng):
    """Give each operator as a layer with numbers of very different sizes, and its input."""
    for shape, size, stride, padding, dilation, groups, mode in OPERATORS:
        w = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3, shape)).astype(np.float32)
        bias = rng.standard_normal(len(w)).astype(np.float32)
        moves = geometry(w, stride, padding, dilation, groups, mode)
        yield ("conv", w, bias, moves), rng.standard_normal((3, shape[1] * groups, *size)).astype(np.float32)
    for shape in (70, 45), (8, 16), (16, 300):
        w, bias = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape[0]).astype(np.float32)
        yield ("linear", w, bias), rng.standard_normal((37, shape[1])).astype(np.float32)


def applied(layer, x, g):
    from kxfast.backends.native.lipschitz.network import flat, packed, unflat

    network, out = packed([layer], x.shape[1:], np.float32)
    return unflat(network.forward(flat(x)), out), unflat(network.vjp(flat(x), flat(g)), x.shape[1:])


def test_products_are_as_exact_as_floats(rng, products):
    for layer, x in layers(rng):
        kind, w, bias, *rest = layer
        wide = (kind, w.astype(np.float64), bias.astype(np.float64), *rest)
        value = reference.forward([wide], x.astype(np.float64))
        g = rng.standard_normal(value.shape).astype(np.float32)
        back = reference.vjp([wide], x.astype(np.float64), g.astype(np.float64))
        absolute = (kind, np.abs(wide[1]), np.abs(wide[2]), *rest)
        sizes = reference.forward([absolute], np.abs(x).astype(np.float64))
        back_sizes = reference.vjp([absolute], np.abs(x).astype(np.float64), np.abs(g).astype(np.float64))
        for found, true, size in zip(applied(layer, x, g), (value, back), (sizes, back_sizes), strict=True):
            assert np.max(np.abs(found - true) / size) < 4e-7


def test_both_ways_give_the_same_bits(rng):
    if core.half_products() != "tiles":
        pytest.skip("this processor has no matrix extension (AMX), or it is off")
    for layer, x in layers(rng):
        g = rng.standard_normal(reference.forward([layer], x).shape).astype(np.float32)
        there = applied(layer, x, g)
        core.emulate_tiles(True)
        try:
            here = applied(layer, x, g)
        finally:
            core.emulate_tiles(False)
        for one, other in zip(there, here, strict=True):
            np.testing.assert_array_equal(one, other)


def test_inverses_are_right(rng, products):
    ws = [rng.standard_normal((48, 48)).astype(np.float32) for _ in range(2)]
    ws = [w * np.float32(0.8 / np.linalg.norm(w, 2)) for w in ws]
    k = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    k *= np.float32(0.7 / L.conv_spectral_norm(k, (5, 6), padding=1).upper)
    blocks = (
        ([L.Linear(ws[0]), L.Activation("elu"), L.Linear(ws[1])], (9, 48)),
        ([L.Activation("elu"), L.Conv2d(k, padding=1)], (3, 32, 5, 6)),
    )
    for g, shape in blocks:
        x = 10 * rng.standard_normal(shape)
        plain = [each.spec(np.float64) for each in g]
        y = x + reference.forward(plain, x)
        for tol in 1e-2, 1e-6, 1e-12:
            found = L.residual_inverse(g, y, lipschitz=0.8, tol=tol)
            error = np.linalg.norm((found.x - x).reshape(len(x), -1), axis=1)
            assert found.converged.all()
            assert np.all(error <= found.error_bound)
            assert np.all(found.error_bound <= 1.01 * tol * np.linalg.norm(y.reshape(len(y), -1), axis=1))
            alone = L.residual_inverse(g, y[1:2], lipschitz=0.8, tol=tol)
            np.testing.assert_array_equal(alone.x[0], found.x[1])
