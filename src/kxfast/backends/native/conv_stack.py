"""Pieces of a batch, each of which passes through all layers of a stack before the next.

What layers hand on then stays in a cache, and takes the memory of two pieces, not of two batches. A piece is some whole
sequences. Where one sequence is more than a piece, it is a part of one, and what layers see on both its sides is
computed with it; unless that is too much beside the part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BYTES = 8 << 20  # of the widest result in float32: 4 and 16 MB are as fast, 32 MB is slower
_WEIGHTS = 8  # a piece is at least this many times the largest weight, which each piece reads again
_SIDES = 8  # and, of a sequence, this many times what is seen beside it
_LEAST = 2  # pieces


class Piece(NamedTuple):
    """Some sequences, or of one the positions `own`, which are computed from those in `seen`."""

    batch: slice
    seen: slice
    own: slice
    first: int  # number in the whole batch of the first row that is seen

    @property
    def place(self) -> tuple[slice, slice]:
        """Return where what is seen stands in arrays (B, L, ...)."""
        return self.batch, self.seen

    @property
    def inner(self) -> slice:
        """Return where its own positions stand among those that are seen."""
        return slice(self.own.start - self.seen.start, self.own.stop - self.seen.start)


def _sides(layers: Sequence[Any]) -> tuple[int, int]:
    """Return how many positions before and after its own a result depends on."""
    reaches = [((layer.weight.shape[0] - 1) * layer.dilation, layer.padding == "causal") for layer in layers]
    before = sum(reach if causal else reach // 2 for reach, causal in reaches)
    return before, sum(reach for reach, _ in reaches) - before


def _even(total: int, most: int) -> Iterator[slice]:
    """Divide a range into the least number of parts of at most `most`, as even as may be."""
    count = -(-total // most)
    return (slice(i * total // count, (i + 1) * total // count) for i in range(count))


def pieces(x: Array, layers: Sequence[Any]) -> list[Piece]:
    """Divide a batch by its shape and its layers' alone: no result depends on anything else."""
    batch, length, channels = x.shape
    width = 4 * max(channels, *(layer.channels for layer in layers))
    weights = _WEIGHTS * max(4 * layer.weight.size for layer in layers)
    rows = max(1, max(_BYTES, weights) // max(1, width))
    if len(layers) == 1 or batch * length <= _LEAST * rows:
        return [Piece(slice(0, batch), slice(0, length), slice(0, length), 0)]
    before, after = _sides(layers)
    if length <= rows or _SIDES * (before + after) > rows:
        whole = slice(0, length)
        return [Piece(part, whole, whole, part.start * length) for part in _even(batch, max(1, rows // length))]
    return [
        Piece(slice(b, b + 1), slice(seen, min(length, own.stop + after)), own, b * length + seen)
        for b in range(batch)
        for own in _even(length, rows)
        for seen in [max(0, own.start - before)]
    ]


def cut(array: Array | None, piece: Piece) -> Any:
    """Return what a piece sees of an array (B, L, ...), or None of none."""
    return None if array is None else array[piece.place]


def gradient_of(grad: Array, piece: Piece) -> Array:
    """Return the gradient of a piece's own results; 0 for the others that it computes."""
    found: Array = grad[piece.place]
    if piece.own != piece.seen:
        found = np.zeros_like(found)
        found[:, piece.inner] = grad[piece.batch, piece.own]
    return found


class Gradients:
    """Sums of the gradients of all pieces."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._filled = 0, 0  # sequence and position before which dx has values
        self._dx: Any = None
        self.of_layers: Any = None

    def add(self, piece: Piece, dx: Array, of_layers: list[tuple[Any, ...]]) -> None:
        """Add those of a piece; arrays may be kept and changed."""
        self.of_layers = of_layers if self.of_layers is None else _added(self.of_layers, of_layers)
        if dx.shape == self._shape:
            self._dx = dx
            return
        if self._dx is None:
            self._dx = np.empty(self._shape, dx.dtype)
        there = self._dx[piece.place]
        shared = max(0, self._filled[1] - piece.seen.start) if self._filled[0] == piece.batch.start else 0
        there[:, :shared] += dx[:, :shared]
        there[:, shared:] = dx[:, shared:]
        self._filled = piece.batch.start, piece.seen.stop

    @property
    def dx(self) -> Array:
        """Return the gradient of the input."""
        found: Array = self._dx
        return found


def _added(sums: Any, more: Any) -> Any:
    """Return the sums of all numbers in two nests of lists, tuples, arrays and None."""
    if sums is None:
        return None
    if isinstance(sums, (list, tuple)):
        return type(sums)(map(_added, sums, more))
    sums += more
    return sums
