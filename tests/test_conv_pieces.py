"""Stacks over large batches go piece by piece: whole sequences the same bits, parts of a sequence the same result.

None of it runs under sanitizers, where no memory is used again.
"""

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings
from kxfast.conv import stack as stack_module

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")

DILATIONS = 1, 2, 5
BOTH_SIDES = 1 + 2 + 5


@pytest.fixture
def small(monkeypatch):
    """Let pieces have `rows` rows of `channels` channels."""
    from kxfast.backends.native import conv_stack

    def limit(rows, channels):
        monkeypatch.setattr(conv_stack, "_BYTES", 4 * rows * channels)
        monkeypatch.setattr(conv_stack, "_WEIGHTS", 0)

    return limit


def pieces(x, layers):
    from kxfast.backends.native import conv_stack

    return conv_stack.pieces(x, stack_module._checked(layers, x, has_mask=False))


def stack(kind=np.float32, channels=40, **options):
    rng = np.random.default_rng(4)
    normal = lambda *shape: rng.standard_normal(shape).astype(kind)
    return [
        kx.conv.GatedLayer(normal(3, channels, 2 * channels) / 8, normal(2 * channels) / 8, dilation=r, **options)
        for r in DILATIONS
    ]


def flat(nest):
    if nest is None or isinstance(nest, np.ndarray) or np.isscalar(nest):
        return [] if nest is None else [np.asarray(nest)]
    return [each for part in nest for each in flat(part)]


def results(x, grad, layers, mask, drop=0.0):
    options = {"drop_gate": drop, "seed": 5 if drop else None}
    y, kept = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True, **options)
    found = [kx.conv.dgcnn(x, layers, mask=mask, **options), y]
    for given in kept, None:
        found += flat(kx.conv.dgcnn_backward(grad, x, layers, mask, kept=given, **options))
    return found


def problem(batch, length, channels=40, kind=np.float32):
    rng = np.random.default_rng(7)
    x, grad = (rng.standard_normal((batch, length, channels)).astype(kind) for _ in range(2))
    return x, grad, np.arange(length) < rng.integers(0, length + 1, (batch, 1))


def close(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        exact = b.astype(np.float64)
        assert abs(a.astype(np.float64) - exact).max() <= tolerance * max(1e-30, abs(exact).max())


@pytest.mark.parametrize("drop", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_whole_sequences_are_the_same_bits(small, kind, masked, drop):
    x, grad, mask = problem(13, 90, kind=kind)
    layers = stack(kind)
    wanted = results(x, grad, layers, mask if masked else None, drop)
    small(3 * 90 + 7, 40)
    parts = pieces(x, layers)
    assert [(p.batch.start, p.batch.stop, p.first) for p in parts[:2]] == [(0, 2, 0), (2, 5, 180)]
    assert sum(p.batch.stop - p.batch.start for p in parts) == 13
    assert all(p.seen == p.own == slice(0, 90) for p in parts)
    found = results(x, grad, layers, mask if masked else None, drop)
    for a, b in zip(found[:2], wanted[:2], strict=True):
        assert a.tobytes() == b.tobytes()
    close(found, wanted, 1e-5 if kind is np.float32 else 1e-13)


@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize("variant", [{}, {"skip": "add"}, {"skip": "none"}, {"gate": "first", "mask_input": False}])
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_parts_of_a_sequence_are_the_same_result(small, variant, padding, drop):
    x, grad, mask = problem(2, 700, kind=np.float64)
    mask[:, 300:310] = False
    mask[0, 500:] = True
    layers = stack(np.float64, padding=padding, **variant)
    wanted = results(x, grad, layers, mask, drop)
    small(150, 40)
    parts = pieces(x, layers)
    before, after = (2 * BOTH_SIDES, 0) if padding == "causal" else (BOTH_SIDES, BOTH_SIDES)
    assert len(parts) == 10
    assert [(p.seen.start, p.seen.stop, p.own.start, p.own.stop, p.first) for p in (parts[0], parts[1], parts[9])] == [
        (0, 140 + after, 0, 140, 0),
        (140 - before, 280 + after, 140, 280, 140 - before),
        (560 - before, 700, 560, 700, 700 + 560 - before),
    ]
    close(results(x, grad, layers, mask, drop), wanted, 1e-13)


@pytest.mark.parametrize("kind", [np.float16, "bfloat16", np.float32])
def test_parts_in_every_type(small, kind):
    kind = pytest.importorskip("ml_dtypes").bfloat16 if kind == "bfloat16" else kind
    x, grad, mask = problem(1, 900, kind=kind)
    layers = stack(kind)
    wanted = results(x, grad, layers, mask)
    out = np.full_like(x, 9)
    small(200, 40)
    found = results(x, grad, layers, mask)
    assert kx.conv.dgcnn(x, layers, mask=mask, out=out) is out
    assert out.tobytes() == found[0].tobytes()
    close(found, wanted, {2: 3e-2 if kind is not np.float16 else 4e-3, 4: 1e-5}[np.dtype(kind).itemsize])


def test_layers_with_all_their_arrays(small):
    rng = np.random.default_rng(3)
    normal = lambda *shape: rng.standard_normal(shape)
    first = kx.conv.GatedLayer(normal(2, 5, 12), normal(12), shortcut=(normal(5, 6), normal(6)))
    second = kx.conv.GatedLayer(normal(3, 6, 12), skip="add", norm=(normal(6), normal(6), 0.7))
    third = kx.conv.GatedLayer(normal(4, 6, 6), skip="none", padding="causal")
    x, grad = normal(3, 200, 5), normal(3, 200, 3)
    layers, mask = [first, second, third], rng.random((3, 200)) < 0.8
    wanted = results(x, grad, layers, mask)
    for rows, count in ((200, 3), (50, 12)):
        small(rows, 6)
        assert len(pieces(x, layers)) == count
        close(results(x, grad, layers, mask), wanted, 1e-12)


def test_what_is_seen_decides_whether_a_sequence_is_cut(small):
    x, _, _ = problem(1, 4000)
    for dilation, cut in ((1, True), (7, True), (8, False), (10**12, False)):
        layers = [kx.conv.GatedLayer(np.zeros((3, 40, 80), "f"), dilation=dilation)] * 4
        small(8 * 2 * 4 * 7, 40)
        assert (len(pieces(x, layers)) > 1) == cut
        assert kx.conv.dgcnn(x, layers).shape == x.shape


def test_few_rows_and_large_weights_are_one_piece():
    def count(batch, length, channels, layers=2):
        x = np.broadcast_to(np.float32(0), (batch, length, channels))
        weight = np.broadcast_to(np.float32(0), (3, channels, 2 * channels))
        return len(pieces(x, [kx.conv.GatedLayer(weight)] * layers))

    assert count(128, 256, 128) == 1  # twice a piece
    assert count(129, 256, 128) == 3
    assert count(1, 33000, 128) == 3
    assert count(4096, 256, 128, layers=1) == 1  # there is nothing to hand on
    assert count(64, 512, 1024) == 1  # each piece would read 25 MB of weights
    assert count(0, 256, 128) == count(5, 0, 128) == 1


def test_a_large_stack_needs_the_memory_of_a_piece():
    pytest.importorskip("resource", reason="no resource module on this platform")
    import subprocess
    import sys

    code = """
import resource, sys
import numpy as np, kxfast as kx
layers = [kx.conv.GatedLayer(np.full((3, 16, 32), 0.01, "f"), dilation=r) for r in (1, 2, 5, 1)]
x = np.ones((int(sys.argv[1]), 1024, 16), "f")
out = np.ones_like(x)
kx.conv.dgcnn(x[:256], layers, out=out[:256])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kx.conv.dgcnn(x, layers, out=out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
assert (out[-1] == out[0]).all() and out[0].std() > 0
"""
    run = subprocess.run([sys.executable, "-c", code, "4096"], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 64 << 10  # kB; x has 256 MB


def test_memory_of_sizes_that_nobody_asks_for_any_more_makes_room():
    resource = pytest.importorskip("resource", reason="no resource module on this platform")

    def pooled(rows):
        return kx.conv.dilated_gated_conv1d(np.ones((1, rows, 4), np.float32), weight, skip="none", backend="native")

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    weight = np.ones((1, 4, 256), np.float32)
    for _ in range(10):
        others = [pooled(150 + 10 * i) for i in range(100)]
        del others
    for _ in range(3):
        pooled(70_000)  # 36 MB
    x = np.ones((1, 70_000, 4), np.float32)
    before = faults()
    for _ in range(10):
        kx.conv.dilated_gated_conv1d(x, weight, skip="none", backend="native")
    assert faults() - before < 50
