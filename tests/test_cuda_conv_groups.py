"""Gated convolutions by warp groups, which Hopper alone has, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_attention import BRAIN, HALF
from cuda_conv import agree, case
from cuda_emulation import EmulatedDevice, LaunchError

from kxfast.backends.cuda import conv_plan, nvrtc

KINDS = [BRAIN, HALF]
FOLDER = nvrtc.source_folder()
VARIANTS = {
    "A0, gate first": {"skip": "none", "gate": "first"},
    "B": {"gate": "first"},
    "B as stored": {"gate": "first", "mask_input": False},
    "C": {"skip": "add"},
    "C as stored": {"skip": "add", "mask_input": False},
}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr(conv_plan, "_MANY", 1)


def groups_agree(*arguments, **options):
    agree(*arguments, warp_groups=True, **options)


def test_warp_groups_multiply_halves_in_whole_pieces_where_there_are_many_rows(monkeypatch):
    hopper, older = EmulatedDevice(warp_groups=True), EmulatedDevice()
    assert conv_plan.group_tile(hopper, "E", 300, 72, 8, 72) == conv_plan.GroupTile("E")
    assert conv_plan.group_tile(older, "E", 300, 72, 8, 72) is None
    assert conv_plan.group_tile(hopper, "f", 300, 72, 8, 72) is None
    assert conv_plan.group_tile(hopper, "E", 300, 72, 8, 76) is None
    assert conv_plan.group_tile(hopper, "E", 0, 72, 8, 72) is None
    assert conv_plan.group_weights(hopper, "E", 300, 72, 144, 3)[0] == 3
    assert conv_plan.group_weights(older, "E", 300, 72, 144, 3)[0] == 0
    assert [conv_plan.group_weights(hopper, "E", 300, *each, 3)[0] for each in ((64, 144), (72, 128))] == [0, 0]
    monkeypatch.undo()
    assert conv_plan.group_weights(hopper, "E", 44 * 512 - 1, 128, 256, 3)[0] == 0
    assert conv_plan.group_weights(hopper, "E", 44 * 512, 128, 256, 3) == (3, 44, 512)
    assert conv_plan.group_tile(hopper, "E", 131 * 256, 64, 64, 64) is None
    assert conv_plan.group_tile(hopper, "E", 131 * 256 + 1, 64, 64, 64)


# Two tiles of rows, the second not full; channels that are one tile of columns or more; a step of depth or more.
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("deep", "channels", "kernel"), [(72, 72, 3), (8, 136, 2), (136, 8, 1)], ids=str)
def test_types_and_sizes_in_any_order_of_threads(rng, kind, deep, channels, kernel):
    given = case(rng, kind, (2, 151, deep), channels, kernel, shortcut=None, masked=[151, 100])
    skip = "gated" if deep == channels else "none"
    groups_agree(*given, dilation=3, skip=skip, padding="causal" if deep == 8 else "same", blocks=3)


def test_weights_in_slices(rng, monkeypatch):
    monkeypatch.setattr(conv_plan, "_MANY", 12)
    assert conv_plan.group_weights(EmulatedDevice(warp_groups=True), "E", 1400, 136, 144, 2) == (4, 2, 704)
    groups_agree(*case(rng, BRAIN, (7, 200, 136), 72, 2, masked=[200, 3, 0, 199, 200, 65, 64]), skip="none", orders=[2])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant(rng, name):
    given = case(rng, BRAIN, (3, 41, 24), 24, 3, bias=name != "C", masked=[41, 0, 17])
    groups_agree(*given, dilation=2, orders=[2], **VARIANTS[name])


def test_norms_shortcuts_and_dropped_gates(rng):
    groups_agree(*case(rng, BRAIN, (2, 37, 16), 16, 3, norm=True, masked=[30, 37]), skip="add", orders=[1])
    groups_agree(*case(rng, HALF, (2, 37, 8), 40, 2, shortcut=True, masked=[30, 37]), skip="add", orders=[2])
    groups_agree(*case(rng, BRAIN, (2, 37, 40), 72, 2, shortcut=False), orders=[2])
    groups_agree(*case(rng, BRAIN, (2, 37, 24), 24, 3), drop_gate=0.3, seed=2**63 + 5, gate="first", orders=[0])


@pytest.mark.parametrize("dilation", [1, 20, 36, 37, 1000])
def test_any_dilation(rng, dilation):
    for padding, kernel in ("same", 3), ("causal", 2), ("same", 40):
        given = case(rng, BRAIN, (2, 37, 8), 8, kernel, masked=[37, 20])
        groups_agree(*given, dilation=dilation, padding=padding, orders=[0], back=kernel != 40)


@pytest.mark.parametrize("shape", [(0, 5, 8), (2, 0, 8), (2, 1, 8), (300, 1, 8), (70, 5, 8)], ids=str)
def test_nothing_and_short_sequences(rng, shape):
    groups_agree(*case(rng, BRAIN, shape, 8, 3), orders=[0])
    groups_agree(*case(rng, HALF, shape, 8, 3, masked=[0] * shape[0]), skip="add", orders=[0])


def test_tiles_whose_positions_are_masked_multiply_nothing(rng, monkeypatch):
    """Each block has tiles of both kinds, in turn; a mistake in what their steps are would be waited for forever."""
    x, weight, given = case(rng, BRAIN, (6, 256, 16), 16, 3, masked=[256, 0, 3, 0, 0, 255])
    x[~given["mask"]] = np.nan
    for blocks in 1, 4:
        groups_agree(x, weight, given, dilation=2, orders=[0, 2], blocks=blocks, back=False)
    planted(monkeypatch, "conv_groups_tiles.cuh", "any_counts(in, counted, first) ? steps_of(in) : 0", "steps_of(in)")
    with pytest.raises(LaunchError, match="deadlock"):
        groups_agree(x, weight, given, orders=[0], blocks=1, back=False)


@pytest.mark.parametrize("skip", ["gated", "none", "add"])
def test_nothing_in_padding_reaches_a_real_position(rng, skip):
    x, weight, given = case(rng, BRAIN, (3, 101, 24), 24, 3, masked=[101, 0, 17])
    x[~given["mask"]] = np.nan
    x[2, 20:] = np.inf
    groups_agree(x, weight, given, skip=skip, dilation=2, orders=[0])
    x[0, 11, 3] = np.nan  # a real one goes as far as the taps reach
    groups_agree(x, weight, given, skip=skip, dilation=2, orders=[0], back=False)


def planted(monkeypatch, file, old, new):
    """Put another text in the place of a part of a file's, for all that includes it."""
    seen = (FOLDER / file).read_text()
    assert seen.count(old) == 1

    def expanded(name):
        text = (FOLDER / name).read_text().replace("#pragma once", "")
        text = text.replace(old, new) if name == file else text
        for each in "conv_groups_tiles.cuh", "conv_groups_ring.cuh", "conv_out.cuh":
            if f'#include "{each}"' in text:
                text = text.replace(f'#include "{each}"', expanded(each))
        return text

    write = conv_plan.GroupTile.text
    monkeypatch.setattr(
        conv_plan.GroupTile, "text", lambda self, name: write(self, name).replace(f'#include "{name}"', expanded(name))
    )


RING, TILES, BACKWARD = "conv_groups_ring.cuh", "conv_groups_tiles.cuh", "conv_groups_backward.cuh"
OUT = "conv_out.cuh"
PLANTED = {
    "a stage used before it is there": (RING, "ring.wait_until_full();", ""),
    "a stage filled before it is read": (TILES, "ring.wait_until_empty();", ""),
    "told of before it has landed": (RING, "copy_async_wait<kLag>()", "copy_async_wait<kStages>()"),
    "given back while products run": (RING, "if (i) ring.read(2);", "ring.read(1);"),
    "swizzled otherwise": (RING, "(chunk ^ row % 8)", "(chunk ^ row % 4)"),
    "the other rows": (TILES, "(own + m * 64)", "(own + (1 - m) * 64)"),
    "gates where candidates are": (OUT, "pair_at(at + 2 * kLanes, 2, true)", "pair_at(at, 2, true)"),
    "rows handed over too early": (OUT, "      __syncwarp();\n    }\n", "    }\n"),
    "rows written before the last are read": (OUT, "== 0) {\n      __syncwarp();\n", "== 0) {\n"),
    "what lies beside the row before": (OUT, "now[r] = next[r]", "now[r] = next[0]"),
    "the next sequence read": (TILES, "at >= 0 && at < in.length", "at >= 0"),
    "weights: a stage filled before it is read": (BACKWARD, "ring.wait_until_empty();", ""),
    "weights: the other channels": (BACKWARD, "b + group * kPanel", "b + (1 - group) * kPanel"),
    "weights: the other columns": (BACKWARD, "m * 4 * kPanel", "(1 - m) * 4 * kPanel"),
    "weights: rows that do not count": (BACKWARD, "within && counts && reads", "within && counts"),
    "weights: what was known a step before": (BACKWARD, "      look();\n      ring.wait", "      ring.wait"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    planted(monkeypatch, *PLANTED[bug])
    given = case(rng, BRAIN, (2, 150, 72), 72, 3, masked=[150, 99])
    with pytest.raises((AssertionError, LaunchError)):
        groups_agree(*given, dilation=2, back="weights" in bug)
