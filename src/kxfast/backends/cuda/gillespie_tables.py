"""Large networks as the arrays that a warp reads: numbers and indices, each in one piece (cuda/gillespie_large.cuh)."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
MOST_SHARED = 96 * 1024  # bytes of a block that every GPU has
_TABLES_OF_LOGARITHM = 256


class Tables(NamedTuple):
    """`sizes` are species, reactions, factors and changes."""

    sizes: tuple[int, int, int, int]
    numbers: Array
    indices: Array


def shared_bytes(species: int, reactions: int) -> int:
    """Return what a trajectory takes of shared memory."""
    return _TABLES_OF_LOGARITHM + sum((8 * size + 15) // 16 * 16 for size in (species + 1, reactions))


def tables(network: tuple[Any, ...]) -> Tables:
    """Return the tables of a network of mass action."""
    species, rates = len(network[0]), network[3].copy()
    reactions = len(rates)
    taken: list[list[tuple[int, int]]] = [[] for _ in range(reactions)]  # (species, molecules before)
    changes: list[dict[int, int]] = [{} for _ in range(reactions)]
    for sign, side in (-1, network[1]), (1, network[2]):
        for r, s, count in zip(*(part.tolist() for part in side), strict=True):
            changes[r][s] = changes[r].get(s, 0) + sign * count
            if sign < 0:
                taken[r] += [(s, k) for k in range(count)]
    one, other = np.full((2, reactions), species)
    less = np.zeros(reactions)
    factors: list[list[tuple[int, int, int]]] = []
    for r, each in enumerate(taken):
        short = each[: 2 if len(each) <= 3 else 0]  # the others are factors, which divide beyond third order
        for place, (s, k) in zip((one, other), short, strict=False):
            place[r] = s
            less[r] = k
        if len(each) <= 3:
            for _, k in each:
                rates[r] /= k + 1
        factors.append([(s, k, k + 1 if len(each) > 3 else 1) for s, k in each[len(short) :]])
    moved = [sorted((s, by) for s, by in each.items() if by) for each in changes]
    affected = _affected(species, taken, moved)
    flat_factors, flat_changes = list(chain(*factors)), list(chain(*moved))
    numbers = [rates, less, *_columns(flat_factors, 3)[1:], _columns(flat_changes, 2)[1]]
    begins = [np.cumsum([0, *map(len, rows)]) for rows in (factors, moved, affected)]
    lists = _columns(flat_factors, 3)[0], _columns(flat_changes, 2)[0], list(chain(*affected))
    return Tables(
        (species, reactions, len(flat_factors), len(flat_changes)),
        np.concatenate([*numbers, [0.0]]).astype(np.float64),
        np.concatenate([one, other, *begins, *lists, [0]]).astype(np.int32),
    )


def _columns(rows: list[Any], width: int) -> list[Array]:
    return list(np.array(rows, np.int64).reshape(-1, width).T)


def _affected(species: int, taken: list[list[tuple[int, int]]], moved: list[list[tuple[int, int]]]) -> list[list[int]]:
    """Return the reactions whose propensity reads what a reaction changes."""
    readers: list[list[int]] = [[] for _ in range(species)]
    for r, each in enumerate(taken):
        for s in sorted({s for s, _ in each}):
            readers[s].append(r)
    return [sorted(set(chain(*(readers[s] for s, _ in each)))) for each in moved]
