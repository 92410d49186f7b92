"""The developer cases of spectral norms and residual blocks: exact references of materialised operators."""

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

import kxfast as kx

L = kx.lipschitz


@pytest.fixture(scope="session")
def data(shared_data):
    @cache
    def load(kind):
        found = []
        for path in sorted((shared_data / "lipschitz").glob(f"*_{kind}_*.npz")):
            z = np.load(path)
            if str(z["kind"]) == kind:
                found.append(SimpleNamespace(name=path.stem, z=z, **json.loads(str(z["params"]))))
        assert found or kind == "conv_singular_values"
        return found

    return load


def layers_of(case):
    z, made = case.z, []
    for each in case.layers:
        if each["type"] == "act":
            made.append(L.Activation(each["name"]))
        elif each["type"] == "linear":
            made.append(L.Linear(z[each["W"]], z[each["b"]]))
        else:
            made.append(L.Conv2d(z[each["W"]], z[each["b"]], padding=each["padding"]))
    return made


def holds(interval, sigma, tol):
    slack = 4e-16 * np.max(sigma, initial=0)  # the roundings of the stored value itself
    assert np.all(interval.lower <= sigma + slack)
    assert np.all(interval.upper >= sigma - slack)
    assert np.all(interval.upper - interval.lower <= tol * sigma)


@pytest.mark.parametrize("upper", ["proof", "random"])
def test_dense_norms(data, upper):
    for case in data("dense_norm"):
        for tol in case.tols:
            holds(L.spectral_norm(case.z["A"], tol=tol, upper=upper), case.z["expect_sigma"], tol)


@pytest.mark.parametrize("upper", ["proof", "random"])
def test_convolution_norms(data, upper):
    for case in data("conv_norm"):
        names = "stride", "padding", "dilation", "groups", "padding_mode"
        options = {name: getattr(case, name) for name in names}
        for tol in case.tols:
            interval = L.conv_spectral_norm(case.z["w"], case.input_shape, tol=tol, upper=upper, **options)
            holds(interval, case.z["expect_sigma"], tol)


def test_circular_singular_values(data):
    for case in data("conv_norm"):
        if case.padding_mode == "circular" and case.dilation == 1 and case.groups == 1:
            values = L.conv_singular_values(case.z["w"], case.input_shape, stride=case.stride)
            np.testing.assert_allclose(values, case.z["expect_svals"], atol=2e-7 * case.z["expect_sigma"])


def test_spectral_normalize(data):
    for case in data("spectral_normalize"):
        numbers = range(case.count)
        ws, us, vs = ([case.z[f"{x}{i}"].copy() for i in numbers] for x in "Wuv")
        scaled, sigmas = L.spectral_normalize(ws, us, vs, coeff=case.coeff, n_iter=case.n_iter)
        np.testing.assert_allclose(sigmas, case.z["expect_sigma"], rtol=1e-6)
        for i in numbers:
            np.testing.assert_allclose(us[i], case.z[f"expect_u{i}"], atol=1e-6)
            np.testing.assert_allclose(vs[i], case.z[f"expect_v{i}"], atol=1e-6)
            np.testing.assert_allclose(scaled[i], case.z[f"expect_scaled{i}"], atol=1e-6)


def test_residual_blocks(data):
    for case in data("residual"):
        z, layers = case.z, layers_of(case)
        exact = L.logdet_exact(layers, z["x"])
        np.testing.assert_allclose(exact.mean, z["expect_logdet"], rtol=1e-10, atol=1e-12)
        series = L.logdet_series(layers, z["x"], terms=case.n_terms, probes=z["probes"])
        np.testing.assert_allclose(series.mean, z["expect_series"], rtol=1e-5, atol=1e-6)  # in float32, as the data
        assert np.all(np.abs(z["expect_series_exact_trace"] - z["expect_logdet"]) <= series.truncation_bound)
        holds(L.jacobian_norm(layers, z["x"], tol=1e-8), z["expect_jacobian_norm"], 1e-8)
        bounds = L.lipschitz_bounds(layers, z["x"].shape[1:], tol=1e-4)
        assert np.all(bounds.upper <= z["expect_product_bound"] * 1.0004)
        assert np.all(bounds.upper >= z["expect_jacobian_norm"])
        solved = L.residual_inverse(layers, z["y"])
        assert solved.converged.all()
        error = np.linalg.norm((solved.x - z["x"]).reshape(len(z["x"]), -1), axis=1)
        assert np.all(error <= solved.error_bound)
        assert np.all(solved.error_bound <= 1e-5)


def test_trace_by_unit_probes(data):
    case = data("residual")[0]
    x = case.z["x"]
    units = np.sqrt(x.shape[1]) * np.broadcast_to(np.eye(x.shape[1])[:, None], (x.shape[1], *x.shape))
    series = L.logdet_series(layers_of(case), x, terms=case.n_terms, probes=units)
    np.testing.assert_allclose(series.mean, case.z["expect_series_exact_trace"], rtol=1e-5)


def test_lipschitz_constants(data):
    for case in data("lipschitz"):
        bounds = L.lipschitz_bounds(layers_of(case), case.input_shape)
        assert 0.5 * case.z["expect_lipschitz"] < bounds.lower <= case.z["expect_lipschitz"] <= bounds.upper
        assert bounds.upper <= case.z["expect_product_bound"] * 1.003


def test_products_of_jacobians_and_the_exponential(data):
    for case in data("jacobian_products"):
        np.testing.assert_allclose(L.jacobian_product_lognorms(case.z["J"]), case.z["expect_log_norms"], atol=1e-9)
    for case in data("expm_logdet"):
        np.testing.assert_allclose(L.expm_logdet(case.z["A"]), case.z["expect"], rtol=1e-12)
