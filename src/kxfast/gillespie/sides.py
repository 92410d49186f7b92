"""What reactions take or give, as entries: networks of tens of thousands of reactions are nearly all zeros."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.gillespie.memory import check_memory

Integers = NDArray[np.int64]


class Side(NamedTuple):
    """Entries (reaction, species, count), counts above 0, in order of reaction and species."""

    reactions: Integers
    species: Integers
    counts: Integers

    def dense(self, reactions: int, species: int) -> Integers:
        """Return the same as an array (R, S)."""
        check_memory(8 * reactions * species, "the network as a dense array", "sides has its entries")
        x = np.zeros((reactions, species), np.int64)
        x[self.reactions, self.species] = self.counts
        return x

    def by_reaction(self, reactions: int) -> list[dict[int, int]]:
        """Return for each reaction the counts of its species."""
        found: list[dict[int, int]] = [{} for _ in range(reactions)]
        for j, s, count in zip(*(each.tolist() for each in self), strict=True):
            found[j][s] = count
        return found


def side_of_entries(reactions: Integers, species: Integers, counts: Integers) -> Side:
    """Return the entries that are not 0, in order."""
    order = np.lexsort((species, reactions))
    order = order[counts[order] != 0]
    return Side(*(np.ascontiguousarray(each[order], np.int64) for each in (reactions, species, counts)))


def side_of(sides: Iterable[Mapping[str, int]], names: Sequence[str]) -> Side:
    """Return a side of reactions that are mappings of names to counts."""
    index = {name: i for i, name in enumerate(names)}
    entries = [(j, index[name], count) for j, side in enumerate(sides) for name, count in side.items()]
    rows, species, counts = np.array(entries, np.int64).reshape(-1, 3).T
    return side_of_entries(rows, species, counts)


def in_volume(rates: NDArray[np.float64], reactants: Side, volume: Any) -> NDArray[np.float64]:
    """Return the constants c V^(1 - order) of rates given per concentration; NaN stays."""
    size = checks.number("volume", volume, above=0)
    orders = np.bincount(reactants.reactions, reactants.counts, len(rates))
    with np.errstate(over="ignore", invalid="ignore"):
        found = rates * size ** (1 - orders)
    lost = (rates > 0) & ~((found > 0) & np.isfinite(found))
    if lost.any():
        j = int(np.flatnonzero(lost)[0])
        raise ValueError(f"volume must give rate constants above 0 and finite; got {size:g} for reactions[{j}]")
    return found
