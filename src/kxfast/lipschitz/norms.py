"""Spectral norms of matrices."""

from __future__ import annotations

from typing import Any

from kxfast import checks
from kxfast.dispatch import implementation


def power_iteration(
    weight: Any, u: Any, v: Any, n_iter: int = 1, *, eps: float = 1e-12, backend: str | None = None
) -> tuple[Any, Any, Any]:
    """Run `n_iter` steps of power iteration, the authors' own estimate of the largest singular value.

    Each step sets ``v = W'u / max(|W'u|, eps)`` and then ``u = Wv / max(|Wv|, eps)``; at the end
    ``sigma = u'Wv``, which is never above the norm. ``n_iter=0`` only evaluates ``u'Wv``.

    Parameters
    ----------
    weight : array, shape (m, n), float32 or float64
        The matrix W.
    u : array, shape (m,)
        Start vector of the output side; not changed.
    v : array, shape (n,)
        Start vector of the input side; used as it is only when `n_iter` is 0.
    n_iter : int
        Number of steps.
    eps : float
        Least length a vector is divided by.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    sigma : scalar of the arrays' type
    u, v : arrays, shapes (m,) and (n,)
        The vectors to start from next time.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

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
    sigma, a, b = implementation("lipschitz", "power_iteration", backend, w.dtype.char)(w, a, b, n_iter, eps)
    return w.dtype.type(sigma), checks.like(a, weight), checks.like(b, weight)
