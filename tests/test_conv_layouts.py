"""Convolutions of sequences that lie in parts of larger arrays."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings
from kxfast.conv import arguments

pytestmark = pytest.mark.skipif(settings.native() is None, reason="the compiled module is not built")


def layouts(x):
    """Return the numbers of `x` in other places of memory: channels of wider rows, every other row, axes swapped."""
    b, length, d = x.shape
    wide = np.full((2 * b, 2 * length, d + 5), np.nan, x.dtype)
    wide[::2, ::2, 2 : d + 2] = x
    return {
        "channels": np.concatenate([x, x], axis=2)[..., :d],
        "part": np.concatenate([x, x], axis=1)[:, :length],
        "everything": wide[::2, ::2, 2 : d + 2],
        "axes": np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    }


def gradients_of(x, weight, bias, grad, options):
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, **options)
    given = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts, **options)
    again = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, **options)
    return [y, parts, *given, *again]


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("shape", [(3, 20, 8), (2, 600, 40)])  # as it is, and by filtering
@pytest.mark.parametrize("masked", [False, True])
def test_sequences_in_any_layout_are_read_where_they_lie(dtype, shape, masked):
    rng = np.random.default_rng(5)
    b, length, d = shape
    x, grad = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((3, d, 2 * d)).astype(dtype) / d, rng.standard_normal(2 * d).astype(dtype)
    mask = rng.random((b, length)) < 0.7 if masked else None
    options = {"dilation": 2, "mask": mask, "backend": "native"}
    right = gradients_of(x, weight, bias, grad, options)
    layers = [kx.conv.GatedLayer(weight, bias)] * 2
    stack = kx.conv.dgcnn(x, layers, mask=mask, backend="native")
    plain = kx.conv.dilated_conv1d(x, weight, activation="relu", pool=2, mask=mask, backend="native")
    pooled = kx.conv.masked_mean_pooling(x, mask=mask, backend="native")
    for name, other in layouts(x).items():
        assert not other.flags.c_contiguous, name
        found = gradients_of(other, weight, bias, grad, options)
        for a, c in zip(found, right, strict=True):
            np.testing.assert_array_equal(a, c, err_msg=name)
        np.testing.assert_array_equal(kx.conv.dgcnn(other, layers, mask=mask, backend="native"), stack, err_msg=name)
        again = kx.conv.dilated_conv1d(other, weight, activation="relu", pool=2, mask=mask, backend="native")
        np.testing.assert_array_equal(again, plain, err_msg=name)
        again = kx.conv.masked_mean_pooling(other, mask=mask, backend="native")
        np.testing.assert_array_equal(again, pooled, err_msg=name)


@pytest.mark.parametrize("length", [20, 600])
def test_shortcuts_read_them_too(length):
    rng = np.random.default_rng(7)
    x, weight = rng.standard_normal((2, length, 40)), rng.standard_normal((3, 40, 64)) / 40
    shortcut = rng.standard_normal((40, 32)), None
    for name, other in layouts(x).items():
        results = [
            kx.conv.dilated_gated_conv1d(each, weight, shortcut=shortcut, backend="native") for each in (x, other)
        ]
        np.testing.assert_array_equal(*results, err_msg=name)
        grad = results[0] * 2
        run = kx.conv.dilated_gated_conv1d_backward
        right, found = (run(grad, each, weight, shortcut=shortcut, backend="native") for each in (x, other))
        for a, b in zip((*found[:2], found[3][0]), (*right[:2], right[3][0]), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_they_are_not_copied_on_the_way():
    x = np.random.default_rng(1).standard_normal((3, 20, 8))
    for name, other in layouts(x).items():
        assert np.shares_memory(arguments.sequence(other, None)[0], other), name
    for other in x[..., ::2], x[:, ::-1], x.astype(">f8"):  # kernels cannot read these
        copied = arguments.sequence(other, None)[0]
        assert not np.shares_memory(copied, other)
        np.testing.assert_array_equal(copied, other)


def test_bfloat16_in_any_layout():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: NumPy has no bfloat16")
    rng = np.random.default_rng(2)
    x, grad = (rng.standard_normal((3, 20, 64)).astype(ml_dtypes.bfloat16) for _ in range(2))
    weight, bias = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((3, 64, 128), (128,)))
    options = {"dilation": 3, "backend": "native"}
    right = [each.tobytes() for each in gradients_of(x, weight, bias, grad, options)]
    for name, other in layouts(x).items():
        assert [each.tobytes() for each in gradients_of(other, weight, bias, grad, options)] == right, name
