"""Layers of three taps, which the compiled module multiplies by minimal filtering."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")
ROWS = 64  # from which on layers are filtered
MANY = 1024  # from which on threads share the values of weights


def problem(b, length, d, f, seed=3):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((3, d, 2 * f)) / np.sqrt(3 * d)
    return rng.standard_normal((b, length, d)), weight, rng.standard_normal(2 * f), rng.standard_normal((b, length, f))


def single(*arrays):
    return [each.astype(np.float32) for each in arrays]


CASES = [
    ((3, 350, 33, 33), {}),
    ((2, 600, 64, 64), {"dilation": 2}),
    ((5, 211, 40, 40), {"dilation": 5, "padding": "causal"}),
    ((30, 37, 32, 32), {"dilation": 40}),
    ((1, 1200, 48, 48), {"dilation": 7, "skip": "add"}),
    ((2, 520, 100, 35), {"skip": "none", "dilation": 3}),
    ((2, 520, 32, 300), {"skip": "none"}),
    ((4, 300, 36, 36), {"gate": "first", "mask_input": False}),
    ((4, 300, 36, 36), {"drop_gate": 0.3, "seed": 5}),
    ((2, 600, 270, 270), {"dilation": 2}),
    ((1, 128, 128, 128), {}),
    ((3, 23, 33, 47), {"skip": "none", "dilation": 2}),
    ((7, 19, 40, 40), {"dilation": 5, "padding": "causal"}),
    ((1, 80, 64, 530), {"skip": "none", "dilation": 16}),
    ((1, 300, 70, 70), {"skip": "add", "gate": "first", "dilation": 3}),
    ((2, 64, 48, 48), {"drop_gate": 0.3, "seed": 5}),
]


@pytest.mark.parametrize("isa", core.isas() if core else [])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("size", "options"), CASES)
def test_results_are_near_those_in_float64(isa, masked, size, options):
    x, weight, bias, grad = problem(*size)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.9 if masked else None
    options = {"mask": mask} | options
    if not masked:
        options.pop("mask_input", None)
    if options.get("drop_gate", 0) == 0 and options.get("skip", "gated") == "gated":
        rng = np.random.default_rng(2)
        options["shortcut"] = tuple(rng.standard_normal(s) / 6 for s in ((size[2], size[3]), (size[3],)))
    narrow = options | {k: tuple(single(*options[k])) for k in ("shortcut",) if k in options}
    exact = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="reference", **options)
    core.use_isa(isa)
    try:
        found = kx.conv.dilated_gated_conv1d(*single(x, weight, bias), return_parts=True, backend="native", **narrow)
        for a, b in zip(found, exact, strict=True):
            assert np.abs(a - b).max() <= 2e-6 * np.abs(b).max()
        exact = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, backend="reference", **options)
        for parts in None, found[1]:
            again = kx.conv.dilated_gated_conv1d_backward(
                *single(grad, x, weight, bias), parts=parts, backend="native", **narrow
            )
            for a, b in zip(again[:3], exact[:3], strict=True):
                assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()
    finally:
        core.use_isa("")


@pytest.mark.parametrize(
    ("length", "dilation", "same"),
    [
        (ROWS - 1, 1, False),
        (ROWS, 1, True),
        (MANY - 1, 1, True),
        (ROWS, ROWS // 2, True),
        (ROWS, ROWS // 2 + 11, False),
    ],
)
def test_more_rows_take_the_other_way(length, dilation, same):
    """Alone or with many more: one sum for a sequence of rows enough, most of them in pairs; else up to rounding."""
    x, weight, bias, _ = single(*problem(1, length, 64, 64))
    few = kx.conv.dilated_gated_conv1d(x, weight, bias, dilation=dilation, backend="native")
    many = np.concatenate([np.pad(x, ((0, 0), (0, 999), (0, 0))), np.ones((1, length + 999, 64), "f")])
    mask = np.ones(many.shape[:2], bool)
    mask[0, length:] = False
    many = kx.conv.dilated_gated_conv1d(many, weight, bias, dilation=dilation, mask=mask, backend="native")[:1, :length]
    assert np.abs(many - few).max() < 2e-6 * np.abs(few).max()
    assert np.array_equal(many, few) == same


@pytest.mark.parametrize("length", [ROWS - 1, ROWS, 130, MANY - 1, MANY])
def test_kept_weights_change_no_bit(length):
    x, weight, bias, grad = single(*problem(1, length, 50, 50))
    results = []
    for layer in (kx.conv.GatedLayer(weight, bias, dilation=3), kx.conv.GatedLayer(weight, bias, dilation=3).repack()):
        y, kept = kx.conv.dgcnn(x, [layer], return_kept=True, backend="native")
        dx, gradients = kx.conv.dgcnn_backward(grad, x, [layer], kept=kept, backend="native")
        results.append([each.tobytes() for each in (y, dx, *gradients[0][:2])])
    assert results[0] == results[1]


def test_calls_at_once_have_memory_of_their_own():
    given = [single(*problem(2, length, width, width)) for length, width in ((60, 96), (100, 33), (90, 128), (64, 64))]

    def run(x, weight, bias, grad):
        y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="native")
        return [y, *kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts, backend="native")]

    expected = [[each.tobytes() for each in run(*arrays)] for arrays in given]
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(lambda arrays: run(*arrays), given * 25)):
            assert [each.tobytes() for each in found] == expected[i % 4]


@pytest.mark.parametrize("length", [300, 90])
@pytest.mark.parametrize("skip", ["gated", "none", "add"])
def test_bits_depend_neither_on_threads_nor_on_padding_nor_on_what_stands_there(skip, length):
    x, weight, bias, grad = single(*problem(6, length, 48, 48))
    mask = np.arange(length) < length - np.array([[0], [1], [43], [50], [59], [length]])
    options = {"skip": skip, "dilation": 5, "backend": "native", "mask": mask}

    def run(x, grad, mask):
        now = options | {"mask": mask}
        y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, **now)
        return [y, *kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=parts, **now)]

    first = run(x, grad, mask)
    try:
        for threads in 1, 2, 3, 64, 100:
            core.set_num_threads(threads)
            assert [each.tobytes() for each in run(x, grad, mask)] == [each.tobytes() for each in first]
    finally:
        core.set_num_threads(0)
    hidden = ~mask[..., None]
    dirty = run(
        np.where(hidden, np.nan, x).astype("f"),
        grad if skip == "add" else np.where(hidden, np.nan, grad).astype("f"),
        mask,
    )
    assert [each.tobytes() for each in dirty] == [each.tobytes() for each in first]
    longer = [np.pad(each, ((0, 0), (0, 33), (0, 0))) for each in (x, grad)]
    padded = run(*longer, np.pad(mask, ((0, 0), (0, 33))))
    if skip != "add":  # whose results are not masked
        np.testing.assert_array_equal(padded[0][:, :length], first[0])
        np.testing.assert_array_equal(padded[1][:, :length], first[1])
        assert not padded[0][:, length:].any()


@pytest.mark.parametrize("rows", [ROWS, MANY])
def test_nan_and_infinity_reach_three_positions_and_no_more(rows):
    x, weight, bias, _ = single(*problem(1, rows, 32, 32))
    for value in np.nan, np.inf:
        for place in range(rows // 2, rows // 2 + 4):
            dirty = x.copy()
            dirty[0, place, 7] = value
            y = kx.conv.dilated_gated_conv1d(dirty, weight, bias, skip="none", dilation=2, backend="native")
            seen = np.flatnonzero(~np.isfinite(y[0]).all(1))
            assert set(seen) <= {place - 2, place, place + 2}
            if np.isnan(value):
                assert set(seen) == {place - 2, place, place + 2}


@pytest.mark.parametrize("dilation", [80, 2**40, 2**62, 2**63 - 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_beyond_the_sequence_is_as_good_as_any(dilation, dtype):
    x, weight, bias, grad = (each.astype(dtype) for each in problem(2, 80, 32, 32))
    for padding in "same", "causal":
        options = {"padding": padding, "backend": "native"}
        far, near = (kx.conv.dilated_gated_conv1d(x, weight, bias, dilation=d, **options) for d in (dilation, 80))
        np.testing.assert_array_equal(far, near)
        far, near = (
            kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, dilation=d, **options) for d in (dilation, 80)
        )
        for a, b in zip(far, near, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(
            *(kx.conv.dilated_conv1d(x, weight, dilation=d, **options) for d in (dilation, 80))
        )


def test_gradients_are_those_of_differences():
    """Along a random direction, in double from single: what filtering returns is the slope of what it computes."""
    x, weight, bias, grad = problem(2, 600, 32, 32)
    move = problem(2, 600, 32, 32, seed=9)
    total = lambda h: sum(
        (
            grad * kx.conv.dilated_gated_conv1d(*(a + h * b for a, b in zip((x, weight, bias), move[:3], strict=True)))
        ).sum()
        for _ in range(1)
    )
    slope = (total(1e-5) - total(-1e-5)) / 2e-5  # in float64, which is not filtered
    found = kx.conv.dilated_gated_conv1d_backward(*single(grad, x, weight, bias), backend="native")
    assert abs(sum((a * b).sum() for a, b in zip(found, move[:3], strict=True)) - slope) < 1e-4 * abs(slope)
