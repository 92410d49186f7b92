"""Results: sampled trajectories, their moments, and the log of every event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kxfast.gillespie.carried import EventState
from kxfast.gillespie.memory import check_memory

Counts = NDArray[np.int64]
Reals = NDArray[np.float64]
_BLOCK = 2**16  # events


def _optional(module: str, purpose: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(f"{purpose} needs {module.partition('.')[0]}; install it") from None


@dataclass(frozen=True)
class Trajectories:
    """Trajectories of a network, sampled at given times.

    Attributes
    ----------
    t : float64 array, (T,)
    counts : int64 array, (n, T, S)
        State after the last event with time at most t; an absorbed trajectory keeps its state.
    species : tuple of str, (S,)
    events : int64 array, (n,)
        Events of each trajectory until ``t[-1]``.
    fired : int64 array, (n, R)
        The same for each reaction.
    time_mean, time_variance : float64 arrays, (n, S), or None
        Averages over the time from ``t[0]`` to ``t[-1]``, each state weighted by how long it held.
    method : str
        By which method.
    stopped : float64 array, (n,), or None
        When the condition `until` of `simulate` ended each trajectory; infinite where it did not until ``t[-1]``.
    assigned : mapping of str to float64 arrays, (n, T)
        What the assignment rules of an SBML model give at the samples; not those that read what events change besides
        counts.
    state : EventState, or None
        What the events of an SBML model hold at ``t[-1]``, delayed ones among them; for ``start`` of `simulate`.

    """

    t: Reals
    counts: Counts
    species: tuple[str, ...]
    events: Counts
    fired: Counts
    time_mean: Reals | None = None
    time_variance: Reals | None = None
    method: str = ""
    stopped: Reals | None = None
    assigned: Mapping[str, Reals] = field(default_factory=dict)
    state: EventState | None = None

    def __repr__(self) -> str:
        """Return the sizes."""
        n, times, species = self.counts.shape
        delayed = f", {len(self.state.due)} of the model delayed" if self.state else ""
        events = f"{int(self.events.sum())} events{delayed}"
        return f"Trajectories({n} trajectories, {times} times, {species} species, {events})"

    def mean(self) -> Reals:
        """Return the mean over trajectories, (T, S)."""
        return np.asarray(self.counts.mean(axis=0))

    def std(self) -> Reals:
        """Return the sample standard deviation over trajectories, (T, S), with divisor n - 1."""
        if len(self.counts) < 2:
            raise ValueError("std needs at least 2 trajectories; got 1")
        return np.asarray(self.counts.std(axis=0, ddof=1))

    def joined(self, later: Trajectories) -> Trajectories:
        """Return these trajectories and what `simulate` made of them with ``start``, as one result without averages."""
        if len(later.counts) != len(self.counts) or later.species != self.species or later.t[0] < self.t[-1]:
            raise ValueError("later must be a result that starts from this one")
        skip = int(later.t[0] == self.t[-1])
        return Trajectories(
            np.concatenate([self.t, later.t[skip:]]),
            np.concatenate([self.counts, later.counts[:, skip:]], axis=1),
            self.species,
            self.events + later.events,
            self.fired + later.fired,
            method=later.method,
            stopped=later.stopped,
            assigned={
                name: np.concatenate([self.assigned[name], x[:, skip:]], axis=1) for name, x in later.assigned.items()
            },
            state=later.state,
        )

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with a row for each trajectory and time, and a column for each species."""
        pandas = _optional("pandas", "to_dataframe")
        n, times, species = self.counts.shape
        index = pandas.MultiIndex.from_product([range(n), self.t], names=["trajectory", "t"])
        return pandas.DataFrame(self.counts.reshape(n * times, species), index=index, columns=list(self.species))

    def to_xarray(self) -> Any:
        """Return an xarray DataArray with the dimensions trajectory, t and species."""
        xarray = _optional("xarray", "to_xarray")
        coordinates = {"trajectory": np.arange(len(self.counts)), "t": self.t, "species": list(self.species)}
        attributes = {"units": "molecules", "method": self.method}
        return xarray.DataArray(self.counts, coordinates, list(coordinates), name="counts", attrs=attributes)

    def plot(self, axes: Any = None, *, species: str | Sequence[str] | None = None, most: int = 50) -> Any:
        """Draw a fan of trajectories, their mean and a band of one standard deviation, and return matplotlib's axes.

        One colour for each of the `species`, all by default; `most` trajectories are drawn, mean and band are of all.
        """
        pyplot = _optional("matplotlib.pyplot", "plot")
        axes = pyplot.subplots()[1] if axes is None else axes
        chosen = self.species if species is None else [species] if isinstance(species, str) else species
        for colour, name in enumerate(chosen):
            if name not in self.species:
                raise ValueError(f"species must be among {', '.join(self.species)}; got {name!r}")
            every = self.counts[:, :, self.species.index(name)]
            look = {"where": "post", "color": f"C{colour % 10}"}
            if len(every) == 1:
                axes.step(self.t, every[0], label=name, **look)
                continue
            mean, deviation = every.mean(axis=0), every.std(axis=0, ddof=1)
            faint = min(0.3, max(0.05, 2 / len(every[:most])))
            axes.plot(self.t, every[:most].T, color=look["color"], alpha=faint, linewidth=0.7)
            axes.fill_between(self.t, mean - deviation, mean + deviation, color=look["color"], alpha=0.15, linewidth=0)
            axes.plot(self.t, mean, color=look["color"], label=f"{name}, mean and sd")
        axes.set_xlabel("t (units of time of the rates)")
        axes.set_ylabel("molecules")
        axes.legend()
        return axes


@dataclass(frozen=True)
class Moments:
    """Mean and variance of an ensemble at given times, without its trajectories.

    Attributes
    ----------
    t : float64 array, (T,)
    mean, variance : float64 arrays, (T, S)
        The variance has the divisor n - 1.
    species : tuple of str, (S,)
    n : int
        Trajectories.
    events : int
        Events of all of them.
    method : str
        By which method.

    """

    t: Reals
    mean: Reals
    variance: Reals
    species: tuple[str, ...]
    n: int
    events: int
    method: str = ""


@dataclass(frozen=True)
class Histograms:
    """Histograms of an ensemble at given times, without its trajectories.

    Attributes
    ----------
    edges : int64 array, (B + 1,)
        Bin b holds the counts from ``edges[b]`` to ``edges[b + 1] - 1``, molecules.
    counts : int64 array, (T, S, B)
        Trajectories in each bin.
    below, above : int64 arrays, (T, S)
        Trajectories outside of the bins.
    moments : Moments
        Times, species, means and variances.

    """

    edges: Counts
    counts: Counts
    below: Counts
    above: Counts
    moments: Moments

    def __repr__(self) -> str:
        """Return the sizes."""
        times, species, bins = self.counts.shape
        return f"Histograms({self.moments.n} trajectories, {times} times, {species} species, {bins} bins)"


@dataclass(frozen=True)
class EventLog:
    """Every event of one trajectory.

    Attributes
    ----------
    times : float64 array, (E,)
    reaction : int32 array, (E,)
        Index of the reaction that fired.
    initial : int64 array, (S,)
    change : scipy.sparse.csr_array of int64, (R, S)
        What a reaction adds to the counts.
    species : tuple of str, (S,)
    absorbed : bool
        Whether nothing can fire any more after the last event.
    method : str
        By which method.

    """

    times: Reals
    reaction: NDArray[np.int32]
    initial: Counts
    change: sparse.csr_array
    species: tuple[str, ...]
    absorbed: bool
    method: str = ""

    def __repr__(self) -> str:
        """Return the sizes."""
        return f"EventLog({len(self)} events, {len(self.species)} species, {self.change.shape[0]} reactions)"

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.times)

    def time_histogram(self, species: str, t_end: float) -> Reals:
        """Return the share of the time from 0 to `t_end` that the species spent at each count, from 0 on."""
        if species not in self.species:
            raise ValueError(f"species must be one of {', '.join(self.species)}; got {species!r}")
        if not t_end > 0 or (len(self) and t_end < self.times[-1]):
            raise ValueError(f"t_end must be above 0 and not before the last event; got {t_end:g}")
        s = self.species.index(species)
        change = self.change[:, [s]].toarray()[:, 0]
        counts = self.initial[s] + np.concatenate([[0], np.cumsum(change[self.reaction])])
        held = np.diff(np.concatenate([[0.0], self.times, [t_end]]))
        return np.bincount(counts, held) / t_end

    def counts(self) -> Counts:
        """Return the initial counts and those after each event, (E + 1, S)."""
        check_memory(8 * (len(self) + 1) * len(self.species), "counts()", "look at part of the log")
        counts = np.empty((len(self) + 1, len(self.species)), np.int64)
        counts[0] = self.initial
        for begin in range(0, len(self), _BLOCK):  # little memory besides, and Ctrl-C is heard between
            block = self.change[self.reaction[begin : begin + _BLOCK]].toarray()
            block[0] += counts[begin]
            np.cumsum(block, axis=0, out=counts[begin + 1 : begin + 1 + len(block)])
        return counts
