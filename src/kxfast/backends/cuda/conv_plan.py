"""Tiles of the convolutions' kernels for a type and sizes, the text compiled for them, and how they are launched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from kxfast.backends.cuda import load
from kxfast.backends.cuda.attention_plan import TYPES

THREADS, STAGES, STEP = 128, 4, 64  # STEP: bytes of depth that arrive at a time
_BYTES = {"f": 4, "d": 8, "e": 2, "E": 2}
SKIPS = {"none": 0, "gated": 1, "add": 2}
_MANY = 2 * 132  # blocks that fill a large GPU; with fewer, tiles are the smaller ones
_resident: WeakKeyDictionary[Any, dict[tuple[str, str], int]] = WeakKeyDictionary()  # blocks that run at a time
_SHORTEST_SLICE = 512  # positions whose products are worth sums of their own


class Tile(NamedTuple):
    """What a kernel is compiled for: see cuda/conv_tiles.cuh."""

    kind: str
    bands: int
    columns: int

    @property
    def rows(self) -> int:
        """Rows of the tile that a block owns."""
        return self.bands * 32

    @property
    def deep(self) -> int:
        """Numbers of a step."""
        return STEP // _BYTES[self.kind]

    def shared(self, first: tuple[int, int], second: tuple[int, int]) -> int:
        """Return the bytes of all stages of two factors, rows and numbers of each."""
        size = _BYTES[self.kind]
        return STAGES * sum(rows * (numbers * size + 16) for rows, numbers in (first, second))

    def text(self, file: str) -> str:
        """Return the source of the kernels in a file."""
        sizes = {"BANDS": self.bands, "N": self.columns, "STAGES": STAGES}
        lines = [f"#define KX_T {TYPES[self.kind]}", *(f"#define KX_{name} {each}" for name, each in sizes.items())]
        return "\n".join([*lines, f'#include "{file}"', ""])


def taps_between(layer: Any, length: int) -> tuple[int, tuple[int, int]]:
    """Return the zeros before a sequence; the first tap that reads within it, and the one behind the last."""
    taps, step = layer.weight.shape[0], layer.dilation
    reach = (taps - 1) * step
    left = reach if layer.padding == "causal" else reach // 2
    inside = [a for a in range(taps) if abs(a * step - left) < length]
    return left, (inside[0], inside[-1] + 1) if inside else (0, 0)


def dropout(drop: float, seed: int) -> tuple[np.uint64, np.uint64, float]:
    """Return what a random word is compared with, the key of the words, and the factor of gates that are kept."""
    return np.uint64(round(drop * 2**32)), np.uint64(seed), 1 / (1 - drop)


def sign(layer: Any) -> float:
    """Return -1 for variant B, where the gate keeps the input."""
    return -1.0 if layer.skip == "gated" and layer.gate == "first" else 1.0


class Made(NamedTuple):
    """An array that one of our kernels has made, as another takes it."""

    owner: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def address(self) -> int:
        """Where it lies."""
        return load.address(self.owner)


def letter(dtype: np.dtype[Any]) -> str:
    """Return the letter of a type."""
    return "E" if dtype.name == "bfloat16" else dtype.char


def large(kind: str) -> Tile:
    """Return the largest tile that registers hold the sums of."""
    return Tile(kind, 2, 32) if kind == "d" else Tile(kind, 4, 32 if kind == "f" else 64)


def tile(kind: str, rows: int, groups: int) -> Tile:
    """Return the tile for so many rows and columns of a group; sums are the same in each."""
    best = large(kind)
    many = -(-rows // best.rows) * -(-groups // best.columns) >= _MANY
    return best if many else Tile(kind, 2, 32)


class GroupTile(NamedTuple):
    """What a kernel of warp groups is compiled for: see cuda/conv_groups_tiles.cuh."""

    kind: str
    rows: int = 256
    columns: int = 64
    threads: int = 384

    @property
    def shared(self) -> int:
        """Bytes of shared memory: those of `ring`, and rows that are handed over."""
        return self.ring + 8 * 8 * 4 * (2 * self.columns + 8)

    @property
    def ring(self) -> int:
        """Bytes of the stages of both factors and of their barriers."""
        return STAGES * ((self.rows + 2 * self.columns) * 128 + 16)

    def tiles(self, rows: int, groups: int) -> int:
        """Return how many tiles so many rows and columns of a group are."""
        return -(-rows // self.rows) * -(-groups // self.columns)

    def text(self, file: str) -> str:
        """Return the source of the kernels in a file."""
        return f'#define KX_T {TYPES[self.kind]}\n#include "{file}"\n'


def group_tile(device: load.Device, kind: str, rows: int, groups: int, *widths: int) -> GroupTile | None:
    """Return the tile of warp groups, if the device has them and each multiprocessor would get one.

    `widths` are numbers of rows in memory; they must be whole pieces of 16 bytes.
    """
    best = GroupTile(kind)
    whole = _BYTES[kind] == 2 and all(width % 8 == 0 for width in widths)
    return best if device.warp_groups and whole and 2 * best.tiles(rows, groups) >= _MANY else None


def group_weights(
    device: load.Device, kind: str, rows: int, deep: int, columns: int, taps: int
) -> tuple[int, int, int]:
    """Return tiles of a weight's gradient by warp groups, parts of the sum and positions of each; no tiles: not so.

    Each multiprocessor must get a block, and more than half of a tile must be there either way.
    """
    whole = _BYTES[kind] == 2 and deep % 8 == 0 and columns % 8 == 0 and deep > 64 and columns > 128
    tiles = taps * -(-deep // 128) * -(-columns // 256)
    many = 2 * tiles * max(1, rows // _SHORTEST_SLICE) >= _MANY
    return tiles if device.warp_groups and whole and many else 0, *slices(tiles, rows, 64, 1)


def slices(tiles: int, rows: int, deep: int, resident: int = 2) -> tuple[int, int]:
    """Return how many parts the sum over positions is made in, and the positions of each.

    A multiprocessor has room for so many `resident` blocks.
    """
    many = resident * _MANY // 2
    count = max(1, min(-(-many // max(tiles, 1)), rows // _SHORTEST_SLICE))
    each = -(-rows // count // deep) * deep if rows else deep
    return -(-rows // each), each


class Launcher:
    """Launches kernels; None stands for a null pointer, numbers of Python for numbers of 64 bits."""

    def __init__(self, device: load.Device) -> None:
        self.device = device

    def __call__(
        self, text: str, name: str, blocks: int, shared: int, *arguments: Any, threads: int = THREADS,
        together: bool = False, beside: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """Launch a kernel of a source, over some blocks with so many bytes of shared memory.

        Blocks of `together` wait for each other; arrays `beside` the arguments are read by addresses in these.
        """
        if not blocks:
            return
        given: list[Any] = []
        behind = [each.owner for each in beside]
        for each in arguments:
            if each is None:
                given.append(np.uint64(0))
            elif hasattr(each, "address"):
                given.append(np.uint64(each.address))
                behind.append(each.owner)
            elif isinstance(each, np.generic):
                given.append(each)
            elif isinstance(each, float):
                given.append(np.float64(each))
            elif isinstance(each, int):
                given.append(np.int64(each))
            else:
                given.append(np.uint64(load.address(each)))
                behind.append(each)
        self.device.kernel(text, name)(blocks, threads, shared, given, behind, together)

    def staying(self, tile: GroupTile, file: str, name: str, tiles: int, *arguments: Any) -> None:
        """Launch a kernel of warp groups, over as many blocks as run at a time."""
        text = tile.text(file)
        known = _resident.setdefault(self.device, {})
        if (text, name) not in known:
            kernel = self.device.kernel(text, name)
            known[text, name] = self.device.resident_blocks(kernel, tile.threads, tile.shared)
        self(text, name, min(tiles, known[text, name]), tile.shared, *arguments, threads=tile.threads)
