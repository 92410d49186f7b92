"""Long calls end soon after Ctrl-C."""

import pytest
from helpers import SOON, seconds_to_interrupt

from kxfast import cases

pytestmark = pytest.mark.skipif(
    "native" not in " ".join(cases.engines("lipschitz.conv_spectral_norm")), reason="the compiled module is not built"
)

MLP = "[L.Linear(normal(600, 600) / 100), L.Activation('tanh'), L.Linear(normal(600, 600) / 100)]"
CONV = "[L.Conv2d(normal(48, 48, 3, 3) / 60, padding=1)]"


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ("[normal(2500, 5000)] * 9", "L.SpectralState(x).step(tol=1e-9)"),
        ("normal(96, 96, 3, 3)", "L.clip_conv_norm(x, (64, 64), 1.0)"),
        ("normal(96, 96, 3, 3)", "L.conv_singular_values(x, (144, 144))"),
        ("normal(600, 600)", f"L.logdet_exact({MLP}, x)"),
        ("normal(2000, 600)", f"L.logdet_series({MLP}, x, terms=200, probes=50, seed=0, lipschitz=0.9)"),
        ("normal(2000, 600)", f"L.logdet_gradient({MLP}, x, terms=200, probes=50, seed=0)"),
        ("normal(2000, 600)", f"L.logdet_roulette({MLP}, x, n_exact=200, p=0.5, samples=50, seed=0)"),
        ("normal(500, 600)", f"L.jacobian_norm({MLP}, x, tol=1e-9)"),
        ("normal(64, 48, 48, 48)", f"L.residual_inverse({CONV}, x, lipschitz=0.999, tol=1e-300)"),
        ("normal(64, 48, 48, 48)", f"L.residual_backward(x, x, {CONV}, logdet_grad=np.ones(64), probes=9, terms=200)"),
        ("normal(128, 128, 3, 3)", "L.lipschitz_bounds([L.Conv2d(x, padding=1)] * 4, (128, 96, 96), tol=1e-9)"),
        ("normal(3000, 6000)", "L.power_iteration(x, np.ones(3000), np.ones(6000), 2000)"),
        ("normal(700, 300, 300)", "L.jacobian_product_lognorms(x)"),
        ("[normal(3000, 3000)]", "L.spectral_normalize(x, [np.ones(3000)], [np.ones(3000)], n_iter=3000)"),
    ],
)
@pytest.mark.alone
def test_long_calls_hear_ctrl_c(given, call):
    setup = f"""
import numpy as np, kxfast as kx
L = kx.lipschitz
def normal(*shape): return np.random.default_rng(0).standard_normal(shape)
x = {given}
kx.set_num_threads(2)
L.spectral_norm(np.ones((3, 3)))
"""
    assert seconds_to_interrupt(setup, call, 0.1) < SOON
