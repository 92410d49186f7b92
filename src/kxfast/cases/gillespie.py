"""Cases of the stem gillespie: backends agree in law, so results are compared by z-scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kxfast as kx
from kxfast.cases import Case

_SIGMAS = 6.0  # beyond it once in 5e8 comparisons, and seeds are fixed
_NETWORKS = {
    "immigration-death": kx.gillespie.ReactionNetwork({"A": 20}, ["0 -> A @ 5", "A -> 0 @ 0.5"]),
    "all orders": kx.gillespie.ReactionNetwork(
        {"A": 12, "B": 7, "C": 0},
        ["2 A -> B @ 0.1", "B -> 2 A @ 1", "3 A + B -> C @ 0.01", "C -> 0 @ 0.5", "0 -> A @ 2"],
    ),
    "expressions": kx.gillespie.ReactionNetwork(
        {"U": 5, "V": 5},
        ["0 -> U @ a / (1 + (V / k) ** 2)", "0 -> V @ a / (1 + (U / k) ** 2)", "U -> 0 @ 1", "V -> 0 @ 1"],
        {"a": 15.0, "k": 5.0},
    ),
    "chain of 24": kx.gillespie.ReactionNetwork(
        {f"X{i}": 2 for i in range(13)},
        [f"X{i} -> X{j} @ 1" for i, j in [(i, i + d) for i in range(13) for d in (-1, 1)] if 0 <= j < 13],
    ),
}


def _largest_z(difference: Any, error: Any) -> float:
    z = np.divide(np.abs(difference), error, out=np.where(difference == 0, 0.0, np.inf), where=error > 0)
    return float(np.max(z, initial=0.0))


def ensemble_distance(result: Any, expected: Any) -> float:
    """Return the largest z-score between the means and the variances of two ensembles, counts and firings."""
    all_z = [0.0]
    for x, y in (result.counts, expected.counts), (result.fired, expected.fired):
        if x.shape[1:] != y.shape[1:] or x.dtype != y.dtype:
            return np.inf
        all_z += [_largest_z(a.mean(0) - b.mean(0), _error(a, b)) for a, b in _centred(x, y)]
    return float(np.max(all_z))  # NaN, if there is one


def _centred(x: Any, y: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the samples, and their squares about a common centre: equal laws have equal means of both."""
    yield x, y
    centre = np.concatenate([x, y]).mean(0)
    yield (x - centre) ** 2, (y - centre) ** 2


def _error(x: Any, y: Any) -> Any:
    return np.sqrt(x.var(0) / len(x) + y.var(0) / len(y))


def moments_distance(result: Any, expected: Any) -> float:
    """Return the largest z-score between means and between variances; the latter as for a Poisson count."""
    if result.mean.shape != expected.mean.shape:
        return np.inf
    spread, parts = (result.variance + expected.variance) / 2, 1 / result.n + 1 / expected.n
    means = _largest_z(result.mean - expected.mean, np.sqrt(spread * parts))
    variances = _largest_z(result.variance - expected.variance, np.sqrt((2 * spread**2 + spread) * parts))
    return float(np.max([means, variances]))


def log_distance(result: Any, expected: Any) -> float:
    """Return the z-score between the numbers of events of two logs of equal time, as for Poisson counts."""
    a, b = len(result), len(expected)
    return _largest_z(np.float64(a - b), np.sqrt(np.float64(a + b)))


def work_distance(result: Any, expected: Any) -> float:
    """Return how far the numbers of events are apart, relative to the larger one."""
    a, b = int(result.events.sum()), int(expected.events.sum())
    return abs(a - b) / max(a, b, 1)


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    t = np.array([0.0, 0.3, 0.8])
    for label, net in _NETWORKS.items():
        keywords = {"n": 200, "seed": int(rng.integers(2**32))}
        yield Case("gillespie.simulate", label, (net, t), keywords, _SIGMAS, ensemble_distance)
        yield Case("gillespie.moments", label, (net, t), keywords, _SIGMAS, moments_distance)
        yield Case("gillespie.simulate_events", label, (net, 20.0), {"seed": keywords["seed"]}, _SIGMAS, log_distance)


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield one long trajectory and one ensemble of every network in ``data / "ssa_models"``.

    Times and numbers are those of the files' "bench"; `quick` ones are so short that the reference takes at most a
    second. The amount of work is the number of events.
    """
    for file in sorted((data / "ssa_models").glob("*.json")):
        net = kx.gillespie.read_json(file)
        bench = json.loads(file.read_text(encoding="utf-8"))["bench"]
        shapes = [(1, bench["t_long"]), (bench["n_ens"], bench["t_ens"])]
        if quick:
            shapes = list(zip((1, 10), _quick_ends(net), strict=True))
        for n, end in shapes:
            if end is not None:
                t = np.linspace(0, end, bench["n_points"])
                amount = float(kx.gillespie.simulate(net, t, n=n, seed=1).events.sum())
                yield Case("gillespie.simulate", f"{file.stem} n={n}", (net, t), {"n": n, "seed": 1}, 0.5,
                           work_distance, amount, "event")  # fmt: skip


def _quick_ends(net: kx.gillespie.ReactionNetwork) -> tuple[float, float]:
    """Return times of about half a second of the reference's work, and of a tenth of it.

    The reference's cost of an event is a pass over (R, S).
    """
    seconds_an_event = 40e-6 + 15e-9 * len(net.rates) * len(net.species)
    times = kx.gillespie.simulate_events(net, max_events=max(20, int(0.5 / seconds_an_event)), seed=0).times
    return float(times[-1]), float(times[len(times) // 10])
