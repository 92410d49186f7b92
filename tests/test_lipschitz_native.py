"""Compiled ways that the reference does not take: filtered convolutions, values from Gram matrices, Ctrl-C."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import SOON, seconds_to_interrupt

import kxfast as kx
from kxfast import cases
from kxfast.backends.reference.lipschitz import layers as reference
from kxfast.lipschitz.geometry import geometry

L = kx.lipschitz
pytestmark = pytest.mark.skipif(
    "native" not in " ".join(cases.engines("lipschitz.conv_spectral_norm")), reason="the compiled module is not built"
)
ENGINES = [each for each in cases.engines("lipschitz.conv_spectral_norm") if each.startswith("native")]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-13)])
def test_filtered_convolutions_are_convolutions(rng, engine, dtype, tolerance):
    from kxfast.backends.native.lipschitz.network import flat, packed, unflat

    for kernel, shape, padding, groups, stride, dilation in (
        ((3, 3), (9, 14), (1, 1), 1, 1, 1),
        ((2, 5), (6, 7), (3, 0), 1, 1, 1),
        ((4, 2), (11, 5), (0, 1), 2, 1, 1),
        ((5, 4), (5, 9), (4, 2), 1, 1, 1),
        ((1, 3), (3, 8), (0, 2), 1, 1, 1),
        ((3,), (23,), (1,), 1, 1, 1),
        ((2,), (8,), (5,), 2, 1, 1),
        ((3, 3), (9, 14), (2, 2), 1, 1, 2),  # these four are not filtered
        ((3, 3), (9, 14), (1, 1), 1, 2, 1),
        ((3,), (23,), (2,), 1, 1, 2),
        ((6, 3), (9, 8), (2, 1), 1, 1, 1),
    ):
        w = rng.standard_normal((groups * 20, 17, *kernel)).astype(dtype)
        bias = rng.standard_normal(len(w)).astype(dtype)
        moves = geometry(w, stride, padding, dilation, groups, "zeros")
        layer = [("conv", w, bias, moves)]
        x = rng.standard_normal((30, 17 * groups, *shape)).astype(dtype)
        expected = reference.forward(layer, x)
        g = rng.standard_normal(expected.shape).astype(dtype)
        back = reference.vjp(layer, x, g)
        with cases.engine(engine):
            network, out = packed(layer, x.shape[1:], dtype, True)
            y, dx = unflat(network.forward(flat(x)), out), unflat(network.vjp(flat(x), flat(g)), x.shape[1:])
        for found, wanted in (y, expected), (dx, back):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_values_in_floats_are_exact_to_their_roundings(rng, engine):
    for out, inner, kernel, shape, stride in (
        (3, 4, (3, 3), (6, 8), 2),
        (1, 1, (3,), (7,), 1),
        (5, 9, (4,), (12,), 3),
        (33, 20, (2, 3), (5, 4), 1),
        (8, 8, (1, 1), (3, 3), 1),
    ):
        w = rng.standard_normal((out, inner, *kernel))
        low = np.einsum("o,i...->oi...", rng.standard_normal(out), w[0])  # most of its values are 0
        for each in w, low, 1e-30 * w, 1e30 * w, 0 * w:
            given = each.astype(np.float32)
            exact = L.conv_singular_values(given.astype(np.float64), shape, stride=stride, backend="reference")
            with cases.engine(engine):
                found = L.conv_singular_values(given, shape, stride=stride)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, exact, rtol=0, atol=1.2e-7 * exact[0])


def test_values_are_those_of_torus_walks():
    found = L.conv_singular_values(np.array([[[1, -1]]], np.float32), (12,))
    np.testing.assert_allclose(found, np.sort(2 * np.abs(np.sin(np.pi * np.arange(12) / 12)))[::-1], atol=2e-7)


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_estimates_in_floats_are_close(rng, padding_mode):
    w = rng.standard_normal((24, 20, 3, 3))
    options = {"padding": 1, "padding_mode": padding_mode, "upper": None}
    exact = L.conv_spectral_norm(w, (18, 21), tol=1e-10, **options).lower
    for tol in 1e-2, 1e-3, 1e-6:
        found = L.conv_spectral_norm(w.astype(np.float32), (18, 21), tol=tol, **options)
        assert (1 - tol) * exact <= found.lower <= exact * (1 + 3e-8)
    a = rng.standard_normal((90, 130)).astype(np.float32)
    exact = np.linalg.norm(a.astype(np.float64), 2)
    for tol in 1e-2, 1e-3, 1e-6:
        assert (1 - tol) * exact <= L.spectral_norm(a, tol=tol, upper=None).lower <= exact * (1 + 1e-14)


def test_results_are_the_same_on_any_number_of_threads(rng):
    w = rng.standard_normal((40, 40, 3, 3)).astype(np.float32)
    a = rng.standard_normal((600, 900)).astype(np.float32)
    matrices = [0.9 * x / np.linalg.norm(x, 2) for x in rng.standard_normal((2, 48, 48)).astype(np.float32)]
    block = [L.Linear(matrices[0]), L.Activation("elu"), L.Linear(matrices[1])]
    y = rng.standard_normal((150, 48)).astype(np.float32) * rng.choice([0.1, 1, 10], (150, 1)).astype(np.float32)
    found = []
    for threads in 1, 2, 3:
        kx.set_num_threads(threads)
        try:
            norm = L.conv_spectral_norm(w, (20, 20), padding=1)
            dense = L.spectral_norm(a)
            inverse, series = L.residual_inverse(block, y), L.logdet_series(block, y, probes=2, seed=0).mean
            several = *L.conv_singular_values(w, (6, 6)), *inverse.x.flat, *inverse.error_bound, *series
            found.append((norm.lower, norm.upper, dense.lower, dense.upper, *several))
        finally:
            kx.set_num_threads(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_is_none_is_found_wherever_it_is(dtype):
    a = np.ones((7, 13), dtype)
    for at in range(a.size):
        for what in np.nan, -np.inf:
            bad = a.copy()
            bad.flat[at] = what
            with pytest.raises(ValueError, match="finite"):
                L.spectral_norm(bad)


@pytest.mark.parametrize("rows", [8, 20, 100, 300, 1024])
def test_sums_over_blocks_of_rows_are_the_same_on_any_number_of_threads(rows, rng):
    w = rng.standard_normal((rows, 4096)).astype(np.float32)
    u, v = (rng.standard_normal(n).astype(np.float32) for n in w.shape)
    step = {"u": w @ v, "v": w.T.astype(np.float64) @ (w @ v)}
    found = []
    for threads in 1, 2, 3, 8, 40:
        kx.set_num_threads(threads)
        try:
            us, vs = [u.copy()], [v.copy()]
            sigma = L.spectral_normalize([w], us, vs, mode="scale_only")[1][0]
            other = L.power_iteration(w, u, v, n_iter=2)
        finally:
            kx.set_num_threads(None)
        for got, wanted in (us[0], step["u"]), (vs[0], step["v"]):
            np.testing.assert_allclose(got, wanted / np.linalg.norm(wanted), rtol=0, atol=2e-6)
        assert sigma == pytest.approx(np.linalg.norm(step["v"]) / np.linalg.norm(step["u"]), rel=1e-5)
        found.append((us[0].tobytes(), vs[0].tobytes(), sigma, *(np.asarray(x).tobytes() for x in other)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ("normal(6000, 8000)", "spectral_norm(x, tol=1e-12)"),
        ("np.eye(2000) + 0.001 * normal(2000, 2000)", "spectral_norm(x, tol=1e-13, upper='random')"),
        ("normal(96, 96, 3, 3)", "conv_spectral_norm(x, (96, 96), padding=1, tol=1e-9)"),
        ("normal(128, 128, 3, 3).astype('f4')", "conv_singular_values(x, (224, 224))"),
    ],
)
@pytest.mark.alone
def test_long_calls_hear_ctrl_c(given, call):
    setup = f"""
import numpy as np, kxfast as kx
def normal(*shape): return np.random.default_rng(0).standard_normal(shape)
x = {given}
kx.set_num_threads(2)
kx.lipschitz.spectral_norm(np.ones((3, 3)))
"""
    assert seconds_to_interrupt(setup, f"kx.lipschitz.{call}", 0.1) < SOON


@pytest.mark.parametrize("taps", [(1.0, 0, -1), (1e16, 1, -1e16), (0.1, 0.2, -0.3), (1, 2.0, 3)])
def test_taps_that_wrap_onto_one_place_are_enclosed(taps):
    w = np.array(taps).reshape(1, 1, 3)
    norm = kx.lipschitz.conv_spectral_norm(w, (1,), padding=1, padding_mode="circular")
    assert Fraction(norm.lower) <= abs(sum(map(Fraction, taps))) <= Fraction(norm.upper)


def test_few_derivatives_are_there_at_a_time(rng, monkeypatch):
    from kxfast.backends.native.lipschitz import network

    layers = [
        L.Linear(rng.standard_normal((5, 5)) / 9),
        L.Activation("tanh"),
        L.Linear(rng.standard_normal((5, 5)) / 9),
    ]
    x = rng.standard_normal((23, 5))
    at_once = L.logdet_exact(layers, x, backend="native").mean
    monkeypatch.setattr(network, "TOGETHER", 7 * 5 * 5 * 8)
    np.testing.assert_array_equal(L.logdet_exact(layers, x, backend="native").mean, at_once)
    np.testing.assert_allclose(at_once, L.logdet_exact(layers, x, backend="reference").mean, rtol=1e-12)
