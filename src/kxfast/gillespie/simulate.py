"""Sampled trajectories of reaction networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.gillespie.calls import (
    Start,
    check_ended,
    check_leaping,
    check_network,
    check_start,
    check_times,
    function,
    key_of,
    names_in_errors,
    serving,
)
from kxfast.gillespie.carried import EventState, part_of, together
from kxfast.gillespie.control import compile_until, flat
from kxfast.gillespie.memory import check_memory
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.trajectories import Trajectories
from kxfast.progress import reporter

Progress = bool | Callable[[int, int, str], Any]


def simulate(
    net: ReactionNetwork,
    t: Any,
    *,
    n: int | None = None,
    method: str = "auto",
    seed: Any = None,
    threads: int | None = None,
    until: str | None = None,
    averages: bool = False,
    progress: Progress = False,
    backend: str | None = None,
    executor: Executor | None = None,
    start: Trajectories | Any = None,
    epsilon: float = 0.03,
) -> Trajectories:
    """Simulate `n` independent trajectories from time 0 and sample them at the times `t`.

    A sample is the state after the last event with time at most t. All methods but "tau_leaping" are exact: they draw
    from the law of the master equation.

    Parameters
    ----------
    net : ReactionNetwork
    t : array, shape (T,)
        Increasing times, at least 0; one time gives the final state alone.
    n : int, optional
        Number of trajectories, by default 1, or as many as `start` has.
    method : str
        "direct", "sorting_direct", "next_reaction", "composition_rejection" or "rssa", compiled; "first_reaction" in
        the reference alone. "auto" walks a short trajectory, counts what each method would cost in it and takes the
        cheapest. It counts and does not time: the choice depends on the network and on whether n is 1, never on the
        machine or the seed, and the result's ``method`` says which it was. "tau_leaping" is approximate and never
        taken by "auto": many events in one step, for counts in the thousands.
    seed : int, SeedSequence or Generator, optional
        Trajectory i draws from a stream of its own, keyed by (seed, i): the same seed gives the same result on any
        number of threads and, by the same method, the first trajectories of a larger ensemble are those of a smaller
        one. Backends and methods agree in law, not number by number.
    threads : int, optional
        See `kxfast.get_num_threads`.
    until : str, optional
        A condition of species and parameters, such as ``"A >= 10 and B == 0"``. A trajectory ends at the event after
        which it holds first (or at time 0), ``stopped`` says when, and later samples show the state it ended in:
        extinction and first-passage times. Going on from a result, those that it has ended stay ended.
    averages : bool
        Also average each trajectory over the time from ``t[0]`` to ``t[-1]``.
    progress : bool or callable
        Called as ``progress(done, total, "sample")``.
    backend : str, optional
        See `kxfast.use_backend`. "cuda" runs the direct method on a GPU, with the trajectories of "native".
    executor : concurrent.futures.Executor, optional
        Ranges of trajectories are submitted to it, each on `threads` threads (default 1); the result is the same.
    start : Trajectories or integers, (S,) or (n, S), optional
        An earlier result goes on from its last time, each trajectory from its last sample and, of an SBML model, with
        the delayed events and changed parameters of ``state``: what was to come next is drawn anew, which changes no
        law, since waiting has no memory. The numbers of a seed depend on where a run was cut; the seed of the earlier
        part may be used again. Counts are other initial ones, of all trajectories or of each.
    epsilon : float
        Of "tau_leaping": how much a propensity may change within a leap, relatively.

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
    (2014) 134116; Y. Cao, D. T. Gillespie and L. R. Petzold, J. Chem. Phys. 124 (2006) 044109; article 5607 of
    kexue.fm.

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
    first = check_start(start, n, net, grid)
    n = first.n
    averages = checks.boolean("averages", averages)
    if averages and len(grid) < 2:
        raise ValueError("t must have at least two times to average between; got 1")
    condition = compile_until(until, net.index, net.parameters)
    check_ended(first, condition)
    if averages and condition:
        raise ValueError("averages must be False where until ends trajectories")
    workers = checks.threads(threads)
    executor = checks.executor(executor)
    chosen, method = serving("simulate", net, method, backend, single=n == 1)
    leap = check_leaping(net, method, epsilon, averages=averages, until=until)
    key = key_of(checks.seed(seed), first)
    report = reporter(progress, "sample")
    at_samples = len(net.species) + len(net.rules)
    check_memory(8 * n * (len(grid) * at_samples + len(net.rates) + 2 * len(net.species) * averages))
    arrays = net.arrays_until(condition) if condition else net.arrays
    call = partial(
        _range, chosen, arrays, grid, method=method, seed=key, averages=averages, epsilon=leap, start=first.time
    )
    with names_in_errors(net):
        parts = _parts(call, executor, first, workers, len(grid), report)
    columns = list(zip(*parts, strict=True))
    samples, fired, stopped = (_joined(columns[i]) for i in (0, 1, 4))
    mean, variance = (_joined(columns[i]) if averages else None for i in (2, 3))
    state = together(columns[5]) if net.events else None
    if first.stopped is not None:
        stopped = np.where(np.isfinite(first.stopped), first.stopped, stopped)
    return Trajectories(
        grid, samples, net.species, fired.sum(axis=1), fired, mean, variance, method, stopped if condition else None,
        _assigned(net, grid, samples),
        EventState(tuple(event.name for event in net.events), tuple(net.variables), *state) if state else None,
    )  # fmt: skip


def _own(start: Start, first: int, last: int) -> dict[str, Any]:
    """Return what trajectories `first` to `last` begin with, for a backend that is told only what there is."""
    state = part_of(start.state, first, last)
    counts = {} if start.counts is None else {"starts": start.counts[first:last]}
    return counts if state is None else counts | {"before": state}


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


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _parts(
    call: Callable[..., Any],
    executor: Executor | None,
    start: Start,
    workers: int,
    times: int,
    report: Callable[[int, int], None] | None,
) -> list[Any]:
    """Return what backends found of all trajectories, here in one call, or in ranges that an executor runs."""
    if executor is None:
        return [call(n=start.n, first=0, threads=workers, progress=report, **_own(start, 0, start.n))]
    call = partial(call, threads=workers or 1, progress=None)
    edges = np.linspace(0, start.n, min(start.n, 4 * (os.cpu_count() or 1)) + 1).astype(int).tolist()
    futures = [
        executor.submit(call, n=last - first, first=first, **_own(start, first, last))
        for first, last in pairwise(edges)
    ]
    parts = []
    try:
        for future, done in zip(futures, edges[1:], strict=True):
            parts.append(future.result())
            if report:
                report(done * times, start.n * times)
    finally:
        for future in futures:
            future.cancel()
    return parts
