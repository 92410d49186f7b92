"""Normalisation of weights: modes, recipes, gradients, warm states."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases
from kxfast.backends.reference.lipschitz.power import block_step
from kxfast.dispatch import implementation

L = kx.lipschitz


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def converged(w, n=2000):
    w = w.reshape(len(w), -1)
    return L.power_iteration(w, np.ones(len(w)), np.zeros(w.shape[1]), n)


def test_modes(rng):
    ws = [rng.standard_normal((6, 4)), rng.standard_normal((3, 2, 3)) * 0.01, np.zeros((2, 2))]
    state = lambda: ([np.ones(6), np.ones(3), np.ones(2)], [np.ones(4), np.ones(6), np.ones(2)])
    soft, sigmas = L.spectral_normalize(ws, *state(), coeff=0.5, n_iter=400)
    hard, _ = L.spectral_normalize(ws, *state(), coeff=0.5, n_iter=400, mode="hard")
    scales, _ = L.spectral_normalize(ws, *state(), coeff=0.5, n_iter=400, mode="scale_only")
    norms = [np.linalg.norm(w.reshape(len(w), -1), 2) for w in ws]
    np.testing.assert_allclose(sigmas, norms, rtol=1e-9)
    np.testing.assert_allclose(scales, [min(1, 0.5 / s) if s else 1 for s in norms], rtol=1e-9)
    for w, s, h, scale, norm in zip(ws, soft, hard, scales, norms, strict=True):
        np.testing.assert_allclose(s, w * scale, atol=1e-15)
        np.testing.assert_allclose(h, w * 0.5 / norm if norm else w, rtol=1e-9)


def test_state_and_out_are_written_in_place(rng):
    w, u, v = rng.standard_normal((6, 4)), rng.standard_normal(6), rng.standard_normal(4)
    out = np.empty_like(w)
    results, _ = L.spectral_normalize([w], [u], [v], out=[out])
    assert results[0] is out
    np.testing.assert_allclose([np.linalg.norm(u), np.linalg.norm(v)], 1)
    before = u.copy()
    _, sigma = L.spectral_normalize([w], [u], [v], n_iter=0)
    np.testing.assert_array_equal(u, before)
    np.testing.assert_allclose(sigma, u @ w @ v)
    L.spectral_normalize([w], [u], [v], out=[w], n_iter=300)
    assert np.linalg.norm(w, 2) == pytest.approx(0.9)


@pytest.mark.parametrize("mode", ["soft", "hard"])
@pytest.mark.parametrize("scale", [0.1, 3.0])
@pytest.mark.parametrize("extra", [0.0, 0.3])
@pytest.mark.parametrize("conv", [None, {"input_shape": (5,), "padding": 1, "stride": 2}])
def test_gradient(rng, mode, scale, extra, conv):
    w, coeff, h = scale * rng.standard_normal((4, 2, 3)), 0.9, 1e-6
    if conv is None:
        u, v = rng.standard_normal(4), rng.standard_normal(6)
        value = lambda w: u @ w.reshape(4, 6) @ v
    else:
        u, v = rng.standard_normal((4, 3)), rng.standard_normal((2, 5))
        value = lambda w: L.power_iteration(w, u, v, 0, conv=conv)[0]
    if value(w) < 0:
        u = -u
    grad, sigma = rng.standard_normal(w.shape), value(w)
    if scale < 1:
        coeff = 2 * sigma if mode == "soft" else coeff

    def loss(w):
        factor = value(w) / coeff
        return np.vdot(grad, w / ((factor if mode == "hard" else max(1, factor)) + extra))

    (dw,) = L.spectral_normalize_backward(
        [grad], [w], [u], [v], [sigma], coeff=coeff, mode=mode, extra=extra, conv=conv
    )  # fmt: skip
    for place in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[place] = h
        assert dw[place] == pytest.approx((loss(w + step) - loss(w - step)) / (2 * h), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_layers_of_all_kinds_in_one_call(rng, mode):
    """Both types, strides, byte orders, a layer that is most of the work, empty ones: as the definition has it."""
    shapes = (5, 7), (300, 700), (8, 3, 3), (2, 0), (6, 4)
    kinds = np.float32, np.float32, np.float64, np.float64, np.float32
    made = [[rng.standard_normal(s).astype(k) for s, k in zip(shapes, kinds, strict=True)] for _ in range(2)]
    grads, ws = made
    us, vs = ([rng.standard_normal(n).astype(k) for n, k in zip(sizes, kinds, strict=True)]
              for sizes in ((5, 300, 8, 2, 6), (7, 700, 9, 0, 4)))  # fmt: skip
    grads[0], grads[4] = np.asfortranarray(grads[0]), grads[4].astype(">f8")
    ws[0].flags.writeable = us[1].flags.writeable = False
    sigmas = [2.0, 30.0, 0.5, 0.0, 1.5]
    found = L.spectral_normalize_backward(grads, ws, us, vs, sigmas, mode=mode)
    expected = L.spectral_normalize_backward(grads, ws, us, vs, sigmas, mode=mode, backend="reference")
    for each, w, wanted in zip(found, ws, expected, strict=True):
        assert each.dtype == wanted.dtype == w.dtype
        np.testing.assert_allclose(each, wanted, rtol=1e-5 if w.dtype == np.float32 else 1e-13, atol=1e-5)
    us, vs = ([x.astype(np.float64)[::-1] for x in xs] for xs in (us, vs))
    copies = [[x.copy() for x in xs] for xs in (us, vs)]
    found, sigmas = L.spectral_normalize(ws, us, vs, mode=mode, n_iter=2)
    expected, same = L.spectral_normalize(ws, *copies, mode=mode, n_iter=2, backend="reference")
    np.testing.assert_allclose(sigmas, same, rtol=1e-5)
    for a, b in zip([*found, *us, *vs], [*expected, *copies[0], *copies[1]], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("offset", [0, 3])
def test_weights_larger_than_the_caches(rng, offset):
    w, g = (rng.standard_normal((1100, 2101), np.float32) for _ in range(2))
    out = np.zeros(w.size + 16, np.float32)[offset:][: w.size].reshape(w.shape)
    u, v = rng.standard_normal(1100, np.float32), rng.standard_normal(2101, np.float32)
    (scaled,), (sigma,) = L.spectral_normalize([w], [u], [v], out=[out])
    np.testing.assert_allclose(scaled, w * np.float32(0.9 / sigma), rtol=1e-6)
    (dw,) = L.spectral_normalize_backward([g], [w], [u], [v], [sigma])
    (expected,) = L.spectral_normalize_backward([g], [w], [u], [v], [sigma], backend="reference")
    np.testing.assert_allclose(dw, expected, rtol=1e-5, atol=1e-7)


def test_infinite_gradients_pass_and_infinite_weights_do_not(rng):
    w, u, v = rng.standard_normal((4, 3)), rng.standard_normal(4), rng.standard_normal(3)
    g = np.full((4, 3), np.inf)
    (dw,) = L.spectral_normalize_backward([g], [w], [u], [v], [2.0])
    assert not np.isfinite(dw).any()
    w[1, 2] = np.nan
    for backend in "native", "reference":
        if backend in kx.available():
            with pytest.raises(ValueError, match=r"weights\[0\] must be finite; got nan at index \(1, 2\)"):
                L.spectral_normalize_backward([w], [w], [u], [v], [2.0], backend=backend)
    fine = rng.standard_normal((4, 3))
    before = fine.copy()
    with pytest.raises(ValueError, match="must be finite"):  # nothing has changed
        L.spectral_normalize([fine, w], [u, u.copy()], [v, v.copy()], out=[fine, w])
    np.testing.assert_array_equal(fine, before)


def test_gradients_do_not_depend_on_threads(rng):
    for shapes in [(700, 900)], [(40, 60)] * 70:
        gs, ws = ([rng.standard_normal(s).astype(np.float32) for s in shapes] for _ in range(2))
        us, vs = ([rng.standard_normal(s[k]).astype(np.float32) for s in shapes] for k in (0, 1))
        results = []
        for n in 1, 2, 5:
            kx.set_num_threads(n)
            results.append(L.spectral_normalize_backward(gs, ws, us, vs, [2.0] * len(ws)))
        kx.set_num_threads(None)
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_gradient_of_the_regularised_norm_is_the_outer_product(rng):
    w, h = rng.standard_normal((3, 4)), 1e-6
    sigma, u, v = converged(w)
    for place in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[place] = h
        slope = (np.linalg.norm(w + step, 2) ** 2 - np.linalg.norm(w - step, 2) ** 2) / (4 * h)
        assert slope == pytest.approx(sigma * u[place[0]] * v[place[1]], abs=1e-7)


def test_recipes(rng):
    kernel = rng.standard_normal((3, 3, 4, 5))  # height, width, in, out
    scaled, sigma, _, _ = L.normalize_weight(kernel, variant="keras", n_iter=500)
    assert sigma == pytest.approx(np.linalg.norm(kernel.reshape(36, 5), 2))
    np.testing.assert_allclose(scaled, kernel / sigma)
    w = rng.standard_normal((4, 3, 3, 3))
    u = v = None
    for _ in range(300):
        scaled, sigma, u, v = L.normalize_weight(w, u, v, variant="pytorch")
    assert sigma == pytest.approx(np.linalg.norm(w.reshape(4, 27), 2))
    np.testing.assert_allclose(scaled, w / sigma)
    again = L.normalize_weight(w, u, v, variant="pytorch", training=False)
    assert again[1] == pytest.approx(sigma)
    np.testing.assert_array_equal(again[2], u)
    turned = L.normalize_weight(w, variant="pytorch", axis=1, n_iter=500)
    assert turned[1] == pytest.approx(np.linalg.norm(np.moveaxis(w, 1, 0).reshape(3, -1), 2))
    assert turned[0].shape == w.shape
    soft = L.normalize_weight(w, variant="i-resnet", coeff=1.2, n_iter=500)
    np.testing.assert_allclose(soft[0], w / max(1, sigma / 1.2))
    conv = {"input_shape": (6, 6), "padding": 1}
    exact = L.conv_spectral_norm(w, (6, 6), padding=1, tol=1e-9).lower
    for variant, extra in ("i-resnet-conv", 1e-5), ("residual-flows", 0):
        scaled, sigma, _, _ = L.normalize_weight(w, variant=variant, conv=conv, coeff=0.9, n_iter=2000)
        assert sigma == pytest.approx(exact, rel=1e-6)
        np.testing.assert_allclose(scaled, w / (max(1, sigma / 0.9) + extra))


def test_residual_flows_warm_up_and_tolerance(rng):
    w = rng.standard_normal((5, 4))
    assert L.normalize_weight(w, variant="residual-flows")[1] == pytest.approx(np.linalg.norm(w, 2), rel=1e-6)
    exact = L.normalize_weight(w, variant="residual-flows", tolerance=(0, 1e-9))[1]
    assert exact == pytest.approx(np.linalg.norm(w, 2), rel=1e-9)


def test_one_dimension_and_zero_weights():
    gamma = np.array([0.5, -3.0, 1.0])
    assert L.normalize_weight(gamma, variant="keras")[1] == pytest.approx(np.linalg.norm(gamma))
    scaled, sigma, _, _ = L.normalize_weight(gamma, variant="keras", diagonal=True)
    assert sigma == 3
    np.testing.assert_allclose(scaled, gamma / 3)
    for variant in "keras", "pytorch", "i-resnet":
        scaled, sigma, u, v = L.normalize_weight(np.zeros((2, 3)), variant=variant)
        assert not scaled.any()
        assert sigma == 0
        assert not u.any()
        assert not v.any()


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_warm_state_gives_proven_contractions(rng, mode):
    ws = [rng.standard_normal((20, 30)), rng.standard_normal((8, 3, 3, 3)), 1e-3 * rng.standard_normal((2, 2))]
    state = L.SpectralState(ws)
    for _ in range(5):
        for w in ws:
            w[...] += 0.01 * rng.standard_normal(w.shape) * np.abs(w).max()
        scales, intervals = state.step(coeff=0.9, mode=mode)
        for w, scale, interval in zip(ws, scales, intervals, strict=True):
            sigma = np.linalg.norm(w.reshape(len(w), -1), 2)
            assert interval.lower <= sigma <= interval.upper <= sigma * 1.001
            assert scale * sigma <= 0.9
            if mode == "soft" and sigma < 0.8:
                assert scale == 1


def test_warm_blocks_follow_the_weights(rng):
    w = rng.standard_normal((40, 30))
    state = L.SpectralState([w])
    for _ in range(60):
        w += 1e-3 * rng.standard_normal(w.shape)
        state.step(upper=None)
    assert state.us[0] @ w @ state.vs[0] == pytest.approx(np.linalg.norm(w, 2), rel=1e-4)


@pytest.mark.parametrize("engine", cases.engines("lipschitz.SpectralState"))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_are_moved_as_defined(rng, engine, dtype):
    weights = [rng.standard_normal(shape).astype(dtype) for shape in ((12, 30), (30, 12), (40, 40), (3, 5))]
    weights += [weights[0] * dtype(1e-30), weights[0] * dtype(1e30), np.outer(weights[0][:, 0], weights[0][0])]
    given = [np.ascontiguousarray(np.linalg.qr(rng.standard_normal((w.shape[1], 3)))[0].T) for w in weights]
    before = [w.copy() for w in weights], [block.copy() for block in given]
    with cases.engine(engine):
        found = implementation("lipschitz", "state_step", None, "d")(weights, given, 1e-3, None, 0)
    for old, now in zip(before, (weights, given), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old, now, strict=True))
    for i, (w, block, (_, (moved, best, _, _))) in enumerate(zip(weights, given, found, strict=True)):
        u, expected = block_step(w.astype(np.float64) / np.abs(w).max(), block)
        np.testing.assert_allclose(moved @ moved.T, np.eye(3), atol=1e-5)  # orthonormal, in any case
        known = 1 if i == len(weights) - 1 else 3  # of rank one a single direction is known
        share = np.abs(np.sum(moved * expected, axis=1))[:known]
        np.testing.assert_allclose(share, 1, atol=1e-9 if dtype == np.float64 else 1e-3)
        assert abs(best @ u) == pytest.approx(1, abs=1e-4)


def test_a_state_of_odd_layers(rng):
    layers = [np.zeros((3, 4)), np.zeros((0, 4)), np.zeros((4, 0)), np.ones((1, 1), np.float32), np.ones((5, 2))]
    state = L.SpectralState(layers)
    for _ in range(3):
        scales, norms = state.step(coeff=0.5)
    np.testing.assert_allclose(scales[:3], 1)
    np.testing.assert_allclose(scales[3:] * [1, 10**0.5], 0.5, rtol=2e-3)
    assert [float(each.upper) for each in norms[:3]] == [0, 0, 0]
    assert L.SpectralState([]).step()[1] == []


def test_convolution_and_matrix_forms_agree(rng):
    w = rng.standard_normal((4, 3, 1, 1))
    u, v = rng.standard_normal((4, 1, 1)), np.zeros((3, 1, 1))
    flat = L.power_iteration(w[..., 0, 0], u.ravel(), v.ravel(), 7)
    conv = L.power_iteration(w, u, v, 7, conv={"input_shape": (1, 1)})
    for a, b in zip(flat, conv, strict=True):
        np.testing.assert_allclose(np.ravel(b), np.ravel(a), rtol=1e-12)
