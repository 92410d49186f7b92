"""What trajectories take along from one result to the next, besides counts: the state of a model's events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.gillespie.network import ReactionNetwork

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class EventState:
    """What the events of an SBML model hold at the last time of a result, so that `simulate` can go on from it.

    Attributes
    ----------
    events : tuple of str, (E,)
        Their ids.
    variables : tuple of str, (V,)
        Parameters that events change.
    values : float64 array, (n, V)
        What they are.
    truth : bool array, (n, E)
        Which triggers are true, so that none fires again for having been true before.
    begin : int64 array, (n + 1,)
        Trajectory i has the delayed events ``begin[i]`` to ``begin[i + 1]``, in the order of their triggering.
    due : float64 array, (P,)
        When each will be carried out, in the model's time.
    which : int64 array, (P,)
        Its place among `events`.
    taken : float64 array, (P, W)
        The values of its assignments, if those of the time of the trigger count; a row is filled up to the largest
        number of assignments that an event has.

    """

    events: tuple[str, ...]
    variables: tuple[str, ...]
    values: NDArray[np.float64]
    truth: NDArray[np.bool_]
    begin: NDArray[np.int64]
    due: NDArray[np.float64]
    which: NDArray[np.int64]
    taken: NDArray[np.float64]

    def __repr__(self) -> str:
        """Return the sizes."""
        sizes = f"{len(self.events)} events, {len(self.variables)} variables"
        return f"EventState({len(self.values)} trajectories, {sizes}, {len(self.due)} delayed events)"

    @property
    def arrays(self) -> Arrays:
        """What backends take."""
        return self.values, self.truth, self.begin, self.due, self.which, self.taken


def part_of(arrays: Arrays | None, first: int, last: int) -> Arrays | None:
    """Return what trajectories `first` to `last` hold, of what backends take."""
    if arrays is None:
        return None
    values, truth, begin, *pending = arrays
    edges = begin[first : last + 1]
    return values[first:last], truth[first:last], edges - edges[0], *(each[edges[0] : edges[-1]] for each in pending)


def together(parts: Sequence[Arrays]) -> Arrays:
    """Return what the trajectories of several calls hold, one after the other."""
    values, truth, begins, *pending = zip(*parts, strict=True)
    begin = np.cumsum([0, *np.concatenate([np.diff(each) for each in begins])], dtype=np.int64)
    return np.concatenate(values), np.concatenate(truth), begin, *(np.concatenate(each) for each in pending)


def check_state(state: EventState | None, net: ReactionNetwork, n: int) -> Arrays | None:
    """Return what backends take of `state`, of the result that a network's trajectories go on from."""
    names = tuple(event.name for event in net.events)
    of = () if state is None else state.events
    if names != of or (state is not None and state.variables != tuple(net.variables)):
        what = f"events {', '.join(map(repr, names))}" if names else "no events"
        got = f"events {', '.join(map(repr, of))}" if of else "none"
        raise ValueError(f"start must be a result of the network it goes on with, which has {what}; got {got}")
    if state is None:
        return None
    pending, width = len(state.due), max(len(event.assignments) for event in net.events)
    shapes = [(n, len(state.variables)), (n, len(names)), (n + 1,), (pending,), (pending,), (pending, width)]
    kinds = (np.float64, np.bool_, np.int64, np.float64, np.int64, np.float64)
    whole = all(
        isinstance(each, np.ndarray) and each.shape == shape and each.dtype == kind
        for each, shape, kind in zip(state.arrays, shapes, kinds, strict=True)
    )
    ordered = whole and state.begin[0] == 0 and state.begin[-1] == pending and np.all(np.diff(state.begin) >= 0)
    if not (ordered and np.all((state.which >= 0) & (state.which < len(names)))):
        raise ValueError(f"start must hold the events of its {n} trajectories as simulate returned them; got {state!r}")
    return state.arrays
