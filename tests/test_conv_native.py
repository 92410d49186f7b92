"""The compiled convolutions where sizes, masks and threads are awkward."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")


def problem(b, length, d, f, k, kind=np.float32, seed=3):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((k, d, 2 * f)) / np.sqrt(k * d)
    arrays = (rng.standard_normal((b, length, d)), weight, rng.standard_normal(2 * f))
    return *(each.astype(kind) for each in arrays), rng.standard_normal((b, length, f)).astype(kind)


ODD = [(1, 1, 3, 1, 1, 1), (2, 5, 3, 1, 2, 7), (3, 77, 100, 100, 3, 5), (2, 40, 7, 33, 5, 3), (0, 4, 3, 2, 3, 1)]
ODD += [(2, 0, 3, 2, 3, 1), (1, 300, 65, 49, 3, 2), (2, 9, 3, 3, 2, 100), (5, 61, 16, 17, 4, 1)]


@pytest.mark.parametrize("size", ODD)
@pytest.mark.parametrize("masked", [False, True])
def test_odd_sizes_are_near_a_float64_result(size, masked):
    *shape, dilation = size
    x, weight, bias, grad = problem(*shape)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.6 if masked else None
    options = {"skip": "none", "dilation": dilation, "mask": mask}
    wide = [each.astype(np.float64) for each in (x, weight, bias)]
    pairs = [(kx.conv.dilated_gated_conv1d, [], 2e-6), (kx.conv.dilated_gated_conv1d_backward, [grad], 1e-5)]
    for function, first, tolerance in pairs:
        result = function(*first, x, weight, bias, backend="native", **options)
        exact = function(*[g.astype(np.float64) for g in first], *wide, backend="reference", **options)
        for a, b in zip(*([each] if not isinstance(each, tuple) else each for each in (result, exact)), strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max(initial=0) <= tolerance * np.abs(b).max(initial=0)


@pytest.mark.parametrize("skip", ["gated", "add"])
@pytest.mark.parametrize("shape", [(1, 128, 32), (9, 130, 48), (40, 129, 24)])
def test_bits_do_not_depend_on_threads(shape, skip):
    x, weight, bias, grad = problem(*shape, shape[2], 3)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.7
    options = {"skip": skip, "dilation": 2, "mask": mask, "backend": "native", "drop_gate": 0.1, "seed": 4}
    options["norm"] = (bias[: shape[2]], bias[shape[2] :], 0.5) if skip == "add" else None
    before = core.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 7, 64):
            core.set_num_threads(threads)
            y = kx.conv.dilated_gated_conv1d(x, weight, bias, **options)
            dx, dweight, dbias, *rest = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, **options)
            found.append([each.tobytes() for each in (y, dx, dweight, dbias, *(rest[0] if rest else ()))])
    finally:
        core.set_num_threads(before)
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("skip", ["gated", "none", "add"])
def test_nan_in_padding_goes_nowhere(skip):
    x, weight, bias, grad = problem(3, 50, 24, 24, 3)
    mask = np.arange(50) < np.array([[50], [31], [0]])
    options = {"skip": skip, "dilation": 3, "mask": mask, "backend": "native"}
    dirty, dirty_grad = np.where(mask[..., None], x, np.nan), np.where(mask[..., None], grad, np.nan)
    y = kx.conv.dilated_gated_conv1d(dirty, weight, bias, **options)
    np.testing.assert_array_equal(y, kx.conv.dilated_gated_conv1d(x, weight, bias, **options))
    for a, b in zip(
        kx.conv.dilated_gated_conv1d_backward(grad if skip == "add" else dirty_grad, dirty, weight, bias, **options),
        kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, **options),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_gates_neither_overflow_nor_hide_nan():
    x = np.zeros((1, 6, 1), np.float32)
    x[0, :, 0] = 0, 100, -100, 1e30, -1e30, np.nan
    weight = np.ones((1, 1, 2), np.float32)
    y = kx.conv.dilated_gated_conv1d(x, weight, skip="none", backend="native")
    assert y[0, 1, 0] == 100
    assert y[0, 3, 0] == np.float32(1e30)
    assert abs(y[0, 2, 0]) < 1e-30
    assert np.isnan(y[0, 5, 0])


def test_sigmoid_is_within_three_units_in_the_last_place():
    g = np.linspace(-80, 80, 20001, dtype=np.float32)
    x = np.ones((1, g.size, 2), np.float32)
    x[0, :, 0] = g
    weight = np.array([[[0, 1], [1, 0]]], np.float32)  # candidate 1, gate g
    y = kx.conv.dilated_gated_conv1d(x, weight, skip="none", backend="native")[0, :, 0]
    exact = 1 / (1 + np.exp(-g.astype(np.float64)))
    assert np.max(np.abs(y - exact) / np.spacing(exact.astype(np.float32))) < 4


@pytest.mark.parametrize("skip", ["gated", "none", "add", "norm"])
def test_gradients_from_what_was_kept_are_those_computed_again(skip):
    x, weight, bias, grad = problem(3, 77, 40, 40, 3)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.7
    options = {"dilation": 2, "mask": mask, "backend": "native", "drop_gate": 0.2, "seed": 4}
    options |= {"skip": "add", "norm": (bias[:40], bias[40:], 0.5)} if skip == "norm" else {"skip": skip}
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, **options)
    np.testing.assert_array_equal(y, kx.conv.dilated_gated_conv1d(x, weight, bias, **options))
    if "norm" not in options and skip != "add":
        np.testing.assert_array_equal(parts[~mask], 0)
    again = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, **options)
    kept = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts, **options)
    for a, b in zip(kept[:3], again[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(b).max())


def test_a_wrong_parts_changes_the_gradients():
    """The gradients really come from the parts."""
    x, weight, bias, grad = problem(1, 20, 16, 16, 3)
    _, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True)
    right = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts)
    wrong = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts + 1)
    assert np.abs(right[1] - wrong[1]).max() > 1e-2


def test_results_that_live_are_not_taken_for_others():
    """Large results come from memory that is used again: not before they are gone, whatever threads do."""
    x, weight, bias, grad = problem(2, 300, 64, 64, 3)
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True)
    held = y.copy(), parts.copy()

    def work(_):
        kept = []
        for scale in range(1, 12):
            result = kx.conv.dilated_gated_conv1d(scale * x, weight, bias, return_parts=True)
            gradients = kx.conv.dilated_gated_conv1d_backward(grad, scale * x, weight, bias, parts=result[1])
            kept = [(each, each.copy()) for each in (*result, *gradients[:2])] + kept[:4]
        return all(np.array_equal(each, copy) for each, copy in kept)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))
    np.testing.assert_array_equal(y, held[0])
    np.testing.assert_array_equal(parts, held[1])


def flat(gradients):
    return [gradients[0], *(each for pair in gradients[1] for each in pair)]


@pytest.mark.parametrize("isa", core.isas() if core else [])
def test_stacks_of_bfloat16(isa):
    """With products of bfloat16 where the processor is faster at them: padding hidden, any number of threads."""
    kind = pytest.importorskip("ml_dtypes").bfloat16
    x, weight, bias, grad = problem(3, 61, 34, 34, 3, kind)
    mask = np.arange(61) < np.array([[61], [40], [0]])
    layers = [kx.conv.GatedLayer(weight, bias, dilation=d) for d in (1, 2, 5)]
    wide = [kx.conv.GatedLayer(weight.astype(float), bias.astype(float), dilation=d) for d in (1, 2, 5)]
    exact = [kx.conv.dgcnn(x.astype(float), wide, mask=mask, backend="reference")]
    exact += flat(kx.conv.dgcnn_backward(grad.astype(float), x.astype(float), wide, mask=mask, backend="reference"))
    x[~mask] = np.nan
    core.use_isa(isa)
    try:
        y, kept = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True, backend="native")
        found = [y, *flat(kx.conv.dgcnn_backward(grad, x, layers, mask, kept=kept, backend="native"))]
        core.set_num_threads(1)
        alone = kx.conv.dgcnn(x, layers, mask=mask, backend="native")
    finally:
        core.use_isa("")
        core.set_num_threads(0)
    assert y.dtype == kind
    assert y.tobytes() == alone.tobytes()
    for a, b in zip(found, exact, strict=True):
        assert np.abs(a.astype(float) - b).max() <= 2e-2 * np.abs(b).max()
