"""Layers that keep their weights packed: the same results, a stale pack until told, copies and threads."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")


def stack(kind=np.float32, channels=37, seed=2, batch=2):
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.standard_normal(shape).astype(kind)
    return [
        kx.conv.GatedLayer(normal(3, channels, 2 * channels) / 8, normal(2 * channels), dilation=r) for r in (1, 2, 5)
    ], (normal(batch, 61, channels), normal(batch, 61, channels))


def results(layers, x, grad, mask=None):
    y, kept = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True)
    found = [y, kx.conv.dgcnn(x, layers, mask=mask)]
    for given in kept, None:
        dx, gradients = kx.conv.dgcnn_backward(grad, x, layers, mask, kept=given)
        found += [dx, *(each for pair in gradients for each in pair)]
    return found


def kinds():
    return [np.float32, np.float64, np.float16, "bfloat16"]


@pytest.mark.parametrize("kind", kinds(), ids=str)
@pytest.mark.parametrize("isa", core.isas() if core else [])
@pytest.mark.parametrize(("channels", "batch"), [(37, 2), (64, 2), (37, 20)])
def test_results_are_the_same_bits(kind, isa, channels, batch):
    kind = pytest.importorskip("ml_dtypes").bfloat16 if kind == "bfloat16" else kind
    layers, (x, grad) = stack(kind, channels, batch=batch)
    mask = np.arange(61) < np.array([[61], [55]] * (batch // 2))
    core.use_isa(isa)
    try:
        before = results(layers, x, grad, mask)
        assert [layer.repack() for layer in layers] == layers
        assert all(layer.packed is not None for layer in layers)
        after = results(layers, x, grad, mask)
    finally:
        core.use_isa("")
    for a, b in zip(after, before, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("batch", [2, 20])  # few rows, and so many that they are filtered
def test_a_change_in_place_is_seen_when_told(batch):
    layers, (x, grad) = stack(batch=batch)
    fresh = results(layers, x, grad)
    for layer in layers:
        layer.repack()
    for layer in layers:
        layer.weight[...] *= 2
    for a, b in zip(results(layers, x, grad), fresh, strict=True):  # all that read weights are as old as each other
        np.testing.assert_array_equal(a, b)
    changed = results([replace(layer) for layer in layers], x, grad)
    assert np.abs(changed[0] - fresh[0]).max() > 1e-2
    for layer in layers:
        layer.repack()
    for a, b in zip(results(layers, x, grad), changed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_change_in_place_is_seen_at_once_by_layers_that_keep_nothing():
    layers, (x, _) = stack()
    before = kx.conv.dgcnn(x, layers)
    layers[0].weight[...] *= 2
    assert np.abs(kx.conv.dgcnn(x, layers) - before).max() > 1e-2


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), replace])
def test_copies_leave_the_panels_behind(again):
    (layer, *_), (x, _) = stack()
    layer.repack()
    other = again(layer)
    assert other.packed is None
    assert layer.packed is not None
    assert len(pickle.dumps(layer)) < 1.1 * (layer.weight.nbytes + layer.bias.nbytes) + 1000
    np.testing.assert_array_equal(kx.conv.dgcnn(x, [other]), kx.conv.dgcnn(x, [layer]))


def test_other_types_and_other_instruction_sets_than_those_packed_for():
    layers, (x, grad) = stack()
    wide = results(layers, x.astype(np.float64), grad.astype(np.float64))
    for layer in layers:
        layer.repack()
    for a, b in zip(results(layers, x.astype(np.float64), grad.astype(np.float64)), wide, strict=True):
        np.testing.assert_array_equal(a, b)
    for isa in core.isas():
        core.use_isa(isa)
        try:
            found = results(layers, x, grad)
        finally:
            core.use_isa("")
        for a, b in zip(found, wide, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max())


def test_threads_use_a_layer_while_another_repacks_it():
    """Every result is of the weight of before or of after, never of both."""
    (layer, *_), (x, _) = stack(channels=64)
    layer.repack()
    old = kx.conv.dgcnn(x, [layer]).tobytes()
    layer.weight[...] *= 2
    new = kx.conv.dgcnn(x, [replace(layer)]).tobytes()

    def work(i):
        if i == 20:
            layer.repack()
        return kx.conv.dgcnn(x, [layer]).tobytes()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(work, range(60)))
    assert found <= {old, new}
    assert new in found
    assert kx.conv.dgcnn(x, [layer]).tobytes() == new


def test_a_layer_that_cannot_be_packed_says_why():
    with pytest.raises(ValueError, match="bias must have shape"):
        kx.conv.GatedLayer(np.zeros((3, 4, 8)), np.zeros(7)).repack()
    with pytest.raises(ValueError, match="weight must have 3 dimensions"):
        kx.conv.GatedLayer(np.zeros((4, 8))).repack()


def test_the_reference_keeps_nothing():
    (layer, *_), (x, _) = stack()
    with kx.use_backend("reference"):
        layer.repack()
        assert layer.packed is None
        before = kx.conv.dgcnn(x, [layer])
        layer.weight[...] *= 2
        assert np.abs(kx.conv.dgcnn(x, [layer]) - before).max() > 1e-2
