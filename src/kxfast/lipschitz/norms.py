"""Spectral norms of matrices and of linear maps given as functions."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.convolutions import conv_power_iteration
from kxfast.lipschitz.geometry import mapped
from kxfast.lipschitz.interval import KINDS, Interval, ends


def power_iteration(
    weight: Any, u: Any, v: Any, n_iter: int = 1, *, conv: Any = None, eps: float = 1e-12, backend: str | None = None
) -> tuple[Any, Any, Any]:
    """Run `n_iter` steps of power iteration, the authors' own estimate of the largest singular value.

    Each step sets ``v = W'u / max(|W'u|, eps)`` and then ``u = Wv / max(|Wv|, eps)``; at the end
    ``sigma = u'Wv``, which is never above the norm. ``n_iter=0`` only evaluates ``u'Wv``.

    Parameters
    ----------
    weight : array, shape (m, n), float32 or float64
        The matrix W; with `conv` a kernel (F, D / groups, K) or (F, D / groups, K, K).
    u : array, shape (m,)
        Start vector of the output side; not changed. With `conv`: (F, ...) as the output of one sample.
    v : array, shape (n,)
        Start vector of the input side; used as it is only when `n_iter` is 0. With `conv`: (D, ...).
    n_iter : int
        Number of steps.
    conv : mapping, optional
        ``dict(input_shape=(H, W), stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros")``: iterate with the
        convolution on inputs of that size, not with a matrix; all but `input_shape` (pixels) may be left out.
    eps : float
        Least length a vector is divided by.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    sigma : scalar of the arrays' type
    u, v : arrays of the shapes of `u` and `v`
        The vectors to start from next time.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Cost: 2 n_iter + 1 reads of W. Source: Miyato et al., arXiv:1802.05957; article 6051 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w = np.array([[1, 2, .5], [-.5, 1.5, 1]])
    >>> sigma, u, v = kx.lipschitz.power_iteration(w, np.array([1., 0]), np.zeros(3), n_iter=5)
    >>> round(float(sigma), 9)
    2.738612724

    """
    if conv is not None:
        return conv_power_iteration(weight, u, v, n_iter, **mapped(conv), eps=eps, backend=backend)
    w = checks.floating("weight", weight, ndim=2)
    a = checks.floating("u", u, ndim=1)
    b = checks.floating("v", v, ndim=1)
    m, n = w.shape
    if a.shape[0] != m:
        checks.shape("u", a, (m,), f"({m},)", f"to match weight's {m} rows")
    if b.shape[0] != n:
        checks.shape("v", b, (n,), f"({n},)", f"to match weight's {n} columns")
    if not (w.dtype is a.dtype is b.dtype):
        w, a, b = checks.common_float(weight=w, u=a, v=b)
    if type(n_iter) is not int or n_iter < 0:
        n_iter = checks.integer("n_iter", n_iter, low=0)
    if type(eps) is not float or not 0 < eps < 1:
        eps = checks.number("eps", eps, above=0)
    sigma, new_u, new_v = implementation("lipschitz", "power_iteration", backend, w.dtype.char)(w, a, b, n_iter, eps)
    if not isfinite(sigma):
        for name, x in ("weight", w), ("u", a), ("v", b):
            checks.finite(name, x)
    return w.dtype.type(sigma), checks.like(new_u, weight), checks.like(new_v, weight)


def spectral_norm(
    a: Any,
    *,
    tol: float = 1e-3,
    upper: str | None = "proof",
    failure: float = 1e-8,
    start: Any = None,
    seed: Any = 0,
    backend: str | None = None,
) -> Interval:
    """Enclose the largest singular value of a matrix, or of each of a stack.

    From below by Golub-Kahan Lanczos; from above by a Cholesky factorisation of ``s^2 I - A'A`` in float64 with a
    margin for every rounding ("proof"), or by the Lanczos polynomial ("random").

    Parameters
    ----------
    a : array, shape (..., m, n)
        Finite; any scale. Matrices without entries have the norm 0.
    tol : float
        Width asked for, relative to the norm. Below about ``4 n^2 2^-53`` (n the shorter side) a proof is as narrow as
        roundings allow.
    upper : {"proof", "random", None}
        How the upper end is obtained. None leaves it out: Lanczos then ends when a norm above ``lower * (1 + tol)``
        would have shown but with probability 0.1; begun at `start`, when the residual is below `tol`.
    failure : float
        Probability with which a "random" upper end may be wrong, for each matrix.
    start : array, shape (..., n), optional
        Where Lanczos starts, for example the `v` of a similar matrix; not with "random".
    seed : int, SeedSequence or Generator
        Of the start vectors.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Interval
        Of float64 arrays of shape (...); `u` (..., m) and `v` (..., n).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Sources: Golub and Kahan 1965; Rump, BIT 46 (2006); Hochstenbach, BIT 53 (2013).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> norm = kx.lipschitz.spectral_norm(np.array([[1, 2, .5], [-.5, 1.5, 1]]), tol=1e-9)
    >>> bool(norm.lower <= 2.738612788 + 1e-9 and norm.upper - norm.lower <= 1e-8), norm.kind
    (True, 'proof')

    """
    x = checks.floating("a", a, half=True)
    if x.ndim < 2:
        raise ValueError(f"a must have at least 2 dimensions; got shape {x.shape}")
    tol, upper, failure = ends(tol, upper, failure, ("proof", "random"))
    *stack, m, n = x.shape
    first = None
    if start is not None:
        if upper == "random":
            raise ValueError("start must be None with upper='random', whose proof needs a random start; got an array")
        first = checks.floating("start", start)
        checks.shape("start", first, (*stack, n), str((*stack, n)), f"to match a's {n} columns")
        checks.finite("start", first)
        first = first.reshape(-1, n).astype(np.float64)
    run = implementation("lipschitz", "spectral_norm", backend, "d")
    kind = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    if x.dtype.itemsize == 2:
        x = x.astype(np.float32)
    found = run(x.reshape(int(np.prod(stack)), m, n), tol, upper, failure, first, checks.seed(seed))
    if np.isnan(found[1]).any():  # found on the way
        checks.finite("a", x)
    lower, top, steps = (each.reshape(stack) for each in found[:3])
    u, v = found[3].reshape(*stack, m).astype(kind), found[4].reshape(*stack, n).astype(kind)
    return Interval(lower[()], top[()], KINDS[upper], failure if upper == "random" else 0.0, steps[()], u, v)


def operator_spectral_norm(
    apply: Callable[[Any], Any],
    adjoint: Callable[[Any], Any],
    shape: tuple[Any, Any],
    *,
    tol: float = 1e-3,
    upper: str | None = "random",
    failure: float = 1e-8,
    seed: Any = 0,
    backend: str | None = None,
) -> Interval:
    """Enclose the norm of a linear map that is given by what it and its transpose do to vectors.

    Parameters
    ----------
    apply, adjoint : callables
        ``apply(x)`` takes an array of the input's shape and gives one of the output's; ``adjoint`` the reverse.
    shape : (output shape, input shape)
        Each an int or a tuple of ints.
    tol : float
        Width asked for, relative to the norm.
    upper : {"random", None}
        Whether an upper end is wanted; a map known by its applications alone allows no proof.
    failure : float
        Probability with which the upper end may be wrong.
    seed : int, SeedSequence or Generator
        Of the start vector.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Interval

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, if a result is not finite or has the wrong shape, or if
        `adjoint` is not the transpose of `apply`.

    Notes
    -----
    Source: Hochstenbach, Probabilistic upper bounds for the matrix two-norm (2013).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> norm = kx.lipschitz.operator_spectral_norm(np.cumsum, lambda y: np.cumsum(y[::-1])[::-1], (50, 50), tol=1e-6)
    >>> bool(norm.lower <= 1 / (2 * np.sin(np.pi / 202)) <= norm.upper), norm.kind
    (True, 'random')

    """
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape must be (output shape, input shape); got {shape!r}")
    outer, inner = (_as_shape(each) for each in shape)
    tol, upper, failure = ends(tol, upper, failure, ("random",))
    for name, function in ("apply", apply), ("adjoint", adjoint):
        if not callable(function):
            raise TypeError(f"{name} must be callable; got {type(function).__name__}")
    precision = [float(np.finfo(np.float64).eps)]
    forward = _flat("apply", apply, inner, outer, precision)
    back = _flat("adjoint", adjoint, outer, inner, precision)
    key = checks.seed(seed)
    _check_transpose(forward, back, int(np.prod(outer)), int(np.prod(inner)), key, precision)
    run = implementation("lipschitz", "operator_spectral_norm", backend, "d")
    sizes = int(np.prod(outer)), int(np.prod(inner))
    lower, top, steps, u, v = run(forward, back, sizes, tol, upper, failure, precision[0], key)
    failure = failure if upper == "random" else 0.0
    return Interval(lower, top, KINDS[upper], failure, steps, u.reshape(outer), v.reshape(inner))


def _as_shape(value: Any) -> tuple[int, ...]:
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(checks.integer("shape", each, low=0) for each in parts)


def _flat(
    name: str, function: Callable[[Any], Any], taken: tuple[int, ...], given: tuple[int, ...], precision: list[float]
) -> Callable[[checks.Array], checks.Array]:
    def call(x: checks.Array) -> checks.Array:
        y = checks.floating(f"{name}'s result", function(x.reshape(taken)))
        checks.shape(f"{name}'s result", y, given, str(given), "as `shape` says")
        checks.finite(f"{name}'s result", y)
        precision[0] = max(precision[0], float(np.finfo(y.dtype).eps))
        return y.reshape(-1).astype(np.float64)

    return call


def _check_transpose(forward: Any, back: Any, outputs: int, inputs: int, key: int, precision: list[float]) -> None:
    if not outputs or not inputs:
        return
    rng = np.random.default_rng(key)
    x, y = rng.standard_normal(inputs), rng.standard_normal(outputs)
    image, shadow = forward(x), back(y)
    left, right = float(y @ image), float(shadow @ x)
    scale = np.linalg.norm(y) * np.linalg.norm(image) + np.linalg.norm(shadow) * np.linalg.norm(x)
    if abs(left - right) > 100 * np.sqrt(outputs + inputs) * precision[0] * scale:
        raise ValueError(f"adjoint must be the transpose of apply; got <y, apply(x)> = {left:g}, not {right:g}")
