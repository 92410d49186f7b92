"""Gated convolutions on a GPU, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF, distance
from cuda_conv import agree, case, there
from cuda_emulation import LaunchError, emulated
from helpers import numbers

import kxfast as kx
from kxfast.backends.cuda import conv_plan, nvrtc

FLOAT, DOUBLE = np.dtype("f"), np.dtype("d")
KINDS = [BRAIN, HALF, FLOAT, DOUBLE]
GATED = (
    "\n".join((nvrtc.source_folder() / name).read_text() for name in ("conv_gated.cuh", "conv.cuh"))
    .replace('#include "conv_gated.cuh"', "")
    .replace("#pragma once", "")
)
VARIANTS = {
    "A": {},
    "A0": {"skip": "none"},
    "B": {"gate": "first"},
    "B as stored": {"gate": "first", "mask_input": False},
    "C": {"skip": "add"},
    "C as stored": {"skip": "add", "mask_input": False},
    "A0, gate first": {"skip": "none", "gate": "first"},
}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_in_any_order_of_threads(rng, name):
    for bias in True, False:
        agree(*case(rng, DOUBLE, (3, 41, 24), 24, 3, bias=bias, masked=[41, 0, 17]), dilation=2, **VARIANTS[name])
    agree(*case(rng, BRAIN, (2, 41, 24), 24, 3), dilation=2, orders=[1], **VARIANTS[name])


# Channels that are whole chunks or not, more than a tile has, one; kernels of one tap, even and long ones.
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    ("deep", "channels", "kernel", "skip"),
    [(40, 48, 3, "none"), (7, 5, 4, "add"), (1, 1, 40, "gated"), (72, 33, 1, "gated")],
    ids=str,
)
def test_all_types_sizes_and_shortcuts(rng, kind, deep, channels, kernel, skip):
    shortcut = channels != 5 if skip != "none" and deep != channels else None
    given = case(rng, kind, (2, 37, deep), channels, kernel, shortcut=shortcut, masked=[30, 37])
    orders = range(3) if kind == BRAIN else [2]
    agree(*given, skip=skip, dilation=3, padding="causal" if deep < 10 else "same", orders=orders)


@pytest.mark.parametrize("kind", [BRAIN, DOUBLE], ids=str)
def test_normalisation_and_a_scalar_make_variant_d(rng, kind):
    agree(*case(rng, kind, (2, 37, 16), 16, 3, norm=True, masked=[30, 37]), skip="add", gate="first")
    agree(*case(rng, kind, (2, 37, 7), 40, 2, norm=True, shortcut=False), skip="add", orders=[1])


@pytest.mark.parametrize("kind", [BRAIN, FLOAT], ids=str)
def test_large_tiles_give_the_same(rng, kind, monkeypatch):
    given = case(rng, kind, (2, 150, 72), 72, 3, masked=[150, 101])
    monkeypatch.setattr(conv_plan, "_MANY", 1)
    assert conv_plan.tile(conv_plan.letter(kind), 300, 72) == conv_plan.large(conv_plan.letter(kind))
    agree(*given, dilation=4, orders=[2])


@pytest.mark.parametrize("dilation", [1, 20, 36, 37, 1000])
def test_any_dilation(rng, dilation):
    for padding in "same", "causal":
        for kernel in 2, 3:
            given = case(rng, DOUBLE, (2, 37, 6), 6, kernel, masked=[37, 20])
            agree(*given, dilation=dilation, padding=padding, orders=[0])


@pytest.mark.parametrize("shape", [(0, 5, 4), (2, 0, 4), (2, 1, 4)], ids=str)
def test_nothing_and_one_position(rng, shape):
    agree(*case(rng, DOUBLE, shape, 4, 3), orders=[0])
    agree(*case(rng, DOUBLE, shape, 4, 3, masked=[0] * shape[0], norm=True), skip="add", orders=[0])


@pytest.mark.parametrize("kind", [BRAIN, DOUBLE], ids=str)
@pytest.mark.parametrize("gate", ["last", "first"])
def test_the_same_gates_are_dropped_as_on_the_host(rng, kind, gate):
    agree(*case(rng, kind, (2, 37, 24), 24, 3), drop_gate=0.3, seed=2**63 + 5, gate=gate, orders=[0])
    agree(*case(rng, kind, (1, 9, 5), 5, 3, shortcut=None), drop_gate=0.9999, seed=1, skip="none", orders=[0])


@pytest.mark.parametrize("kind", [BRAIN, FLOAT], ids=str)
@pytest.mark.parametrize("skip", ["gated", "none", "add"])
def test_nothing_in_padding_reaches_a_real_position(rng, kind, skip):
    x, weight, given = case(rng, kind, (3, 41, 24), 24, 3, masked=[41, 0, 17])
    x[~given["mask"]] = np.nan
    x[2, 20:] = np.inf
    agree(x, weight, given, skip=skip, dilation=2, orders=[0])
    x[0, 11, 3] = np.nan  # a real one goes as far as the taps reach
    agree(x, weight, given, skip=skip, dilation=2, orders=[0], back=False)


def test_blocks_whose_positions_are_masked_multiply_nothing(rng, monkeypatch):
    """The text of their products is one that would be found."""
    x, weight, given = case(rng, FLOAT, (3, 64, 24), 24, 3, masked=[64, 0, 64])
    text = conv_plan.Tile.text
    spoiled = GATED.replace("if (any) {", "if (blockIdx.x == 1) {")
    assert "if (blockIdx.x == 1) {" in spoiled
    expected = kx.conv.dilated_gated_conv1d(x, weight, **given, backend="reference")
    with emulated(orders=[0]):
        found = kx.conv.dilated_gated_conv1d(there(x), there(weight), **{n: there(v) for n, v in given.items()})
        assert not found.memory[1].any()
    assert distance(found.memory, expected) < 1e-6
    monkeypatch.setattr(
        conv_plan.Tile, "text", lambda self, file: text(self, file).replace('#include "conv.cuh"', spoiled)
    )
    with emulated(orders=[0]):
        found = kx.conv.dilated_gated_conv1d(there(x), there(weight), **{n: there(v) for n, v in given.items()})
    assert not found.memory[1].any()
    assert distance(found.memory, expected) > 0.1


def worked():
    x = numbers(".5 -1 1 .25 -.75 2 .1 -.3 9 -9").reshape(1, 5, 2)
    a, i, o = np.ogrid[:3, :2, :4]
    weight = 0.1 * (a + 1) - 0.2 * i + 0.05 * o * (1 - 2 * (a % 2))
    return x, weight, numbers(".01 -.02 .03 .04"), np.array([[1, 1, 1, 1, 0]], bool)


TABLE = {
    "A": ".26363832 -.32218903 .58822260 .17794847 -.39750183 1.06299844 .10283546 -.03721740 0 0",
    "A0": ".04841143 .08454097 .10945982 .05435466 .00463813 -.04779486 .05954476 .08661549 0 0",
    "B": ".39467219 -.36024056 .59036174 .14235818 -.44901249 .82907777 .18054160 .00223259 0 0",
    "B as stored": ".39467219 -.36024056 .59036174 .14235818 -.41176531 1.93432350 .18054160 .00223259 0 0",
    "C": ".54841143 -.91545903 1.10945982 .30435466 -.74536187 1.95220514 .15954476 -.21338451 -.12455953 -.11348958",
}


def test_the_worked_numbers():
    x, weight, bias, mask = worked()
    with emulated(orders=[0]):
        run, back = kx.conv.dilated_gated_conv1d, kx.conv.dilated_gated_conv1d_backward
        arrays = {"bias": there(bias), "mask": there(mask), "dilation": 2}
        for name, expected in TABLE.items():
            found = run(there(x), there(weight), **arrays, **VARIANTS[name])
            np.testing.assert_allclose(found.memory.ravel(), numbers(expected), atol=1e-8)
        norm = there(np.ones(2)), there(np.zeros(2)), 0.5
        found = run(there(x), there(weight), **arrays, skip="add", norm=norm).memory.ravel()
        d = ".00007659 -.50007659 1.49996707 -.24996707 -.25003637 1.50003637 -.39986360 .19986360 -.49918596 .49918596"
        np.testing.assert_allclose(found, numbers(d), atol=1e-8)
        dx, dweight, dbias = back(there(np.ones((1, 5, 2))), there(x), there(weight), **arrays)
    np.testing.assert_allclose(dbias.memory, numbers("2.12168972 2.13072180 -.10865418 -.17187153"), atol=1e-8)
    rows = ".65773446 .25125600 .80951450 .41350449 1.15038988 .78684521 .87840863 .44665538 0 0"
    np.testing.assert_allclose(dx.memory.ravel(), numbers(rows), atol=1e-8)
    assert dweight.memory.sum() == pytest.approx(3.59634805, abs=1e-8)


def test_sums_in_parts_over_many_positions(rng):
    given = case(rng, FLOAT, (5, 700, 8), 8, 3, masked=[700, 699, 0, 1, 350])
    assert conv_plan.slices(3, 3500, 16)[0] > 3
    agree(*given, dilation=9, orders=[2])


PLANTED = {
    "a wait too short": ("conv_tiles.cuh", "copy_async_wait<kStages - 2>();", "copy_async_wait<kStages - 1>();"),
    "no barrier": ("conv_tiles.cuh", "();\n    __syncthreads();\n    bring", "();\n    bring"),
    "a stage overwritten": ("conv_tiles.cuh", "bring((i + kStages - 1) % kStages)", "bring((i + 1) % kStages)"),
    "sums where factors are": ("conv_tiles.cuh", "  __syncthreads();\n  hand_over<", "  hand_over<"),
    "the next sequence read": ("conv_tiles.cuh", "at >= 0 && at < in.length &&", "at >= 0 &&"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    file, old, new = PLANTED[bug]
    text = (nvrtc.source_folder() / file).read_text()
    assert text.count(old) == 1
    text, head = text.replace("#pragma once", "").replace(old, new), f'#include "{file}"\n'
    source = GATED.replace(head, text)
    write = conv_plan.Tile.text
    monkeypatch.setattr(
        conv_plan.Tile, "text", lambda self, name: write(self, name).replace('#include "conv.cuh"', source)
    )
    with pytest.raises((AssertionError, LaunchError)):
        agree(*case(rng, BRAIN, (2, 70, 72), 72, 3), dilation=2, back=False)


# Registers of each file's kernels on sm_90a; of sm_80 no more than there are.
