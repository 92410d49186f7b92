"""Dilated gated convolutions on a GPU: which kernels, over which blocks, and what lies between them.

Half types are multiplied as they are, with sums in float32, and rounded once a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast.backends.cuda import conv_plan, conv_stack, load
from kxfast.backends.cuda.conv_plan import Launcher, Made, Tile

__all__ = ["dgcnn", "dgcnn_backward", "dilated_gated_conv1d", "dilated_gated_conv1d_backward", "missing"]

_GATED, _PLAIN, _WEIGHTS, _ROWS = "conv.cuh", "conv_plain.cuh", "conv_backward.cuh", "conv_rows.cuh"
_GATED_GROUPS, _PLAIN_GROUPS, _WEIGHTS_GROUPS = (f"conv_groups{name}.cuh" for name in ("", "_plain", "_backward"))
_BLOCK_ROWS, _BLOCK_COLUMNS = 32, 128  # of kernels that go row by row


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


class Convolution:
    """One layer over one input: its sizes, and the steps that its results are made in."""

    def __init__(self, device: load.Device, x: Any, layer: Any, mask: Any, drop: float, seed: int) -> None:
        self.launch, self.device, self.x, self.layer = Launcher(device), device, x, layer
        self.kind = conv_plan.letter(x.dtype)
        self.sum = np.dtype(np.float64 if self.kind == "d" else np.float32)
        self.rows, self.length, self.deep = x.shape[0] * x.shape[1], x.shape[1], x.shape[2]
        self.taps, self.channels = layer.weight.shape[0], layer.channels
        self.left, self.between = conv_plan.taps_between(layer, self.length)
        self.counted = mask if layer.skip != "add" else None  # positions whose result is not 0
        self.readable = mask if layer.mask_input else None
        self.skip_mask = self.readable if layer.skip == "add" else mask
        self.first = layer.gate == "first"
        self.dropout = *conv_plan.dropout(drop, seed), conv_plan.sign(layer)
        self.projected: Any = None

    def new(self, *shape: int) -> Any:
        """Return memory for sums."""
        return self.device.empty(shape, self.sum)

    def beside(self, *shape: int) -> Any:
        """Return an array of the caller's library, of the input's type."""
        return load.empty_beside(self.x.owner, shape, self.x.dtype)

    def plain(
        self, data: Any, readable: Any, deep: int, shifts: tuple[int, int, int, int], weight: Any, columns: int,
        *, turned: bool = False, bias: Any = None, added: Any = None, kept: Any = None, out: Any = None,
        sums: Any = None,
    ) -> None:  # fmt: skip
        """Convolve without gates; `shifts` are the first tap, the one behind the last, step and origin."""
        name, half = "conv_turned" if turned else "conv_plain", -(-columns // 2)
        arguments = (
            data, readable, self.rows, self.length, deep, *shifts, weight, columns, bias, added, kept, out, sums,
        )  # fmt: skip
        groups = conv_plan.group_tile(self.device, self.kind, self.rows, half, deep, deep if turned else columns)
        if groups:
            self.launch.staying(groups, _PLAIN_GROUPS, name, groups.tiles(self.rows, half), *arguments)
            return
        tile = conv_plan.tile(self.kind, self.rows, half)
        blocks = -(-self.rows // tile.rows) * -(-columns // (2 * tile.columns))
        second = (2 * tile.columns, tile.deep) if turned else (tile.deep, 2 * tile.columns)
        self.launch(tile.text(_PLAIN), name, blocks, tile.shared((tile.rows, tile.deep), second), *arguments)

    def project(self) -> None:
        """Bring the skipped input to the channels out."""
        if self.layer.shortcut is None:
            return
        weight, bias = self.layer.shortcut
        self.projected = self.new(self.rows, self.channels)
        shifts = 0, 1, 0, 0
        self.plain(
            self.x, self.skip_mask, self.deep, shifts, weight, self.channels, bias=bias, sums=self.projected
        )  # fmt: skip

    def gated(self, y: Any, parts: Any) -> None:
        """Make the result, and candidates and open shares; either may be left out."""
        layer, mixed = self.layer, None
        if y is not None:
            self.project()
        if y is not None and layer.norm is not None:
            mixed = self.new(self.rows, self.channels)
        arguments = (
            self.x, self.readable, self.rows, self.length, self.deep, *self.between, layer.dilation, -self.left,
            layer.weight, self.channels, layer.bias, self.counted, conv_plan.SKIPS[layer.skip], int(self.first),
            self.x, self.projected, self.readable if layer.skip == "add" else None, *self.dropout,
            y if mixed is None else None, parts, mixed,
        )  # fmt: skip
        groups = conv_plan.group_tile(self.device, self.kind, self.rows, self.channels, self.deep, self.channels)
        if groups:
            self.launch.staying(
                groups, _GATED_GROUPS, "conv_gated", groups.tiles(self.rows, self.channels), *arguments
            )  # fmt: skip
        else:
            tile = conv_plan.tile(self.kind, self.rows, self.channels)
            blocks = -(-self.rows // tile.rows) * -(-self.channels // tile.columns)
            shared = tile.shared((tile.rows, tile.deep), (tile.deep, 2 * tile.columns))
            self.launch(tile.text(_GATED), "conv_gated", blocks, shared, *arguments)
        if mixed is not None and layer.norm is not None:
            gamma, beta, alpha = layer.norm
            self.by_rows(
                "conv_norm", -(-self.rows // 4), 0, mixed, gamma, beta, alpha, self.x, self.projected, self.skip_mask,
                self.rows, self.channels, y,
            )  # fmt: skip

    def by_rows(self, name: str, blocks: int, shared: int, *arguments: Any, threads: int = 128) -> None:
        """Launch one of the kernels that multiply nothing."""
        self.launch(Tile(self.kind, 2, 32).text(_ROWS), name, blocks, shared, *arguments, threads=threads)

    def total(self, parts: Any, count: int, shape: tuple[int, ...], *, sums: bool = False) -> Any:
        """Return the sum of parts, each of `shape`."""
        columns = int(np.prod(shape))
        found = self.new(*shape) if sums else self.beside(*shape)
        outputs = (None, found) if sums else (found, None)
        self.by_rows(
            "conv_total", -(-columns // 32), 256 * self.sum.itemsize, parts if count else None, count, columns,
            *outputs, threads=256,
        )  # fmt: skip
        return found

    def backward(self, dy: Any, parts: Any) -> tuple[Any, ...]:
        """Return the gradients of input, weight and bias, then those of shortcut and norm where there are such."""
        layer, rows, channels = self.layer, self.rows, self.channels
        if parts is None:
            parts = self.new(rows, 2 * channels)
            self.gated(None, parts)
        if layer.skip == "gated":
            self.project()
        du, of_norm = self.norm_backward(dy, parts) if layer.norm is not None else (None, ())
        blocks = -(-rows // _BLOCK_ROWS)
        dh, sums = self.beside(rows, 2 * channels), self.new(blocks, 2 * channels)
        added = self.new(rows, channels) if layer.skip != "none" and layer.shortcut is None else None
        through = self.beside(rows, channels) if layer.shortcut is not None else None
        of_skip = self.new(blocks, channels) if layer.shortcut is not None else None
        self.by_rows(
            "conv_gates", blocks * -(-channels // _BLOCK_COLUMNS), 0, dy, du, parts, self.counted,
            conv_plan.SKIPS[layer.skip], int(self.first), self.x, self.projected,
            self.readable if layer.skip == "add" else None, *self.dropout, rows, channels, dh, added, through,
            sums, of_skip,
        )  # fmt: skip
        if layer.shortcut is not None:
            added = self.new(rows, self.deep)
            self.plain(through, None, channels, (0, 1, 0, 0), layer.shortcut[0], self.deep, turned=True, sums=added)
        dx = self.beside(*self.x.shape)
        shifts = *self.between, -layer.dilation, self.left
        self.plain(
            dh, None, 2 * channels, shifts, layer.weight, self.deep, turned=True, added=added, kept=self.readable,
            out=dx,
        )  # fmt: skip
        dweight = self.weights(dh, 2 * channels, self.taps, self.readable)
        dbias = None if layer.bias is None else self.total(sums, blocks, (2 * channels,))
        if layer.shortcut is None:
            return dx, dweight, dbias, *of_norm
        of_weight = self.weights(through, channels, 1, self.skip_mask).reshape((self.deep, channels))
        of_bias = None if layer.shortcut[1] is None else self.total(of_skip, blocks, (channels,))
        return dx, dweight, dbias, (of_weight, of_bias), *of_norm

    def weights(self, grad: Any, columns: int, taps: int, readable: Any) -> Any:
        """Return the gradient of a weight: a product over all positions for each tap."""
        step, origin = (self.layer.dilation, -self.left) if taps > 1 else (0, 0)
        tiles, count, each = conv_plan.group_weights(self.device, self.kind, self.rows, self.deep, columns, taps)
        if tiles:
            groups = conv_plan.GroupTile(self.kind)
            text, shared, threads = groups.text(_WEIGHTS_GROUPS), groups.ring, groups.threads
        else:
            tile = conv_plan.tile(self.kind, self.rows, -(-columns // 2))
            text, threads = tile.text(_WEIGHTS), conv_plan.THREADS
            shared = tile.shared((tile.deep, tile.rows), (tile.deep, 2 * tile.columns))
            tiles = taps * -(-self.deep // tile.rows) * -(-columns // (2 * tile.columns))
            count, each = conv_plan.slices(tiles, self.rows, tile.deep)
        parts = self.new(count, taps, self.deep, columns)
        self.launch(
            text, "conv_weights", count * tiles, shared, self.x, readable, self.counted, self.rows, self.length,
            self.deep, taps, step, origin, grad, columns, each, parts, threads=threads,
        )  # fmt: skip
        return self.total(parts, count, (taps, self.deep, columns))

    def norm_backward(self, dy: Any, parts: Any) -> tuple[Any, tuple[Any, ...]]:
        """Return the gradients of what is normalised, and of gamma, beta and alpha."""
        assert self.layer.norm is not None
        gamma, beta, alpha = self.layer.norm
        rows, channels, size = self.rows, self.channels, self.sum.itemsize
        blocks = -(-rows // _BLOCK_ROWS)
        du, sums = self.new(rows, channels), self.new(blocks, 2 * channels)
        shared = 4 * _BLOCK_ROWS * size
        self.by_rows("conv_norm_back", blocks, shared, dy, parts, gamma, alpha, rows, channels, du, sums)
        found = self.beside(channels), self.beside(channels), self.beside()
        both = self.total(sums, blocks, (2 * channels,), sums=True)
        self.by_rows("conv_norm_last", 1, 64, both, gamma, beta, alpha, channels, *found)
        return du, (found,)


def _forward(device: Any, x: Any, layer: Any, mask: Any, drop: float, seed: int, out: Any, kept: Any) -> Any:
    """Return the result of one layer; `kept` gets its input and parts."""
    work = Convolution(device, x, layer, mask, drop, seed)
    result = work.beside(*x.shape[:2], layer.channels) if out is None else out.owner
    parts = None
    if kept is not None:
        parts = load.empty_beside(x.owner, (*x.shape[:2], 2 * layer.channels), work.sum)
        kept.append((x.owner, parts))
    work.gated(result, parts)
    return result


def dilated_gated_conv1d(
    x: Any, layer: Any, mask: Any, drop: float, seed: int, out: Any, kept: list[Any] | None
) -> Any:  # fmt: skip
    """See the reference; arrays are on the device, and so are the results."""
    with load.stream_of(x.owner):
        return _forward(load.device(), x, layer, mask, drop, seed, out, kept)


def dilated_gated_conv1d_backward(
    grad: Any, x: Any, layer: Any, mask: Any, drop: float, seed: int, parts: Any
) -> tuple[Any, ...]:  # fmt: skip
    """See the reference; arrays are on the device, and so are the results."""
    with load.stream_of(x.owner):
        return Convolution(load.device(), x, layer, mask, drop, seed).backward(grad, parts)


def dgcnn(
    x: Any, layers: Sequence[Any], mask: Any, drop: float, seed: int, out: Any, kept: list[Any] | None
) -> Any:  # fmt: skip
    """See the reference; each layer is rounded. Small inputs go through all layers in one launch."""
    with load.stream_of(x.owner):
        device, last = load.device(), len(layers) - 1
        if kept is None and last > 0:
            at_once = conv_stack.run(device, x, layers, mask, drop, seed, out)
            if at_once is not None:
                return at_once
        for i, layer in enumerate(layers):
            key = (seed + i) % 2**64
            result = _forward(device, x, layer, mask, drop, key, out if i == last else None, kept)
            x = Made(result, (*x.shape[:2], layer.channels), x.dtype)
        return result


def dgcnn_backward(
    grad: Any, x: Any, layers: Sequence[Any], mask: Any, drop: float, seed: int, kept: Sequence[tuple[Any, Any]] | None
) -> tuple[Any, list[tuple[Any, ...]]]:
    """See the reference; without what was kept, the inputs of all layers are computed again."""
    with load.stream_of(x.owner):
        device = load.device()
        keys = [(seed + i) % 2**64 for i in range(len(layers))]
        given: list[tuple[Any, Any]] = [(x, None)] if kept is None else list(kept)
        for layer, key in zip(layers[: len(layers) - len(given)], keys, strict=False):
            before = given[-1][0]
            result = _forward(device, before, layer, mask, drop, key, None, None)
            given.append((Made(result, (*x.shape[:2], layer.channels), x.dtype), None))
        dx, gradients = grad, list[tuple[Any, ...]]()
        for layer, key, (before, parts) in reversed(list(zip(layers, keys, given, strict=True))):
            found, *rest = Convolution(device, before, layer, mask, drop, key).backward(dx, parts)
            dx = Made(found, before.shape, x.dtype)
            gradients.insert(0, tuple(rest))
        return dx.owner, gradients
