"""Log-determinants of residual blocks, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.bounds import lipschitz_bounds
from kxfast.lipschitz.layers import Layer, specs, working_type
from kxfast.lipschitz.residual import block


@dataclass(frozen=True, eq=False)
class LogDet:
    """Log-determinants ``log |det(I + J)|`` of a batch.

    Attributes
    ----------
    mean : float64 array, shape (B,)
    standard_error : float64 array, shape (B,)
        Of the mean over the probes; NaN where there is only one, 0 where nothing is random.
    truncation_bound : float64 array, shape (B,)
        At least the distance of the expected mean from the truth; inf where the block is not proven to be a
        contraction.

    """

    mean: Any
    standard_error: Any
    truncation_bound: Any


def sample(x: Any) -> checks.Array:
    """Return samples in double."""
    a = checks.floating("x", x)
    checks.finite("x", a)
    return a.astype(np.float64)


def draw(probes: Any, x: checks.Array, seed: Any) -> checks.Array:
    """Return probes (n, B, ...): those given, or Rademacher ones (their variance is the smaller)."""
    if np.ndim(probes) == 0 and not hasattr(probes, "__dlpack__"):
        n = checks.integer("probes", probes, low=1)
        rng = np.random.default_rng(checks.seed(seed))
        drawn = np.empty((n, *x.shape))
        rows = drawn.reshape(n * len(x), -1) if drawn.size else drawn
        step = max(1, 2**20 // max(1, rows.shape[-1]))  # Ctrl-C is heard between pieces
        for i in range(0, len(rows), step):
            rows[i : i + step] = rng.integers(0, 2, rows[i : i + step].shape) * 2.0 - 1.0
        return drawn
    given = checks.floating("probes", probes).astype(np.float64)
    if given.shape[1:] != x.shape or not len(given):
        raise ValueError(f"probes must have shape (n, {', '.join(map(str, x.shape))}) to match x; got {given.shape}")
    checks.finite("probes", given)
    return given


def _summary(estimates: checks.Array, bound: float) -> LogDet:
    n, batch = estimates.shape
    error = estimates.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(batch, np.nan)
    return LogDet(estimates.mean(axis=0), error, np.full(batch, bound))


def _constant(g: list[Layer], x: checks.Array, lipschitz: float | None) -> float:
    if lipschitz is not None:
        return checks.number("lipschitz", lipschitz, low=0)
    return float(lipschitz_bounds(g, x.shape[1:], points=0).upper)


def _tail(lipschitz: float, terms: int, size: int) -> float:
    """Return ``size * sum over k > terms of L^k / k``."""
    if lipschitz >= 1:
        return np.inf if size else 0.0
    head = sum(lipschitz**k / k for k in range(1, terms + 1))
    return size * max(0.0, -float(np.log1p(-lipschitz)) - head)


def logdet_series(
    layers: Any,
    x: Any,
    *,
    terms: int = 10,
    probes: Any = 1,
    seed: Any = None,
    lipschitz: float | None = None,
    backend: str | None = None,
) -> LogDet:
    """Estimate ``log det(I + J)`` of a residual block by its series with random probes for the traces.

    Parameters
    ----------
    layers : list of layers
        The g of the block ``x + g(x)``.
    x : array, shape (B, ...)
    terms : int
        Terms of ``sum (-1)^(k+1) tr(J^k) / k``.
    probes : int, or array, shape (n, B, ...)
        How many Rademacher probes to draw, or the probes themselves.
    seed : int, SeedSequence or Generator, optional
        Of the probes.
    lipschitz : float, optional
        A Lipschitz constant of g for the bound on what is cut off; by default `lipschitz_bounds` proves one.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    LogDet

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Cost: terms * probes vector-Jacobian products. Source: i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> found = kx.lipschitz.logdet_series([kx.lipschitz.Linear([[0.5]])], np.zeros((1, 1)), terms=30, seed=0)
    >>> bool(abs(found.mean[0] - np.log(1.5)) <= found.truncation_bound[0])
    True

    """
    a = sample(x)
    g = block(layers, a, "x")
    terms = checks.integer("terms", terms, low=0)
    drawn = draw(probes, a, seed)
    bound = _tail(_constant(g, a, lipschitz), terms, int(np.prod(a.shape[1:])))
    dtype = working_type(g, np.asarray(x))
    run = implementation("lipschitz", "logdet_series", backend, dtype.char)
    estimates = run(specs(g, dtype), a.astype(dtype), drawn.astype(dtype, copy=False), np.ones((len(drawn), terms)))
    return _summary(estimates, bound)


def logdet_exact(layers: Any, x: Any, *, backend: str | None = None) -> LogDet:
    """Compute ``log |det(I + J)|`` of a residual block from its whole Jacobian.

    Parameters
    ----------
    layers : list of layers
        The g of the block ``x + g(x)``.
    x : array, shape (B, ...)
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    LogDet
        With errors of 0.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Cost: as many Jacobian-vector products as a sample has entries. Source: i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.logdet_exact([kx.lipschitz.Linear([[0.5]])], np.zeros((1, 1))).mean.round(6).tolist()
    [0.405465]

    """
    a = sample(x)
    g = block(layers, a, "x")
    mean = implementation("lipschitz", "logdet_exact", backend, "d")(specs(g), a)
    return LogDet(mean, np.zeros(len(a)), np.zeros(len(a)))


def logdet_roulette(
    layers: Any,
    x: Any,
    *,
    n_exact: int = 2,
    p: float | None = None,
    samples: int = 1,
    seed: Any = None,
    backend: str | None = None,
) -> LogDet:
    """Estimate ``log det(I + J)`` without bias: the series is cut at a random place (Russian roulette).

    Each sample draws n >= 1 with ``P(N >= k) = (1 - p)^(k - 1)`` and a Rademacher probe, and sums n + n_exact terms,
    those beyond `n_exact` divided by the probability that they are reached.

    Parameters
    ----------
    layers : list of layers
        The g of the block ``x + g(x)``.
    x : array, shape (B, ...)
    n_exact : int
        Terms that are always summed.
    p : float, optional
        Between 0 and 1. By default 1/2, or ``2 (1 - L^2) / 3`` where the proven constant L of g is from 1/2 to 1: so
        the variance is finite.
    samples : int
        Draws; the mean is over them.
    seed : int, SeedSequence or Generator, optional
        Of the draws.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    LogDet
        With a truncation bound of 0.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Source: Residual Flows, arXiv:1906.02735.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> g = [kx.lipschitz.Linear([[0.5]])]
    >>> found = kx.lipschitz.logdet_roulette(g, np.zeros((1, 1)), samples=1000, seed=0)
    >>> bool(abs(found.mean[0] - np.log(1.5)) < 5 * found.standard_error[0])
    True

    """
    a = sample(x)
    g = block(layers, a, "x")
    n_exact, samples = checks.integer("n_exact", n_exact, low=0), checks.integer("samples", samples, low=1)
    if p is None:
        constant = _constant(g, a, None)
        p = min(0.5, 2 * (1 - constant**2) / 3) if constant < 1 else 0.5
    p = checks.number("p", p, above=0)
    if p >= 1:
        raise ValueError(f"p must be below 1; got {p:g}")
    rng, dtype = np.random.default_rng(checks.seed(seed)), working_type(g, np.asarray(x))
    names = "roulette_coefficients", "logdet_series"
    factors, run = (implementation("lipschitz", name, backend, dtype.char) for name in names)
    plain, estimates, a = specs(g, dtype), [], a.astype(dtype)
    for n in rng.geometric(p, samples):
        probe = (rng.integers(0, 2, (1, *a.shape)) * 2.0 - 1.0).astype(dtype)
        estimates.append(run(plain, a, probe, factors(int(n), n_exact, p)[None])[0])
    return _summary(np.array(estimates), 0.0)
