"""Logs of every event of a trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.gillespie.calls import check_network, function, names_in_errors, serving
from kxfast.gillespie.memory import available_memory, check_memory
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.trajectories import EventLog

_BYTES = 12  # an event


def simulate_events(
    net: ReactionNetwork,
    t_end: float | None = None,
    *,
    max_events: int | None = None,
    method: str = "auto",
    seed: Any = None,
    backend: str | None = None,
) -> EventLog:
    """Simulate one trajectory from time 0 and return every event, until `t_end`, `max_events` or the last possible one.

    Parameters
    ----------
    net : ReactionNetwork
    t_end : float, optional
        Events up to and at this time are kept.
    max_events : int, optional
        At most this many. One of the two must be given.
    method, seed, backend
        See `simulate`; the trajectory is number 0 of the seed, of n = 1.

    Returns
    -------
    EventLog
        ``times`` (E,), ``reaction`` (E,), ``counts()`` (E + 1, S); 12 bytes an event.

    Raises
    ------
    TypeError, ValueError, BackendError
        As `simulate` does.
    MemoryError
        Before the run if `max_events` alone is given and so many cannot fit; else when memory is nearly used up.

    Notes
    -----
    An average over events is not an average over time: weight each state by how long it holds, or ask `simulate`
    for ``averages``. Source: D. T. Gillespie, J. Phys. Chem. 81 (1977) 2340; article 5607 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> net = kx.gillespie.ReactionNetwork({"A": 3}, ["A -> 0 @ 1"])
    >>> log = kx.gillespie.simulate_events(net, max_events=10, seed=1)
    >>> len(log), log.counts()[:, 0].tolist(), log.absorbed
    (3, [3, 2, 1, 0], True)

    """
    check_network(net)
    if t_end is None and max_events is None:
        raise ValueError("t_end or max_events must be given; got neither")
    end = np.inf if t_end is None else checks.number("t_end", t_end, low=0)
    most = 2**62 if max_events is None else checks.integer("max_events", max_events, low=0, high=2**62)
    chosen, method = serving("simulate_events", net, method, backend, single=True)
    run = function(chosen, "simulate_events")
    key = checks.seed(seed)
    if net.events:
        raise ValueError(f"net must have no events, which a log cannot hold; got {net.events[0].name!r}")
    if t_end is None:
        check_memory(_BYTES * most, "a log of so many events", "fewer max_events, or simulate()")
    room = max(1, available_memory() // _BYTES)
    with names_in_errors(net):
        times, reaction, absorbed = run(net.arrays, t_end=end, max_events=min(most, room), method=method, seed=key)
    if room < most and len(times) == room:
        raise MemoryError(f"the log needs more than {_BYTES * room} bytes, which are reached at t = {times[-1]:g}")
    return EventLog(times, reaction, net.initial, net.changes, net.species, absorbed, method)
