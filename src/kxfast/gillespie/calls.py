"""What every simulation checks before it runs: the network, the times, the method and its backend, the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxfast import checks, dispatch
from kxfast.errors import BackendError
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.trajectories import Reals
from kxfast.settings import forced_backend

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
    able = {each: _methods(each) for each in dispatch.available("gillespie", name)}
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


def _methods(backend: str) -> tuple[str, ...]:
    return tuple(getattr(dispatch.load("gillespie", backend), "METHODS", ()))


def function(backend: str, name: str) -> Callable[..., Any]:
    """Return a backend's function."""
    return dispatch.implementation("gillespie", name, backend)
