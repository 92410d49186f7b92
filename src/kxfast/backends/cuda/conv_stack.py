"""A stack of gated convolutions in one launch, where all of a layer's tiles have room on the GPU at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from kxfast.backends.cuda import conv_plan, load
from kxfast.backends.cuda.conv_plan import Launcher, Tile

_FILE = "conv_stack.cuh"
_MOST_TABLES = 64
_tables: WeakKeyDictionary[Any, dict[tuple[int, bytes], Any]] = WeakKeyDictionary()


def run(device: load.Device, x: Any, layers: Sequence[Any], mask: Any, drop: float, seed: int, out: Any) -> Any:
    """Return the result of all layers, or None where they are better launched one by one."""
    rows, kind = x.shape[0] * x.shape[1], conv_plan.letter(x.dtype)
    if not rows or any(layer.shortcut is not None or layer.norm is not None for layer in layers):
        return None
    tile = Tile(kind, 2, 32)
    text, shared = tile.text(_FILE), tile.shared((tile.rows, tile.deep), (tile.deep, 2 * tile.columns))
    widest = max(layer.channels for layer in layers)
    tiles = -(-rows // tile.rows) * -(-widest // tile.columns)
    if tiles > device.resident_blocks(device.kernel(text, "conv_stack"), conv_plan.THREADS, shared):
        return None
    result = load.empty_beside(x.owner, (*x.shape[:2], layers[-1].channels), x.dtype) if out is None else out.owner
    even, odd = (load.empty_beside(x.owner, (rows, widest), x.dtype) for _ in range(2))
    arrays = [each for layer in layers for each in (layer.weight, layer.bias) if each is not None]
    Launcher(device)(
        text, "conv_stack", tiles, shared, _table(device, x, layers, mask), len(layers), x, even, odd, result,
        mask, rows, x.shape[1], *conv_plan.dropout(drop, seed), device.scratch(1, np.uint32),
        together=True, beside=arrays,
    )  # fmt: skip
    return result


def _table(device: load.Device, x: Any, layers: Sequence[Any], mask: Any) -> Any:
    """Return what the kernel reads of layers; on the device as long as the same ones come again."""
    rows = []
    for layer in layers:
        left, between = conv_plan.taps_between(layer, x.shape[1])
        addresses = layer.weight.address, 0 if layer.bias is None else layer.bias.address
        moves = layer.weight.shape[1], layer.channels, *between, layer.dilation, -left
        ways = conv_plan.SKIPS[layer.skip], layer.gate == "first", layer.mask_input, conv_plan.sign(layer)
        rows.append([*addresses, *moves, *map(int, ways)])
    table = np.array(rows, np.int64)
    known = _tables.setdefault(device, {})
    if len(known) >= _MOST_TABLES:
        known.clear()
    key = device.stream(), table.tobytes()  # another stream would not wait until it is there
    if key not in known:
        known[key] = device.upload(table)
    return known[key]
