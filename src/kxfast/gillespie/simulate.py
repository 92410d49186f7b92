"""Exact simulation of reaction networks: sampled trajectories, moments of ensembles, logs of events."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.gillespie.calls import check_network, check_times, function, serving
from kxfast.gillespie.control import compile_until, flat
from kxfast.gillespie.memory import check_memory
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.trajectories import EventLog, Moments, Trajectories
from kxfast.settings import get_num_threads

Progress = bool | Callable[[int, int, str], Any]


def simulate(
    net: ReactionNetwork,
    t: Any,
    *,
    n: int = 1,
    method: str = "auto",
    seed: Any = None,
    threads: int | None = None,
    until: str | None = None,
    averages: bool = False,
    progress: Progress = False,
    backend: str | None = None,
    executor: Executor | None = None,
) -> Trajectories:
    """Simulate `n` independent trajectories from time 0 and sample them at the times `t`.

    A sample is the state after the last event with time at most t. All methods are exact: they draw from the law of
    the master equation.

    Parameters
    ----------
    net : ReactionNetwork
    t : array, shape (T,)
        Increasing times, at least 0; one time gives the final state alone.
    n : int
        Number of trajectories.
    method : str
        "direct", "sorting_direct", "next_reaction", "composition_rejection" or "rssa", compiled; "first_reaction" in
        the reference alone. "auto" walks a short trajectory, counts what each method would cost in it and takes the
        cheapest. It counts and does not time: the choice depends on the network and on whether n is 1, never on the
        machine or the seed, and the result's ``method`` says which it was. "tau_leaping" is kept for a method
        that no backend has yet; it raises BackendError.
    seed : int, SeedSequence or Generator, optional
        Trajectory i draws from a stream of its own, keyed by (seed, i): the same seed gives the same result on any
        number of threads and, by the same method, the first trajectories of a larger ensemble are those of a smaller
        one. Backends and methods agree in law, not number by number.
    threads : int, optional
        See `kxfast.get_num_threads`.
    until : str, optional
        A condition of species and parameters, such as ``"A >= 10 and B == 0"``. A trajectory ends at the event after
        which it holds first (or at time 0), ``stopped`` says when, and later samples show the state it ended in:
        extinction and first-passage times.
    averages : bool
        Also average each trajectory over the time from ``t[0]`` to ``t[-1]``.
    progress : bool or callable
        Called as ``progress(done, total, "sample")``.
    backend : str, optional
        See `kxfast.use_backend`.
    executor : concurrent.futures.Executor, optional
        Ranges of trajectories are submitted to it, each on `threads` threads (default 1); the result is the same.

    Returns
    -------
    Trajectories
        ``counts`` (n, T, S), ``events`` (n,), ``fired`` (n, R) and more.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a rate expression gives no rate during the run, or an
        event no count.
    MemoryError
        If the result cannot fit into memory; the message says how many bytes it needs.
    BackendError
        If the backend cannot serve the method; the message says which methods it has.

    Notes
    -----
    Cost of an event, A of the R propensities being affected by it: direct R or A + R^(1/3), sorting_direct A and a
    search as short as reactions are unequal, next_reaction A log R, composition_rejection A, rssa nearly constant
    where counts are large. Source: D. T. Gillespie, J. Phys. Chem. 81 (1977) 2340; M. A. Gibson and J. Bruck, J.
    Phys. Chem. A 104 (2000) 1876; J. M. McCollum et al., Comput. Biol. Chem. 30 (2006) 39; A. Slepoy, A. P. Thompson
    and S. J. Plimpton, J. Chem. Phys. 128 (2008) 205101; V. H. Thanh, C. Priami and R. Zunino, J. Chem. Phys. 141
    (2014) 134116; article 5607 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> net = kx.gillespie.ReactionNetwork({"A": 20}, ["0 -> A @ 5", "A -> 0 @ 0.5"])
    >>> res = kx.gillespie.simulate(net, np.linspace(0, 3, 7), n=1000, seed=1)
    >>> res.counts.shape, bool(abs(res.mean()[-1, 0] - 12.2313) < 0.5)
    ((1000, 7, 1), True)

    """
    check_network(net)
    grid = check_times(t)
    n = checks.integer("n", n, low=1)
    averages = checks.boolean("averages", averages)
    if averages and len(grid) < 2:
        raise ValueError("t must have at least two times to average between; got 1")
    condition = compile_until(until, net.index, net.parameters)
    if averages and condition:
        raise ValueError("averages must be False where until ends trajectories")
    workers = checks.threads(threads)
    executor = checks.executor(executor)
    chosen, method = serving("simulate", net, method, backend, single=n == 1)
    key = checks.seed(seed)
    report = checks.progress(progress, "sample")
    check_memory(8 * n * (len(grid) * len(net.species) + len(net.rates)))
    arrays = net.arrays_until(condition) if condition else net.arrays
    call = partial(_range, chosen, arrays, grid, method=method, seed=key, averages=averages)
    if executor is None:
        counts, fired, mean, variance, stopped = call(n=n, first=0, threads=workers, progress=report)
    else:
        parts = _spread(executor, partial(call, threads=workers or 1, progress=None), n, len(grid), report)
        counts, fired = (np.concatenate(each) for each in zip(*(part[:2] for part in parts), strict=True))
        mean, variance = (
            np.concatenate(each) if averages else None for each in zip(*(part[2:4] for part in parts), strict=True)
        )
        stopped = np.concatenate([part[4] for part in parts])
    return Trajectories(
        grid, counts, net.species, fired.sum(axis=1), fired, mean, variance, method, stopped if condition else None,
        _assigned(net, grid, counts),
    )  # fmt: skip


def _assigned(net: ReactionNetwork, t: Any, counts: Any) -> dict[str, Any]:
    """Return what assignment rules give at the samples, (n, T) each."""
    evaluate = function("reference", "evaluate")
    found = {}
    for name, program in net.rules.items():
        _, ops, numbers = flat([program])
        found[name] = np.broadcast_to(evaluate(ops, numbers, np.moveaxis(counts, 2, 0), t), counts.shape[:2])
    return found


def _range(backend: str, *arguments: Any, **keywords: Any) -> Any:
    return function(backend, "simulate")(*arguments, **keywords)  # found by name: executors may be other processes


def _spread(
    executor: Executor, call: Callable[..., Any], n: int, times: int, report: Callable[[int, int], None] | None
) -> list[Any]:
    edges = np.linspace(0, n, min(n, 4 * (os.cpu_count() or 1)) + 1).astype(int).tolist()
    futures = [executor.submit(call, n=last - first, first=first) for first, last in pairwise(edges)]
    parts = []
    try:
        for future, done in zip(futures, edges[1:], strict=True):
            parts.append(future.result())
            if report:
                report(done * times, n * times)
    finally:
        for future in futures:
            future.cancel()
    return parts


def moments(
    net: ReactionNetwork,
    t: Any,
    *,
    n: int,
    method: str = "auto",
    seed: Any = None,
    threads: int | None = None,
    progress: Progress = False,
    backend: str | None = None,
) -> Moments:
    """Return mean and variance over `n` trajectories at the times `t`, without storing the trajectories.

    The trajectories are those of `simulate` with the same arguments.

    Parameters
    ----------
    net, t, method, seed, threads, progress, backend
        See `simulate`.
    n : int
        Number of trajectories, at least 2.

    Returns
    -------
    Moments
        ``mean`` and ``variance`` (T, S), molecules and molecules squared; the variance has the divisor n - 1.

    Raises
    ------
    TypeError, ValueError, MemoryError, BackendError
        As `simulate` does.

    Notes
    -----
    Memory: 32 bytes for each time, species and thread. The sums are kept as integers, so the result does not
    depend on threads. Source: D. T. Gillespie, J. Phys. Chem. 81 (1977) 2340.

    Examples
    --------
    >>> import kxfast as kx
    >>> mom = kx.gillespie.moments(kx.gillespie.example("birth_death"), [10, 20], n=2000, seed=1)
    >>> bool(abs(mom.mean[1, 0] - 100) < 2)
    True

    """
    check_network(net)
    grid = check_times(t)
    n = checks.integer("n", n, low=2)
    workers = checks.threads(threads)
    chosen, method = serving("moments", net, method, backend)
    key = checks.seed(seed)
    report = checks.progress(progress, "sample")
    check_memory((16 + 32 * (workers or get_num_threads())) * len(grid) * len(net.species))
    run = function(chosen, "moments")
    mean, variance, events = run(net.arrays, grid, method=method, seed=key, n=n, threads=workers, progress=report)
    return Moments(grid, mean, variance, net.species, n, events, method)


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
    times, reaction, absorbed = run(net.arrays, t_end=end, max_events=most, method=method, seed=key)
    return EventLog(times, reaction, net.initial, net.changes, net.species, absorbed, method)
