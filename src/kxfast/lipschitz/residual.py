"""Invertible residual blocks: the inverse of x + g(x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.bounds import lipschitz_bounds
from kxfast.lipschitz.layers import Layer, result_shape, sequence, specs


@dataclass(frozen=True, eq=False)
class Inverse:
    """The result of `residual_inverse`.

    Attributes
    ----------
    x : array of the shape of y
    steps : int64 array, shape (B,)
        Evaluations of g for each sample.
    error_bound : float64 array, shape (B,)
        At least the distance ``|x - x*|`` of each sample; inf where no Lipschitz constant below 1 is known.
    converged : boolean array, shape (B,)

    """

    x: Any
    steps: Any
    error_bound: Any
    converged: Any


def residual_inverse(
    g: Any,
    y: Any,
    *,
    lipschitz: float | None = None,
    tol: float = 1e-6,
    max_steps: int = 1000,
    window: int = 5,
    backend: str | None = None,
) -> Inverse:
    """Solve ``x + g(x) = y`` for a contraction g, each sample for itself.

    Fixed-point steps ``x <- y - g(x)`` from ``x = y``, mixed by Anderson's method. With a Lipschitz constant L the
    result is within ``L |y - g(x) - x| / (1 - L)`` of the solution, and a sample is done when this is at most
    ``tol * max(1, |y|)``; without, when the residual itself is. Lengths are Euclidean, over a sample.

    Parameters
    ----------
    g : list of layers, or callable
        A callable maps an array of y's shape and type to another; each sample on its own.
    y : array, shape (B, ...)
    lipschitz : float, optional
        A constant of g below 1. For layers the default is what `lipschitz_bounds` proves, if that is below 1.
    tol : float
        Distance to the solution wanted, times ``max(1, |y|)`` of each sample.
    max_steps : int
        Most evaluations of g.
    window : int
        Previous steps mixed; 0 takes plain steps.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Inverse
        Samples that diverge, meet NaN or run out of steps are not `converged`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Cost: one evaluation of g a step. Sources: i-ResNet, arXiv:1811.00995; Anderson, J. ACM 12 (1965).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> result = kx.lipschitz.residual_inverse(lambda x: 0.5 * np.sin(x), np.array([[1.0], [2.0]]), lipschitz=0.5)
    >>> bool(np.allclose(result.x + 0.5 * np.sin(result.x), [[1], [2]])), result.converged.tolist()
    (True, [True, True])

    """
    given = checks.floating("y", y)
    if given.ndim < 1:
        raise ValueError(f"y must have at least 1 dimension; got shape {given.shape}")
    checks.finite("y", given)
    tol, window = checks.number("tol", tol, above=0), checks.integer("window", window, low=0)
    max_steps = checks.integer("max_steps", max_steps, low=0)
    if lipschitz is not None:
        lipschitz = checks.number("lipschitz", lipschitz, low=0)
        if lipschitz >= 1:
            raise ValueError(f"lipschitz must be below 1; got {lipschitz:g}")
    start, function = given, g
    if callable(g) and not isinstance(g, Layer):
        function = _wrapped(g, given, y)
    else:
        layers = block(g, given)
        start, function = given.astype(np.float64), specs(layers, None)
        if lipschitz is None:
            proven = lipschitz_bounds(layers, given.shape[1:], tol=1e-4, points=0).upper
            lipschitz = proven if proven < 1 else None
    solve = implementation("lipschitz", "residual_inverse", backend, "d")
    with np.errstate(all="ignore"):  # what overflows is flagged
        x, steps, bounds, converged = solve(function, start, lipschitz, tol, max_steps, window)
    flat = x.reshape(len(given), int(np.prod(given.shape[1:])))
    bounds = bounds + np.linalg.norm(flat, axis=1) * np.finfo(given.dtype).eps
    return Inverse(checks.like(x.astype(given.dtype), y), steps, bounds, converged)


def _wrapped(g: Any, given: checks.Array, y: Any) -> Any:
    def function(x: checks.Array) -> checks.Array:
        value = checks.floating("g's result", g(checks.like(x, y)))
        checks.shape("g's result", value, given.shape, str(given.shape), "to match y")
        return value

    return function


def block(layers: Any, x: checks.Array, name: str = "y") -> list[Layer]:
    """Return the layers of a residual block that takes `x`."""
    members = sequence(layers)
    if x.ndim < 2:
        raise ValueError(f"{name} must have at least 2 dimensions; got shape {x.shape}")
    result = result_shape(members, x.shape[1:])
    if result != x.shape[1:]:
        raise ValueError(f"layers must give the shape they take, {x.shape[1:]}, in a residual block; got {result}")
    return members
