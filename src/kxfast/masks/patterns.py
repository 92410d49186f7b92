"""The patterns themselves: small frozen values, each with its rule in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from kxfast.masks.by_function import called, reads
from kxfast.masks.by_grid import fits, keys, last_alike, queries, queries_of, rows, tokens
from kxfast.masks.intervals import Intervals, canonical, interval, of_rows, of_runs
from kxfast.masks.mask import Booleans, Grid, Integers, Mask

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class _Named(Mask):
    """A mask that shows itself as the call that made it."""

    def __repr__(self) -> str:
        """Show the constructor and what differs from its defaults."""
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not field.default:
                shown.append(f"{field.name}={_short(value)}")
        return f"{_CONSTRUCTOR[type(self)]}({', '.join(shown)})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value) if value.ndim < 2 and value.size <= 8 else f"<{' x '.join(map(str, value.shape))}>"
    return getattr(value, "__name__", None) or repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class Causal(_Named):
    """Keys up to the query's own position."""

    align: str = "end"

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        return grid.index(3) <= grid.position(self.align)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        return interval(0, grid.position(self.align) + 1, grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class Padding(_Named):
    """Real keys: those before a length, or those an array marks."""

    lengths: Integers | None = None  # () or (B,)
    real: Booleans | None = None  # (L,) or (B, L)

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        if self.real is not None:
            return keys("real", self.real, grid)
        assert self.lengths is not None  # one of the two is given
        lengths = np.atleast_1d(self.lengths)
        return grid.index(3) < rows("lengths", lengths, grid)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        if self.real is not None:
            return of_runs(tokens("real", self.real, grid))
        assert self.lengths is not None  # one of the two is given
        return interval(0, rows("lengths", np.atleast_1d(self.lengths), grid), grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class Unilm(_Named):
    """Keys of segments counted no later than the query's: the rule on cumulative sums."""

    counts: Integers  # (L,) or (B, L): cumulative sums of segment ids

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        return keys("segment_ids", self.counts, grid) <= queries("segment_ids", self.counts, grid)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        return interval(0, last_alike(queries_of("segment_ids", self.counts, grid), grid)[1], grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class PrefixLM(_Named):
    """The prefix, and keys up to the query's own position."""

    prefix_lengths: Integers  # () or (B,)

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        lengths = rows("prefix_lengths", np.atleast_1d(self.prefix_lengths), grid)
        return (grid.index(3) < lengths) | (grid.index(3) <= grid.position("end"))

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        lengths = rows("prefix_lengths", np.atleast_1d(self.prefix_lengths), grid)
        return interval(0, np.maximum(lengths, grid.position("end") + 1), grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class SlidingWindow(_Named):
    """Keys from `left` before to `right` after the query's position."""

    left: int
    right: int = 0
    align: str = "end"

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        distance = grid.index(3) - grid.position(self.align)
        return (-self.left <= distance) & (distance <= self.right)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        position = grid.position(self.align)
        return interval(position - self.left, position + self.right + 1, grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class Documents(_Named):
    """Keys of the query's own document."""

    ids: Integers  # (L,) or (B, L)

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        same: Booleans = keys("ids", self.ids, grid) == queries("ids", self.ids, grid)
        return same

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        ids = queries_of("ids", self.ids, grid)
        runs = (np.diff(ids, axis=1) != 0).sum(1)
        if (runs != (np.diff(np.sort(ids, axis=1), axis=1) != 0).sum(1)).any():
            return None  # a document in several pieces
        return interval(*last_alike(ids, grid), grid.k_len)


@dataclass(frozen=True, eq=False, repr=False)
class Permutation(_Named):
    """Keys generated before the query, and the query itself if it may see itself."""

    order: Integers  # (L,) or (B, L)
    include_self: bool = False

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        key, query = keys("order", self.order, grid), queries("order", self.order, grid)
        return key <= query if self.include_self else key < query

    def sorted_intervals(self, batch: int, heads: int, q_len: int, k_len: int) -> tuple[Intervals, NDArray[np.int64]]:
        """Return intervals among tokens in the order of their generation, and their places in this order."""
        order = queries_of("order", self.order, Grid(batch, heads, q_len, k_len))
        before = np.arange(k_len)[None, None, :, None] + int(self.include_self)
        return canonical(interval(0, before, k_len), k_len), np.argsort(order, axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class Strided(_Named):
    """Keys whose distance is a multiple of the rate."""

    rate: int
    align: str = "end"

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        multiple: Booleans = (grid.position(self.align) - grid.index(3)) % self.rate == 0
        return multiple


@dataclass(frozen=True, eq=False, repr=False)
class BlockSparse(_Named):
    """Whole blocks of queries and keys."""

    layout: Booleans  # (..., query blocks, key blocks)
    block_size: int

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        size, layout = self.block_size, self.layout
        expected = (-(-grid.q_len // size), -(-grid.k_len // size))
        layout = layout.reshape((1,) * (4 - layout.ndim) + layout.shape)
        if layout.shape[2:] != expected or not fits(layout.shape[:2], (grid.batch, grid.heads)):
            wanted = (
                f"(..., {expected[0]}, {expected[1]}) for {grid.q_len} queries, {grid.k_len} keys, blocks of {size}"
            )
            raise ValueError(f"layout must have shape {wanted}; got {self.layout.shape}")
        wide = np.repeat(layout, size, axis=3)[..., : grid.k_len]
        return np.repeat(wide, size, axis=2)[:, :, : grid.q_len]


@dataclass(frozen=True, eq=False, repr=False)
class Dense(_Named):
    """Any pattern, as an array."""

    array: Booleans

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        full = (grid.batch, grid.heads, grid.q_len, grid.k_len)
        array = self.array.reshape((1,) * (4 - self.array.ndim) + self.array.shape)
        if not fits(array.shape, full):
            raise ValueError(f"array must broadcast to {full} (batch, heads, queries, keys); got {self.array.shape}")
        return array

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        return _runs(self.allowed(grid), grid)


def _runs(array: Booleans, grid: Grid) -> Intervals | None:
    return of_rows(array[:, 0]) if array.shape[1] == 1 and array.shape[3] == grid.k_len else None


@dataclass(frozen=True, eq=False, repr=False)
class Function(_Named):
    """What a function of (b, h, i, j) allows."""

    f: Callable[[int, int, int, int], bool]

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        full, read = (grid.batch, grid.heads, grid.q_len, grid.k_len), reads(self.f)
        shape = tuple(size if seen else min(size, 1) for size, seen in zip(full, read, strict=True))
        known = _called.get(self)
        if known is None or known.shape != shape:
            known = _called[self] = called(self.f, shape)
        return known

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        return _runs(self.allowed(grid), grid)


# Masks do not change: what each function said last is kept, for the gradients perhaps.
_called: WeakKeyDictionary[Function, Booleans] = WeakKeyDictionary()


_CONSTRUCTOR: dict[type, str] = {
    Causal: "causal",
    Padding: "padding",
    Unilm: "unilm",
    PrefixLM: "prefix_lm",
    SlidingWindow: "sliding_window",
    Documents: "documents",
    Permutation: "permutation",
    Strided: "strided",
    BlockSparse: "block_sparse",
    Dense: "dense",
    Function: "function",
}
