from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

def choose_method(network: tuple[typing.Any, ...], single: bool) -> str:
    """
    The exact method that should be fastest.
    """

def exponential(bits: typing.SupportsInt | typing.SupportsIndex) -> float:
    """
    The waiting time, of mean 1, that 64 random bits become.
    """

def moments(
    network: tuple[typing.Any, ...],
    t: numpy.typing.NDArray[numpy.float64],
    method: str,
    seed: typing.SupportsInt | typing.SupportsIndex,
    n: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    progress: typing.Any,
    lanes: typing.SupportsInt | typing.SupportsIndex = -1,
    epsilon: typing.SupportsFloat | typing.SupportsIndex = 0.03,
    histogram: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(3)"] = [
        0,
        1,
        0,
    ],
) -> tuple[typing.Any, ...]:
    """
    Mean and variance over n trajectories, the events, and histograms of (low, width, bins).
    """

def simulate(
    network: tuple[typing.Any, ...],
    t: numpy.typing.NDArray[numpy.float64],
    method: str,
    seed: typing.SupportsInt | typing.SupportsIndex,
    averages: bool,
    n: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    threads: typing.SupportsInt | typing.SupportsIndex,
    progress: typing.Any,
    lanes: typing.SupportsInt | typing.SupportsIndex = -1,
    epsilon: typing.SupportsFloat | typing.SupportsIndex = 0.03,
    start: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    starts: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] = ...,
    before: typing.Any = None,
) -> tuple[typing.Any, ...]:
    """
    Trajectories first .. first + n at t: counts, firings, averages or None, ends by until, event states.
    """

def simulate_events(
    network: tuple[typing.Any, ...],
    t_end: typing.SupportsFloat | typing.SupportsIndex,
    max_events: typing.SupportsInt | typing.SupportsIndex,
    method: str,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Times and reactions of trajectory 0, and whether nothing can fire after them.
    """
