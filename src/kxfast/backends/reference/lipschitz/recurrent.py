"""Jacobians of the steps of recurrent networks (article 7888 of kexue.fm), in their vector form."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def _rows(scale: Array, matrix: Array) -> Array:
    """Return diag(scale_t) matrix for every t."""
    return scale[:, :, None] * matrix


def _diagonal(matrices: Array, values: Array) -> Array:
    """Add diag(values_t) to every matrix, in place."""
    n = values.shape[1]
    matrices.reshape(len(matrices), -1)[:, :: n + 1] += values
    return matrices


def rnn_jacobians(states: Array, weight: Array) -> Array:
    """Of h_t = tanh(... + U h_{t-1})."""
    return _rows(1 - states * states, weight)


def lstm_jacobians(cells: Array, before: Array, gates: tuple[Array, ...], weights: tuple[Array, ...]) -> Array:
    """Of c_t = f c_{t-1} + i g along c, where h_{t-1} = o_{t-1} tanh(c_{t-1}) feeds f, i and g."""
    (forget, enter, candidate), (u_f, u_i, u_c) = gates, weights
    matrices = _rows(cells * forget * (1 - forget), u_f)
    matrices += _rows(candidate * enter * (1 - enter), u_i)
    matrices += _rows(enter * (1 - candidate * candidate), u_c)
    matrices *= before[:, None, :]
    return _diagonal(matrices, forget)


def gru_jacobians(before: Array, gates: tuple[Array, ...], weights: tuple[Array, ...]) -> Array:
    """Of h_t = (1 - z) h_{t-1} + z g with g = tanh(... + U_h (r h_{t-1}))."""
    (update, reset, candidate), (u_z, u_r, u_h) = gates, weights
    inner = _diagonal(_rows(before * reset * (1 - reset), u_r), reset)  # of r h_{t-1}
    matrices = _rows(update * (1 - candidate * candidate), u_h @ inner)
    matrices += _rows(update * (1 - update) * (candidate - before), u_z)
    return _diagonal(matrices, 1 - update)
