"""The worked numbers of the specification, to all digits it prints."""

import numpy as np
import pytest

import kxfast as kx
from kxfast.backends.reference.lipschitz import residual as reference
from kxfast.backends.reference.lipschitz.layers import inputs, jacobian

L = kx.lipschitz
W = np.array([[1, 2, 0.5], [-0.5, 1.5, 1]])
EXACT = 2.738612788


def near(value, expected, digits=9):
    np.testing.assert_allclose(value, expected, rtol=0, atol=0.51 * 10.0**-digits)


@pytest.mark.parametrize(
    ("n_iter", "sigma"), [(1, 2.638993315), (2, 2.735647315), (3, 2.738530248), (4, 2.738610495), (5, 2.738612724)]
)
def test_7a_power_iteration(n_iter, sigma):
    near(L.power_iteration(W, np.array([1.0, 0]), np.zeros(3), n_iter)[0], sigma)


def test_7a_converged_vectors_and_norm():
    _, u, v = L.power_iteration(W, np.array([1.0, 0]), np.zeros(3), 100)
    near(u, [0.8, 0.6])
    near(v, [0.182574186, 0.912870929, 0.365148372])
    norm = L.spectral_norm(W, tol=1e-12)
    near([norm.lower, norm.upper], EXACT)
    near(np.linalg.svd(W)[1][1], 1.118033989)


def test_7a_soft_scaling_and_its_gradient():
    u, v = np.array([1.0, 0]), np.array([1.0, 0, 0])
    (scaled,), sigmas = L.spectral_normalize([W], [u], [v], coeff=0.9, n_iter=100)
    near(sigmas, EXACT)
    expected = [[0.328633535, 0.657267069, 0.164316767], [-0.164316767, 0.492950302, 0.328633535]]
    near(scaled, expected)
    grad = np.array([[1, 0, -1], [0.5, 2, 0]])
    near(np.vdot(grad, scaled), 1.068058987)
    (dw,) = L.spectral_normalize_backward([grad], [W], [u], [v], sigmas, coeff=0.9)
    near(dw, [[0.271670389, -0.284815730, -0.442559826], [0.121594408, 0.443655272, -0.085444719]])


def test_7a_keras_form_of_the_transposed_kernel():
    near(L.normalize_weight(W.T, variant="keras")[1], 2.738612777)


@pytest.mark.parametrize(
    ("n_iter", "sigma"), [(1, 0.986097684), (2, 0.994227752), (5, 0.995716559), (500, 0.995722131)]
)
def test_7b_zero_padded_convolution(n_iter, sigma):
    kernel = np.array([[[0.25, 0.5, 0.3]]])
    u = np.full((1, 6), 6**-0.5)
    near(L.power_iteration(kernel, u, np.zeros((1, 6)), n_iter, conv={"input_shape": (6,), "padding": 1})[0], sigma)


def test_7b_other_norms_of_the_kernel():
    kernel = np.array([[[0.25, 0.5, 0.3]]])
    zeros = L.conv_spectral_norm(kernel, (6,), padding=1, tol=1e-11)
    near([zeros.lower, zeros.upper], 0.995722131)
    circular = L.conv_spectral_norm(kernel, (6,), padding=1, padding_mode="circular", tol=1e-11)
    near([circular.lower, circular.upper], 1.05)
    near(L.conv_singular_values(kernel, (6,))[0], 1.05, 12)
    near(L.spectral_norm(kernel.reshape(1, 3), tol=1e-11).lower, 0.634428877)


A1, A2 = np.array([[0.6, -0.3], [0.2, 0.5]]), np.array([[0.7, 0.1], [-0.2, 0.6]])
BLOCK = [L.Linear(A1, [0.1, -0.2]), L.Activation("tanh"), L.Linear(A2)]
X, Y = np.array([[0.8, -1.2]]), np.array([[1.258165622, -1.685984182]])
LIP = 0.497909775
SPEC = [layer.spec(np.float64) for layer in BLOCK]


def g(x):
    return np.tanh(x @ A1.T + [0.1, -0.2]) @ A2.T


def test_7c_the_block_and_its_bounds():
    x = X
    for layer in BLOCK:
        x = layer(x)
    near(X + x, Y)
    near(L.spectral_norm(A1, tol=1e-11).lower, 0.674862977)
    near(L.spectral_norm(A2, tol=1e-11).lower, 0.737793881)
    near(L.lipschitz_bounds(BLOCK, (2,), tol=1e-11).upper, LIP)
    near(jacobian(SPEC, X)[0], [[0.206586030, -0.062439705], [0.026572831, 0.231833443]])


@pytest.mark.parametrize(
    ("steps", "x"),
    [
        (1, [0.710495587, -1.115166448]),
        (2, [0.825277449, -1.217859804]),
        (3, [0.793761321, -1.196562952]),
        (5, [0.799649081, -1.199893508]),
        (8, [0.800003668, -1.199999878]),
    ],
)
def test_7c_plain_iterates_of_the_inverse(steps, x):
    y = X + g(X)
    result = L.residual_inverse(BLOCK, y, window=0, max_steps=steps, lipschitz=LIP, tol=1e-15)
    near(result.x, [x])
    assert result.steps.tolist() == [steps]
    assert np.linalg.norm(result.x - X) <= result.error_bound[0]


def test_7c_error_after_twelve_steps():
    result = L.residual_inverse(g, X + g(X), window=0, max_steps=12, tol=1e-15)
    near(np.max(np.abs(result.x - X)) * 1e9, 4.7, 1)


@pytest.mark.parametrize(
    ("terms", "value", "bound"),
    [
        (1, 0.438419473, 0.382131),
        (2, 0.391866406, 0.134217),
        (3, 0.398231290, 0.051925),
        (4, 0.397291840, 0.021194),  # 0.39729183955; the specification cuts the last digit off
        (5, 0.397432100, 0.008953),
        (10, 0.397414272, 0.000157),
    ],
)
def test_7c_series_with_exact_trace(terms, value, bound):
    units = np.sqrt(2) * np.eye(2)[:, None]
    found = L.logdet_series(BLOCK, X, terms=terms, probes=units, lipschitz=LIP)
    near(found.mean, value)
    near(found.truncation_bound, bound, 6)


def test_7c_log_determinant_and_probes():
    near(L.logdet_exact(BLOCK, X).mean, 0.397414269)
    probes = np.array([[[1.0, 1]], [[1.0, -1]]])
    for probe, value in zip(probes, [0.368010369, 0.426853831], strict=True):
        near(L.logdet_series(BLOCK, X, terms=5, probes=probe[None]).mean, value)
    near(L.logdet_series(BLOCK, X, terms=5, probes=probes).mean, 0.397432100)


def test_7c_neumann_value():
    at, j = inputs(SPEC, X), jacobian(SPEC, X)[0]
    values = [reference.neumann_vector(SPEC, at, p[None], 5)[0] @ j @ p for p in np.array([[1.0, 1], [1, -1]])]
    near(np.mean(values), 0.361230235)


def test_7c_inverse_transpose_and_probe_variances():
    j = jacobian(SPEC, X)[0]
    near(np.linalg.inv(np.eye(2) + j).T, [[0.827860509, -0.017858419], [0.041962951, 0.810892845]])
    s = (j + j.T) / 2
    near(2 * (np.sum(s**2) - np.sum(np.diag(s) ** 2)), 0.001286433)
    near(2 * np.sum(s**2), 0.194135499)
    rademacher = np.array([p @ j @ p for p in ([1, 1], [1, -1])])
    near(rademacher.var(), 0.001286433)


def test_7d_roulette_coefficients():
    assert reference.roulette_coefficients(3, 2, 0.5).tolist() == [1, 1, 1, 2, 4]


def test_empty_kernels_have_no_singular_values():
    for empty in np.zeros((0, 3, 3)), np.zeros((2, 0, 3)):
        assert L.conv_singular_values(empty, (6,)).shape == (0,)
        assert L.clip_conv_norm(empty, (6,), 1.0).shape == empty.shape
