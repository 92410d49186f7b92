from __future__ import annotations

import typing

import numpy
import numpy.typing

@typing.overload
def power_iteration(
    weight: numpy.typing.NDArray[numpy.float32],
    u: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).
    """

@typing.overload
def power_iteration(
    weight: numpy.typing.NDArray[numpy.float64],
    u: numpy.typing.NDArray[numpy.float64],
    v: numpy.typing.NDArray[numpy.float64],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).
    """
