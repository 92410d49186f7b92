"""What every simulation checks before it runs: the network, the times, the method and its backend, the memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from kxfast import checks, dispatch
from kxfast.errors import BackendError
from kxfast.gillespie.carried import Arrays, check_state
from kxfast.gillespie.control import flat
from kxfast.gillespie.expressions import TIME, Program
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.trajectories import Reals, Trajectories
from kxfast.settings import forced_backend

_PLACE = re.compile(r"(?<=the count of )species (\d+)|place (\d+) of the state")
METHODS = (
    "auto",
    "direct",
    "first_reaction",
    "next_reaction",
    "sorting_direct",
    "composition_rejection",
    "rssa",
    "tau_leaping",
)


def check_network(net: Any) -> None:
    """Raise unless `net` is a network."""
    if not isinstance(net, ReactionNetwork):
        raise TypeError(f"net must be a ReactionNetwork; got {type(net).__name__}")


def check_times(t: Any) -> Reals:
    """Return times to sample at: float64, at least one, finite, from 0 on, increasing."""
    grid = checks.floating("t", t, ndim=1).astype(np.float64)
    if not grid.size:
        raise ValueError("t must have at least one time; got none")
    checks.finite("t", grid)
    if grid[0] < 0:
        raise ValueError(f"t must be at least 0; got {grid[0]:g}")
    falls = np.flatnonzero(np.diff(grid) <= 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(f"t must be increasing; got {grid[i + 1]:g} after {grid[i]:g} at index {i + 1}")
    return grid


class Start(NamedTuple):
    """Where trajectories begin."""

    n: int
    time: float = 0.0
    counts: Any = None  # (n, S), or the network's own
    state: Arrays | None = None  # of the network's events
    again: bool = False  # whether they go on from an earlier result
    stopped: Reals | None = None  # when until has ended each of that


def check_start(start: Any, n: int | None, net: ReactionNetwork, grid: Reals) -> Start:
    """Return where trajectories begin: from the network's counts, from others, or where a result has ended."""
    if start is None:
        return Start(checks.integer("n", 1 if n is None else n, low=1))
    if not isinstance(start, Trajectories):
        counts, n = _starting_counts(start, n, net)
        return Start(n, 0.0, counts)
    if start.species != net.species:
        raise ValueError(f"start must have the species of net, {_listed(net.species)}; got {_listed(start.species)}")
    begin = float(start.t[-1])
    if grid[0] < begin:
        raise ValueError(f"t must be at least start's last time, {begin:g}; got {grid[0]:g}")
    counts, n = _starting_counts(start.counts[:, -1], n, net)
    return Start(n, begin, counts, check_state(start.state, net, n), True, start.stopped)


def check_ended(start: Start, condition: Program) -> None:
    """Raise unless trajectories that until has ended stay ended: going on, the condition must hold for them again."""
    ended = np.flatnonzero(np.isfinite(start.stopped)) if start.stopped is not None else np.array([], np.int64)
    if not ended.size:
        return
    if not condition:
        raise ValueError(f"until must be given: it has ended {ended.size} trajectories of start")
    _, ops, numbers = flat([condition])
    values = start.counts if start.state is None else np.hstack([start.counts, start.state[0]])
    holds = np.broadcast_to(function("reference", "evaluate")(ops, numbers, values[ended].T, 0.0), ended.shape)
    if not np.all(holds):
        i = int(ended[np.flatnonzero(holds == 0)[0]])
        raise ValueError(f"until must hold where it has ended start; it does not for trajectory {i}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _starting_counts(start: Any, n: int | None, net: ReactionNetwork) -> tuple[Any, int]:
    counts = checks.integers("start", start, low=0)
    if counts.ndim == 1:
        counts = np.broadcast_to(counts, (checks.integer("n", 1 if n is None else n, low=1), *counts.shape))
    n = checks.integer("n", len(counts) if n is None else n, low=1)
    checks.shape("start", counts, (n, len(net.species)), "(S,) or (n, S)", f"to match {n} trajectories")
    if counts.max() > 2**52:
        raise ValueError(f"start must be at most 2**52; got {int(counts.max())}")
    return np.ascontiguousarray(counts), n


def key_of(key: int, start: Start) -> int:
    """Return the key of streams: those of a seed that is used again to go on are others."""
    if not start.again:
        return key
    return checks.seed(np.random.SeedSequence([key, int(np.float64(start.time).view(np.uint64))]))


def check_leaping(
    net: ReactionNetwork, method: str, epsilon: Any, *, averages: bool = False, until: Any = None
) -> float:
    """Return epsilon; raise for what tau-leaping cannot do."""
    number = checks.number("epsilon", epsilon, above=0)
    if method == "tau_leaping":
        timed = [j for j in range(len(net.rates)) if any(step.op == TIME for step in net.program(j))]
        for wrong, what in (
            (averages, "averages over time"),
            (until is not None, "until"),
            (net.events, "events"),
            (timed, "rates that depend on the time"),
        ):
            if wrong:
                raise ValueError(f"method must be an exact one for {what}; got 'tau_leaping'")
    return number


def serving(
    name: str, net: ReactionNetwork, method: str, backend: str | None, *, single: bool = False
) -> tuple[str, str]:
    """Return the backend that serves ``gillespie.name`` with `method`, and the method that "auto" stands for there.

    Backends may choose by the network, and by whether a `single` trajectory is asked for.
    """
    checks.choice("method", method, METHODS)
    chosen = backend if backend is not None else forced_backend.get()
    if chosen is not None:
        dispatch.implementation("gillespie", name, chosen)  # raises if it cannot serve the call at all
    hosts = dispatch.available("gillespie", name)
    able = {each: _methods(each, name) for each in (hosts if chosen is None or chosen in hosts else (*hosts, chosen))}
    for each in able if chosen is None else (chosen,):
        if method == "auto":
            return each, _automatic(each, net, single) or able[each][0]
        if method in able[each]:
            return each, method
    offers = "; ".join(f"{each}: {', '.join(methods)}" for each, methods in able.items())
    who = "no backend has" if chosen is None else f"backend {chosen!r} cannot serve gillespie.{name}: it has no"
    raise BackendError(f"{who} method {method!r}; available: {offers}")


def _automatic(backend: str, net: ReactionNetwork, single: bool) -> str | None:
    choose = getattr(dispatch.load("gillespie", backend), "choose_method", None)
    if choose is not None and (backend, single) not in net.chosen_methods:
        net.chosen_methods[backend, single] = choose(net.arrays, single)
    return net.chosen_methods.get((backend, single))


def _methods(backend: str, name: str) -> tuple[str, ...]:
    module = dispatch.load("gillespie", backend)
    approximate = () if name == "simulate_events" else getattr(module, "APPROXIMATE", ())
    return (*getattr(module, "METHODS", ()), *approximate)


@contextmanager
def names_in_errors(net: ReactionNetwork) -> Iterator[None]:
    """Put names where backends, which know none, speak of places."""
    try:
        yield
    except ValueError as error:
        names = (*net.species, *net.variables)
        text = _PLACE.sub(lambda match: repr(names[int(match[1] or match[2])]), str(error))
        if text == str(error):
            raise
        raise ValueError(text) from None


def function(backend: str, name: str) -> Callable[..., Any]:
    """Return a backend's function."""
    return dispatch.implementation("gillespie", name, backend)
