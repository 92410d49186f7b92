"""What all masks share: combination, dense arrays, density, pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.masks.intervals import Intervals, canonical, complement, intersection, union

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The pairs a mask is asked about, with index arrays that broadcast to (batch, heads, q_len, k_len)."""

    batch: int
    heads: int
    q_len: int
    k_len: int

    def index(self, axis: int) -> Integers:
        """Return the indices along an axis: 0 batch b, 1 head h, 2 query i, 3 key j."""
        count = (self.batch, self.heads, self.q_len, self.k_len)[axis]
        return np.arange(count).reshape([-1 if each == axis else 1 for each in range(4)])

    def position(self, align: str) -> Integers:
        """Return where among the keys each query stands: the last query is the last key, or the first the first."""
        return self.index(2) + (self.k_len - self.q_len if align == "end" else 0)


class Mask(ABC):
    """Which query may attend to which key; an immutable value of at most O(L) memory.

    Masks are made by the functions of `kxfast.masks` and combine: ``a & b`` allows what both allow, ``a | b`` what
    either allows, ``~a`` what `a` forbids. Lengths are those of the call a mask is used in.

    Examples
    --------
    >>> import kxfast as kx
    >>> mask = kx.masks.causal() & ~kx.masks.padding([1, 0])
    >>> mask
    causal() & ~padding(lengths=[1 0])
    >>> mask.to_dense(batch=2, heads=1, q_len=2, k_len=2)[:, 0].tolist()
    [[[False, False], [False, True]], [[True, False], [True, True]]]

    """

    __slots__ = ()
    __array_ufunc__ = None  # arrays do not combine with masks element by element

    @abstractmethod
    def allowed(self, grid: Grid) -> Booleans:
        """Return which pairs of `grid` are allowed, in four dimensions that broadcast to the grid's."""

    def intervals(self, grid: Grid) -> Intervals | None:
        """Return the allowed keys of each query as up to two intervals (see kxfast.masks.intervals), or None."""
        return None

    def __and__(self, other: Mask) -> Mask:
        """Allow what both allow."""
        return And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: Mask) -> Mask:
        """Allow what either allows."""
        return Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> Mask:
        """Allow what this mask forbids."""
        return Not(self)

    def __bool__(self) -> bool:
        """Refuse: ``a and b`` would not be ``a & b``."""
        raise TypeError("a mask has no truth value; combine masks with &, | and ~")

    def pattern(self, batch: int, heads: int, q_len: int, k_len: int) -> Booleans:
        """Return the smallest array of four dimensions that broadcasts to `to_dense`'s."""
        sizes = {"batch": batch, "heads": heads, "q_len": q_len, "k_len": k_len}
        grid = Grid(*(checks.integer(name, value, low=0) for name, value in sizes.items()))
        return np.ascontiguousarray(self.allowed(grid))

    def key_intervals(self, batch: int, heads: int, q_len: int, k_len: int) -> Intervals | None:
        """Return (batch or 1, 1, q_len or 1, 4): start and stop of two key intervals of each query; None: not so."""
        found = self.intervals(Grid(batch, heads, q_len, k_len))
        return None if found is None else canonical(found, k_len)

    def to_dense(self, batch: int, heads: int, q_len: int, k_len: int) -> Booleans:
        """Return the mask as an array (batch, heads, q_len, k_len); True: may attend."""
        pattern = self.pattern(batch, heads, q_len, k_len)
        return np.array(np.broadcast_to(pattern, (batch, heads, q_len, k_len)), order="C")

    def density(self, batch: int, heads: int, q_len: int, k_len: int) -> float:
        """Return the share of pairs that are allowed; 0 if there are no pairs."""
        pattern = self.pattern(batch, heads, q_len, k_len)
        return float(pattern.mean()) if batch * heads * q_len * k_len else 0.0

    def plot(
        self,
        batch: int,
        heads: int,
        q_len: int,
        k_len: int,
        *,
        item: int = 0,
        head: int = 0,
        labels: Any = None,
        ax: Any = None,
    ) -> Any:
        """Draw which query (row) may attend to which key (column), and return the matplotlib axes.

        `item` and `head` choose the pattern, `labels` (at least k_len tokens) names keys and queries, `ax` says where.
        """
        from kxfast.masks.picture import draw

        checks.integer("q_len", q_len, low=1)
        checks.integer("k_len", k_len, low=1)
        checks.integer("item", item, 0, batch - 1)
        checks.integer("head", head, 0, heads - 1)
        allowed = np.broadcast_to(self.pattern(batch, heads, q_len, k_len), (batch, heads, q_len, k_len))
        return draw(allowed[item, head], repr(self), labels, ax)


@dataclass(frozen=True, eq=False, repr=False)
class And(Mask):
    """What both allow."""

    left: Mask
    right: Mask

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        return self.left.allowed(grid) & self.right.allowed(grid)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        left, right = self.left.intervals(grid), self.right.intervals(grid)
        return None if left is None or right is None else intersection(left, right)

    def __repr__(self) -> str:
        """Show an expression that gives this mask."""
        return f"{_bracketed(self.left, Or)} & {_bracketed(self.right, Or)}"


@dataclass(frozen=True, eq=False, repr=False)
class Or(Mask):
    """What either allows."""

    left: Mask
    right: Mask

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        return self.left.allowed(grid) | self.right.allowed(grid)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        left, right = self.left.intervals(grid), self.right.intervals(grid)
        return None if left is None or right is None else union(left, right)

    def __repr__(self) -> str:
        """Show an expression that gives this mask."""
        return f"{self.left!r} | {self.right!r}"


@dataclass(frozen=True, eq=False, repr=False)
class Not(Mask):
    """What a mask forbids."""

    mask: Mask

    def allowed(self, grid: Grid) -> Booleans:
        """See `Mask.allowed`."""
        return ~self.mask.allowed(grid)

    def intervals(self, grid: Grid) -> Intervals | None:
        """See `Mask.intervals`."""
        given = self.mask.intervals(grid)
        return None if given is None else complement(given, grid.k_len)

    def __repr__(self) -> str:
        """Show an expression that gives this mask."""
        return f"~{_bracketed(self.mask, (And, Or))}"


def _bracketed(mask: Mask, kinds: type | tuple[type, ...]) -> str:
    return f"({mask!r})" if isinstance(mask, kinds) else repr(mask)
