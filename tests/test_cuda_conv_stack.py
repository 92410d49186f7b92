"""Stacks of gated convolutions in one launch, whose blocks wait for each other."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, distance
from cuda_conv import case, there
from cuda_emulation import ORDERS, LaunchError, emulated

import kxfast as kx
from kxfast.backends.cuda import conv_plan, nvrtc

DOUBLE = np.dtype("d")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def stack(rng, kind, channels, options, masked=(31, 0, 20), length=31):
    """Return x, layers as their arguments and the mask."""
    layers = []
    for i, (deep, out, extra) in enumerate(zip(channels, channels[1:], options, strict=False)):
        _, weight, given = case(rng, kind, (1, 1, deep), out, 3, bias=i % 2 == 0)
        layers.append({"weight": weight, **given, "dilation": 2**i, **extra})
    x = rng.standard_normal((len(masked), length, channels[0])).astype(kind)
    return x, layers, np.arange(length) < np.array(masked)[:, None]


def double(x):
    return x.astype("d") if hasattr(x, "dtype") and x.dtype.kind != "b" else x


def both(x, layers, mask, launches, blocks=64, orders=ORDERS, **keywords):
    """Return the distance of one call from the reference in double; `launches` is what it must need."""
    exact = [kx.conv.GatedLayer(**{n: double(v) for n, v in each.items()}) for each in layers]
    expected = kx.conv.dgcnn(double(x), exact, mask=mask, backend="reference", **keywords)
    given = [kx.conv.GatedLayer(**{n: there(v) for n, v in each.items()}) for each in layers]
    with emulated(blocks=blocks, orders=orders) as device:
        found = kx.conv.dgcnn(there(x), given, mask=there(mask), **keywords)
        assert device.launches == launches
        again = kx.conv.dgcnn(there(x), given, mask=there(mask), **keywords)
    np.testing.assert_array_equal(again.memory, found.memory)
    assert found.memory.dtype == x.dtype
    return distance(found.memory, expected)


WAYS = [
    {},
    {"gate": "first"},
    {"skip": "add"},
    {"skip": "none"},
    {"skip": "add", "mask_input": False},
    {"padding": "causal"},
]


def test_all_layers_in_one_launch(rng):
    given = stack(rng, DOUBLE, [24] * 7, WAYS)
    assert both(*given, 1) < 1e-13
    assert both(*given[:2], None, 1, orders=[0]) < 1e-13
    given = stack(rng, DOUBLE, [7, 40, 5], [{"skip": "none"}] * 2)
    assert both(*given, 1, drop_gate=0.3, seed=2**64 - 1) < 1e-13
    assert both(*stack(rng, BRAIN, [24] * 5, WAYS), 1) < 3e-2


def test_as_many_blocks_as_there_is_room_for_else_layer_by_layer(rng):
    x, layers, mask = stack(rng, DOUBLE, [24] * 3, WAYS)  # 93 positions: two tiles
    assert both(x, layers, mask, 1, blocks=2, orders=[0]) < 1e-13
    assert both(x, layers, mask, 2, blocks=1, orders=[0]) < 1e-13
    layers[1]["norm"] = np.ones(24), np.zeros(24), 0.5
    layers[1]["skip"] = "add"
    assert both(x, layers, mask, 3, orders=[0]) < 1e-13  # one more to normalise


def test_nothing_and_one_layer(rng):
    given = [kx.conv.GatedLayer(there(each["weight"])) for each in stack(rng, DOUBLE, [4] * 3, WAYS)[1]]
    with emulated(blocks=9) as device:
        assert kx.conv.dgcnn(there(np.zeros((0, 5, 4))), given).shape == (0, 5, 4)
        assert not device.launches
    x, layers, mask = stack(rng, DOUBLE, [24] * 2, WAYS)
    assert both(x, layers, mask, 1, orders=[0]) < 1e-13


def plant(monkeypatch, old, new):
    text = (nvrtc.source_folder() / "conv_stack.cuh").read_text()
    assert text.count(old) == 1
    monkeypatch.setattr(
        conv_plan.Tile, "text", lambda self, name, write=conv_plan.Tile.text: write(self, name).replace(
            '#include "conv_stack.cuh"', text.replace(old, new)
        ),
    )  # fmt: skip


CALL = "wait_for_all_blocks(arrived, static_cast<u32>(i + 1));"
ONE = "if (threadIdx.x == 0) {{ atomicAdd(arrived, 1u); {} }} __syncthreads();"
WAIT = "wait_for_blocks(arrived, static_cast<u32>(i + 1) * gridDim.x);"
PLANTED = {
    "no wait between layers": ("__syncthreads();" + ONE.format(""), "the result depends on the order"),
    "a block arrives before its threads": (ONE.format(WAIT), "the result depends on the order"),
    "a time too many waited for": (CALL.replace("i + 1", "i + 2"), "deadlock: .* waits for"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    new, words = PLANTED[bug]
    plant(monkeypatch, CALL, new)
    with pytest.raises(LaunchError, match=words):
        both(*stack(rng, DOUBLE, [24] * 7, WAYS), 1)


def test_a_launch_that_does_not_say_together_rests_unfinished(rng, monkeypatch):
    launch = conv_plan.Launcher.__call__

    def apart(self, *arguments, together, **options):
        launch(self, *arguments, **options)

    monkeypatch.setattr(conv_plan.Launcher, "__call__", apart)
    with pytest.raises(LaunchError, match="deadlock: thread 0 waits for other blocks"):
        both(*stack(rng, DOUBLE, [24] * 3, WAYS), 1)
