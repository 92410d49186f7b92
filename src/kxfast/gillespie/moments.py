"""What ensembles are like without their trajectories: moments and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.gillespie.calls import check_leaping, check_network, check_times, function, names_in_errors, serving
from kxfast.gillespie.memory import check_memory
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.simulate import Progress
from kxfast.gillespie.trajectories import Histograms, Moments
from kxfast.progress import reporter
from kxfast.settings import get_num_threads


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
    epsilon: float = 0.03,
) -> Moments:
    """Return mean and variance over `n` trajectories at the times `t`, without storing the trajectories.

    The trajectories are those of `simulate` with the same arguments.

    Parameters
    ----------
    net, t, method, seed, threads, progress, backend, epsilon
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
    return _run(net, t, n, method, seed, threads, progress, backend, epsilon, (0, 1, 0))[0]


def histograms(
    net: ReactionNetwork,
    t: Any,
    *,
    n: int,
    low: int = 0,
    width: int = 1,
    bins: int = 100,
    method: str = "auto",
    seed: Any = None,
    threads: int | None = None,
    progress: Progress = False,
    backend: str | None = None,
    epsilon: float = 0.03,
) -> Histograms:
    """Return histograms, mean and variance over `n` trajectories at the times `t`, without storing the trajectories.

    Parameters
    ----------
    net, t, method, seed, threads, progress, backend, epsilon
        See `simulate`.
    n : int
        Number of trajectories, at least 2.
    low, width, bins : int
        Bin b holds the counts from ``low + b * width`` to ``low + (b + 1) * width - 1``, molecules.

    Returns
    -------
    Histograms
        ``counts`` (T, S, bins), ``below`` and ``above`` (T, S), trajectories; their sum is n; ``moments``.

    Raises
    ------
    TypeError, ValueError, MemoryError, BackendError
        As `simulate` does.

    Notes
    -----
    The trajectories are those of `simulate`; the result does not depend on threads. Source: D. T. Gillespie, J. Phys.
    Chem. 81 (1977) 2340.

    Examples
    --------
    >>> import kxfast as kx
    >>> found = kx.gillespie.histograms(kx.gillespie.example("birth_death"), [20], n=2000, bins=200, seed=1)
    >>> found.counts.shape, int(found.counts.sum() + found.above.sum()), bool(80 < found.counts[0, 0].argmax() < 120)
    ((1, 1, 200), 2000, True)

    """
    low = checks.integer("low", low, low=0, high=2**52)
    width = checks.integer("width", width, low=1, high=2**52)
    bins = checks.integer("bins", bins, low=1, high=2**31)
    found, cells = _run(net, t, n, method, seed, threads, progress, backend, epsilon, (low, width, bins))
    edges = low + width * np.arange(bins + 1)
    return Histograms(edges, cells[..., 1:-1], cells[..., 0], cells[..., -1], found)


def _run(
    net: ReactionNetwork,
    t: Any,
    n: int,
    method: str,
    seed: Any,
    threads: int | None,
    progress: Progress,
    backend: str | None,
    epsilon: float,
    histogram: tuple[int, int, int],
) -> tuple[Moments, Any]:
    check_network(net)
    grid = check_times(t)
    n = checks.integer("n", n, low=2)
    workers = checks.threads(threads)
    chosen, method = serving("moments", net, method, backend)
    leap = check_leaping(net, method, epsilon)
    key = checks.seed(seed)
    report = reporter(progress, "sample")
    sums = 32 + 8 * (histogram[2] + 2 if histogram[2] else 0)
    check_memory((16 + sums * (1 + (workers or get_num_threads()))) * len(grid) * len(net.species))
    with names_in_errors(net):
        mean, variance, events, cells = function(chosen, "moments")(
            net.arrays, grid, method=method, seed=key, n=n, threads=workers, progress=report, epsilon=leap,
            histogram=histogram,
        )  # fmt: skip
    return Moments(grid, mean, variance, net.species, n, events, method), cells
