"""Products of bfloat16: in pairs where the processor has them, and in the tiles of AMX, emulated everywhere."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

core = settings.native()
ml_dtypes = pytest.importorskip("ml_dtypes")
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")
KIND = ml_dtypes.bfloat16


@pytest.fixture(params=["usual", "tiles"])
def products(request):
    """Whatever the processor does with bfloat16, and emulated tiles."""
    core.emulate_tiles(request.param == "tiles")
    yield request.param
    core.emulate_tiles(False)


def shapes(*tiles):
    """Return a configuration; tiles are (rows, bytes of a row)."""
    made = np.zeros(64, np.uint8)
    made[0] = 1
    for i, (rows, width) in enumerate(tiles):
        made[16 + 2 * i : 18 + 2 * i] = width % 256, width // 256
        made[48 + i] = rows
    return made


def tile(values):
    """Return 16 rows of 64 bytes with some values at the upper left."""
    made = np.zeros((16, 64), np.uint8)
    given = np.ascontiguousarray(values).view(np.uint8)
    made[: given.shape[0], : given.shape[1]] = given
    return made


def product(sums, a, b):
    """A + B C, step by step as the manual of the processor has it; rows of `b` are pairs."""
    first = second = np.float32(0)
    flush = lambda v: np.where(np.abs(v) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), v), v)
    a, b = flush(a.astype(np.float32)), flush(b.astype(np.float32))
    for k in range(len(b)):  # products of two bfloat16 are exact in float32
        first = flush(first + a[:, 2 * k, None] * b[k, ::2])
        second = flush(second + a[:, 2 * k + 1, None] * b[k, 1::2])
    return flush(flush(sums) + flush(first + second))


@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (1, 1, 1), (5, 7, 3), (16, 2, 9)])
def test_emulated_tiles_round_as_the_manual_says(m, n, k):
    rng = np.random.default_rng(m)
    a, b = (rng.standard_normal(s).astype(KIND) for s in ((m, 2 * k), (k, 2 * n)))
    sums = rng.standard_normal((m, n)).astype(np.float32)
    configured = shapes((m, 4 * n), (m, 4 * k), (k, 4 * n))
    found = core.tile_product(configured, tile(sums), tile(a), tile(b)).view(np.float32)
    np.testing.assert_array_equal(found[:m, :n], product(sums, a, b))
    assert not found[m:].any()
    assert not found[:, n:].any()


def test_emulated_tiles_take_denormal_numbers_for_zeros():
    configured = shapes((1, 4), (1, 4), (1, 4))
    one = lambda *values: tile(np.array([values], KIND))
    total = lambda *values: tile(np.array([values], np.float32))
    small = 2.0**-126
    run = lambda sums, a, b: core.tile_product(configured, sums, a, b).view(np.float32)[0, 0]
    assert run(total(0), one(small / 4, 0), one(4, 0)) == 0  # a factor
    assert run(total(0), one(small, 0), one(0.5, 0)) == 0  # a product
    assert run(total(small / 2), one(0, 0), one(0, 0)) == 0  # what was there
    assert run(total(0), one(small, 0), one(1, 0)) == np.float32(small)
    assert np.isnan(run(total(0), one(np.inf, 0), one(0, 0)))


@pytest.mark.parametrize(
    ("configured", "words"),
    [
        (shapes((17, 64), (17, 64), (16, 64)), "1 to 16 rows"),
        (shapes((16, 64), (16, 65), (16, 64)), "1 to 16 rows of 1 to 64 bytes"),
        (shapes((16, 64), (16, 64)), "configured before it is used"),
        (shapes((16, 64), (15, 64), (16, 64)), "m x n"),
        (shapes((16, 64), (16, 60), (16, 64)), "m x n"),
        (shapes((16, 60), (16, 64), (16, 64)), "m x n"),
        (np.zeros(64, np.uint8), "palette"),
    ],
)
def test_emulated_tiles_fault_where_the_processor_does(configured, words):
    zero = np.zeros((16, 64), np.uint8)
    with pytest.raises(RuntimeError, match=words):
        core.tile_product(configured, zero, zero, zero)


def problem(b, length, d, f, k, seed=3):
    rng = np.random.default_rng(seed)
    arrays = rng.standard_normal((b, length, d)), rng.standard_normal((k, d, 2 * f)) / np.sqrt(k * d)
    return [each.astype(KIND) for each in (*arrays, rng.standard_normal(2 * f), rng.standard_normal((b, length, f)))]


SIZES = [(1, 1, 16, 1, 1, 1), (2, 5, 18, 3, 2, 7), (1, 33, 64, 64, 3, 1), (3, 47, 50, 50, 3, 5), (2, 20, 32, 17, 5, 3)]
SIZES += [(0, 4, 16, 16, 3, 1), (2, 0, 16, 16, 3, 1), (1, 97, 34, 34, 4, 2), (5, 13, 128, 40, 1, 1)]


def near(found, exact, tolerance):
    assert found.shape == exact.shape
    assert found.dtype == KIND
    wide = found.astype(np.float64)
    assert np.abs(wide - exact).max(initial=0) <= tolerance * np.abs(exact).max(initial=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("skip", ["gated", "first", "none", "add"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("products")
def test_layers_are_near_a_float64_result(size, skip, masked):
    *shape, dilation = size
    if skip != "none" and shape[2] != shape[3]:
        shape[3] = shape[2]
    x, weight, bias, grad = problem(*shape)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.6 if masked else None
    options = {"skip": "gated", "gate": "first"} if skip == "first" else {"skip": skip}
    options |= {"dilation": dilation, "mask": mask}
    wide = [each.astype(np.float64) for each in (x, weight, bias)]
    exact = kx.conv.dilated_gated_conv1d(*wide, backend="reference", **options)
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="native", **options)
    assert parts.dtype == np.float32
    near(y, exact, 1e-2)
    exact = kx.conv.dilated_gated_conv1d_backward(grad.astype(np.float64), *wide, backend="reference", **options)
    for given in None, parts:
        found = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, parts=given, backend="native", **options)
        for a, b in zip(found, exact, strict=True):
            near(a, b, 1e-2)


@pytest.mark.usefixtures("products")
def test_gate_dropout_is_that_of_the_reference():
    x, weight, bias, grad = problem(2, 40, 32, 32, 3)
    options = {"drop_gate": 0.4, "seed": 8}
    wide = [each.astype(np.float64) for each in (x, weight, bias)]
    exact = kx.conv.dilated_gated_conv1d_backward(grad.astype(np.float64), *wide, backend="reference", **options)
    found = kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, backend="native", **options)
    for a, b in zip(found, exact, strict=True):
        near(a, b, 1e-2)


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("shape", [(1, 128, 32), (9, 130, 48), (3, 61, 34)])
def test_bits_do_not_depend_on_threads_and_nan_in_padding_goes_nowhere(shape):
    x, weight, bias, grad = problem(*shape, shape[2], 3)
    mask = np.random.default_rng(1).random(x.shape[:2]) < 0.7
    dirty, dirty_grad = np.where(mask[..., None], (x, grad), KIND(np.nan))
    options = {"dilation": 2, "mask": mask, "backend": "native", "drop_gate": 0.1, "seed": 4}
    found = []
    try:
        for threads, a, g in (1, x, grad), (2, dirty, dirty_grad), (7, x, grad):
            core.set_num_threads(threads)
            y, parts = kx.conv.dilated_gated_conv1d(a, weight, bias, return_parts=True, **options)
            gradients = kx.conv.dilated_gated_conv1d_backward(g, a, weight, bias, **options)
            again = kx.conv.dilated_gated_conv1d_backward(g, a, weight, bias, parts=parts, **options)
            if core.half_products() != "none":  # else in float, where what is computed again is not filtered
                assert [each.tobytes() for each in gradients] == [each.tobytes() for each in again]
            found.append([each.tobytes() for each in (y, *gradients)])
    finally:
        core.set_num_threads(0)
    assert found[0] == found[1] == found[2]


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("size", [80.0, 130.0, 1e4, np.inf])
def test_gates_that_are_wide_open_or_shut(size):
    """Far beyond where exponentials overflow, a gate passes one of its inputs on and nothing of the other."""
    x, weight, bias, _ = problem(1, 20, 32, 32, 3)
    bias[32:48], bias[48:] = size, -size
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="native")
    np.testing.assert_array_equal(y[..., 16:], x[..., 16:])
    np.testing.assert_array_equal(y[..., :16], parts[..., :16].astype(KIND))
    np.testing.assert_allclose(parts[..., 32:48], 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(parts[..., 48:], 0, rtol=0, atol=1e-30)


def placed(x, offset):
    """Return a copy of `x` that begins `offset` bytes beyond a cache line."""
    memory = np.empty(x.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    copy = memory[begin : begin + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize(("length", "dilation"), [(96, 1), (130, 5), (7, 2), (40, 39), (5, 9)])
@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_where_arrays_begin(length, dilation, padding, masked):
    """Rows that straddle cache lines are copied before they become tiles, together or for each tap."""
    x, weight, bias, grad = problem(2, length, 66, 66, 3)
    mask = np.random.default_rng(2).random(x.shape[:2]) < 0.8 if masked else None
    options = {"dilation": dilation, "mask": mask, "padding": padding, "backend": "native"}
    found = []
    for offset in 0, 16, 34:
        a, g = placed(x, offset), placed(grad, offset)
        y = kx.conv.dilated_gated_conv1d(a, weight, bias, **options)
        found.append([y, *kx.conv.dilated_gated_conv1d_backward(g, a, weight, bias, **options)])
    for other in found[1:]:
        assert [each.tobytes() for each in other] == [each.tobytes() for each in found[0]]
    wide = [each.astype(np.float64) for each in (x, weight, bias)]
    near(found[0][0], kx.conv.dilated_gated_conv1d(*wide, **(options | {"backend": "reference"})), 1e-2)


@pytest.mark.skipif(
    core is None or core.half_products() != "tiles", reason="this processor has no matrix extension (AMX), or it is off"
)
@pytest.mark.parametrize(("of_x", "of_weight"), [(1, 0.1), (1e-20, 1e-18), (1e18, 0.1)])
def test_the_processors_tiles_are_bit_for_bit_the_emulated_ones(of_x, of_weight):
    """Small scales make some of the sums denormal numbers, which are taken for zeros."""
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((3, 61, 96)) * of_x).astype(KIND)
    weight = (rng.standard_normal((3, 96, 192)) * of_weight).astype(KIND)
    candidates = []
    for emulated in False, True:
        core.emulate_tiles(emulated)
        try:
            parts = kx.conv.dilated_gated_conv1d(x, weight, return_parts=True, backend="native")[1]
        finally:
            core.emulate_tiles(False)
        candidates.append(np.ascontiguousarray(parts[..., :96]))
    assert candidates[0].any()
    assert candidates[0].tobytes() == candidates[1].tobytes()


def flat(gradients):
    return [gradients[0], *(each for pair in gradients[1] for each in pair)]


def test_stacks(products):
    x, weight, bias, grad = problem(2, 37, 34, 34, 3)
    mask = np.arange(37) < np.array([[37], [20]])
    layers = [kx.conv.GatedLayer(weight, bias, dilation=r) for r in (1, 2, 5)]
    wide = [kx.conv.GatedLayer(weight.astype(float), bias.astype(float), dilation=r) for r in (1, 2, 5)]
    exact = [kx.conv.dgcnn(x.astype(float), wide, mask=mask, backend="reference")]
    exact += flat(kx.conv.dgcnn_backward(grad.astype(float), x.astype(float), wide, mask, backend="reference"))
    y, kept = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True, backend="native")
    if products == "tiles":
        assert all(each.dtype == KIND for each in kept.inputs)
    for given in None, kept:
        found = [y, *flat(kx.conv.dgcnn_backward(grad, x, layers, mask, kept=given, backend="native"))]
        for a, b in zip(found, exact, strict=True):
            near(a, b, 2e-2)
    _, by_reference = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True, backend="reference")
    for backend, given in ("native", by_reference), ("reference", kept):  # one may go on where the other stopped
        for a, b in zip(
            flat(kx.conv.dgcnn_backward(grad, x, layers, mask, kept=given, backend=backend)), exact[1:], strict=True
        ):
            near(a, b, 2e-2)
    for layer in layers:
        layer.repack()
    assert kx.conv.dgcnn(x, layers, mask=mask, backend="native").tobytes() == y.tobytes()


def test_tiles_and_pairs_are_really_other_sums():
    """The switch of this test file switches: sums of tiles differ from those of vectors in their last bits."""
    x, weight, bias, _ = problem(1, 64, 96, 96, 3)
    core.emulate_tiles(True)
    try:
        parts = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="native")[1]
    finally:
        core.emulate_tiles(False)
    others = kx.conv.dilated_gated_conv1d(x, weight, bias, return_parts=True, backend="native")[1]
    assert 0 < np.abs(parts - others).max() < 1e-4 * np.abs(parts).max()
