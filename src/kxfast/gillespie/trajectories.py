"""Results: sampled trajectories, their moments, and the log of every event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kxfast.gillespie.memory import check_memory

Counts = NDArray[np.int64]
Reals = NDArray[np.float64]


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
        What the assignment rules of an SBML model give at the samples.

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

    def __repr__(self) -> str:
        """Return the sizes."""
        n, times, species = self.counts.shape
        return f"Trajectories({n} trajectories, {times} times, {species} species, {int(self.events.sum())} events)"

    def mean(self) -> Reals:
        """Return the mean over trajectories, (T, S)."""
        return np.asarray(self.counts.mean(axis=0))

    def std(self) -> Reals:
        """Return the sample standard deviation over trajectories, (T, S), with divisor n - 1."""
        if len(self.counts) < 2:
            raise ValueError("std needs at least 2 trajectories; got 1")
        return np.asarray(self.counts.std(axis=0, ddof=1))

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
        return xarray.DataArray(self.counts, coords=coordinates, dims=list(coordinates), name="counts")

    def plot(self, axes: Any = None, *, most: int = 50) -> Any:
        """Draw the first `most` trajectories as steps, one colour for each species, and return matplotlib's axes."""
        pyplot = _optional("matplotlib.pyplot", "plot")
        axes = pyplot.subplots()[1] if axes is None else axes
        shown = self.counts[:most]
        for s, name in enumerate(self.species):
            lines = axes.step(self.t, shown[:, :, s].T, where="post", color=f"C{s}", alpha=max(0.1, len(shown) ** -0.5))
            lines[0].set_label(name)
        axes.set_xlabel("t")
        axes.set_ylabel("count")
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

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.times)

    def counts(self) -> Counts:
        """Return the initial counts and those after each event, (E + 1, S)."""
        check_memory(8 * (len(self) + 1) * len(self.species), "counts()", "look at part of the log")
        counts = np.empty((len(self) + 1, len(self.species)), np.int64)
        counts[0] = self.initial
        np.cumsum(self.change[self.reaction].toarray(), axis=0, out=counts[1:])
        counts[1:] += self.initial
        return counts
