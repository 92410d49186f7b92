"""Jacobians of recurrent networks, step by step: how gradients vanish and explode (article 7888 of kexue.fm)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation


def rnn_jacobians(states: Any, weight: Any, *, backend: str | None = None) -> Any:
    """Return ``dh_t / dh_{t-1}`` of the steps ``h_t = tanh(... + U h_{t-1})``: ``diag(1 - h_t^2) U``.

    Parameters
    ----------
    states : array, shape (T, n)
        h_1 ... h_T.
    weight : array, shape (n, n)
        U.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (T, n, n)
        For `jacobian_product_lognorms`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or is not finite.

    Notes
    -----
    Source: article 7888 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> jacobians = kx.lipschitz.rnn_jacobians(np.full((50, 1), 0.5), np.array([[1.2]]))
    >>> kx.lipschitz.jacobian_product_lognorms(jacobians)[-1].round(6)  # 50 log 0.9
    np.float64(-5.268026)

    """
    (h,), (u,) = _checked({"states": states}, {"weight": weight})
    run = implementation("lipschitz", "rnn_jacobians", backend, h.dtype.char)
    return checks.like(run(h, u), states)


def lstm_jacobians(
    cells: Any,
    outputs: Any,
    forget: Any,
    enter: Any,
    candidates: Any,
    weights: tuple[Any, Any, Any],
    *,
    backend: str | None = None,
) -> Any:
    """Return ``dc_t / dc_{t-1}`` of an LSTM along its cells: ``c_t = f c_{t-1} + i g``, ``h_{t-1} = o tanh(c_{t-1})``.

    f, i and g see h_{t-1}; the output gate o_{t-1} counts as given, as in the article.

    Parameters
    ----------
    cells, outputs : array, shape (T, n)
        c_{t-1} and o_{t-1}, before each step.
    forget, enter, candidates : array, shape (T, n)
        f, i and g of each step.
    weights : three arrays, shape (n, n)
        U_f, U_i and U_c, which multiply h_{t-1}.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (T, n, n)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or is not finite.

    Notes
    -----
    ``|(1 - tanh^2 c) c|`` is at most .447743205, so the parts beside f stay small. Source: article 7888 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> gates = (np.full((3, 2), 0.5) for _ in range(5))
    >>> kx.lipschitz.lstm_jacobians(*gates, [np.zeros((2, 2))] * 3)[0].tolist()
    [[0.5, 0.0], [0.0, 0.5]]

    """
    given = {"cells": cells, "outputs": outputs, "forget": forget, "enter": enter, "candidates": candidates}
    (c, o, f, i, g), us = _checked(given, _named(weights))
    before = o * (1 - np.tanh(c) ** 2)
    run = implementation("lipschitz", "lstm_jacobians", backend, c.dtype.char)
    return checks.like(run(c, before, (f, i, g), tuple(us)), cells)


def gru_jacobians(
    states: Any, update: Any, reset: Any, candidates: Any, weights: tuple[Any, Any, Any], *, backend: str | None = None
) -> Any:
    """Return ``dh_t / dh_{t-1}`` of a GRU: ``h_t = (1 - z) h_{t-1} + z g``, ``g = tanh(... + U_h (r h_{t-1}))``.

    Parameters
    ----------
    states : array, shape (T, n)
        h_{t-1}, before each step.
    update, reset, candidates : array, shape (T, n)
        z, r and g of each step.
    weights : three arrays, shape (n, n)
        U_z, U_r and U_h.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (T, n, n)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or is not finite.

    Notes
    -----
    Source: article 7888 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> half = (np.full((3, 2), 0.5) for _ in range(4))
    >>> kx.lipschitz.gru_jacobians(*half, [np.zeros((2, 2))] * 3)[0].tolist()
    [[0.5, 0.0], [0.0, 0.5]]

    """
    given = {"states": states, "update": update, "reset": reset, "candidates": candidates}
    (h, z, r, g), us = _checked(given, _named(weights))
    run = implementation("lipschitz", "gru_jacobians", backend, h.dtype.char)
    return checks.like(run(h, (z, r, g), tuple(us)), states)


def _named(weights: Any) -> dict[str, Any]:
    if not isinstance(weights, (tuple, list)) or len(weights) != 3:
        got = len(weights) if isinstance(weights, (tuple, list)) else type(weights).__name__
        raise ValueError(f"weights must be three arrays, one for each gate; got {got}")
    return {f"weights[{i}]": each for i, each in enumerate(weights)}


def _checked(steps: dict[str, Any], weights: dict[str, Any]) -> tuple[list[checks.Array], list[checks.Array]]:
    """Return values of steps (T, n) and matrices (n, n), all finite and of one type."""
    rows = {name: checks.floating(name, value, ndim=2) for name, value in steps.items()}
    squares = {name: checks.floating(name, value, ndim=2) for name, value in weights.items()}
    first, (count, n) = next((name, x.shape) for name, x in rows.items())
    for name, x in rows.items():
        checks.shape(name, x, (count, n), f"({count}, {n})", f"to match {first}")
    for name, x in squares.items():
        checks.shape(name, x, (n, n), f"({n}, {n})", f"to match {first}'s {n} columns")
    for name, x in (rows | squares).items():
        checks.finite(name, x)
    together = checks.common_float(**rows, **squares)
    return list(together[: len(rows)]), list(together[len(rows) :])
