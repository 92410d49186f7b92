"""Residual blocks y = x + g(x) with a contraction g: inverse and log-determinant (spec, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.lipschitz.layers import (
    Gradient,
    Layer,
    bilinear_gradients,
    forward,
    inputs,
    jacobian,
    pull_through,
)

Array = NDArray[Any]


class _Sample:
    """The fixed-point iteration of one sample: Anderson's mixing, and plain steps where it does not help."""

    def __init__(self, x: Array, window: int) -> None:
        self.x, self.window = x, window
        self.best: tuple[float, Array, Array] = (np.inf, x, np.zeros_like(x))
        self.first = self.size = np.inf
        self.moves: list[tuple[Array, Array]] = []
        self.last: tuple[Array, Array] | None = None
        self.plain = window == 0
        self.retried = False

    def diverged(self, r: Array) -> bool:
        self.size = float(np.linalg.norm(r)) if np.all(np.isfinite(r)) else np.inf
        if not np.isfinite(self.first):
            self.first = self.size
        return self.size > 1e8 * (1 + self.first)

    def advance(self, r: Array) -> None:
        """Move on from ``x`` where the residual is `r`.

        A plain step from the best point always shrinks the residual of a contraction. So a mixed step that does not
        is taken back for a plain one; if that does not either, g is no contraction, and plain steps are all we do.
        """
        if self.plain or self.size < self.best[0]:
            self.best, self.retried = (self.size, self.x, r), False
            self.x = self.x + r if self.plain else self._mixed(r)
        elif not self.retried:
            self.x, self.retried = self.best[1] + self.best[2], True
            self.moves, self.last = [], None
        else:
            self.plain = True
            self.x = self.x + r

    def _mixed(self, r: Array) -> Array:
        if self.last is not None:
            self.moves = [*self.moves, (self.x - self.last[0], r - self.last[1])][-self.window :]
        self.last = (self.x, r)
        if not self.moves:
            return self.x + r
        dx, dr = (np.stack(each, axis=1) for each in zip(*self.moves, strict=True))
        weights = np.linalg.lstsq(dr, r, rcond=1e-10)[0]
        result: Array = self.x + r - (dx + dr) @ weights
        return result


def residual_inverse(
    g: Callable[[Array], Array] | Sequence[Layer],
    y: Array,
    lipschitz: float | None,
    tol: float,
    max_steps: int,
    window: int,
) -> tuple[Array, Array, Array, Array]:
    """Solve ``x + g(x) = y`` for each sample; return x, steps, error bounds and flags. `g`: a function, or layers.

    The result is one plain step beyond the last point, where the residual was r: nearer than L |r| / (1 - L).
    """
    batch, flat = len(y), (len(y), int(np.prod(y.shape[1:])))
    x = y.reshape(flat).astype(np.float64)
    samples = [_Sample(each, window) for each in x]
    limits = tol * np.maximum(1.0, np.linalg.norm(x, axis=1))
    ratio = np.inf if lipschitz is None else lipschitz / (1 - lipschitz)
    x = x.copy()
    steps, bounds = np.zeros(batch, np.int64), np.full(batch, np.inf)
    converged, active = np.zeros(batch, bool), np.ones(batch, bool)
    for _ in range(max_steps):
        if not active.any():
            break
        at = np.array([sample.x for sample in samples]).reshape(y.shape).astype(y.dtype)
        value = g(at) if callable(g) else forward(g, at)
        residuals = (y.astype(np.float64) - value - at).reshape(flat)
        for i in np.flatnonzero(active):
            sample, r = samples[i], residuals[i]
            sample.x = at.reshape(flat)[i].astype(np.float64)
            steps[i] += 1
            if sample.diverged(r):
                active[i] = False
                continue
            x[i], bounds[i] = sample.x + r, ratio * sample.size if lipschitz is not None else np.inf
            error = sample.size if lipschitz is None else bounds[i]
            converged[i] = error <= limits[i]
            active[i] = not converged[i]
            if active[i]:
                sample.advance(r)
    return x.reshape(y.shape), steps, bounds, converged


def layer_jacobian(layers: Sequence[Layer], x: Array) -> Array:
    return jacobian(layers, x)


def logdet_exact(layers: Sequence[Layer], x: Array) -> Array:
    j = jacobian(layers, x)
    result: Array = np.linalg.slogdet(np.eye(j.shape[-1]) + j)[1]
    return result


def logdet_series(layers: Sequence[Layer], x: Array, probes: Array, coefficients: Array) -> Array:
    """Return sum_k (-1)^(k+1) c_k / k e' J^k e for each probe and sample, (n, B); coefficients (n, N)."""
    at = inputs(layers, x)
    estimates = np.zeros(probes.shape[:2])
    for i, probe in enumerate(probes):
        w = probe
        for k, coefficient in enumerate(coefficients[i], start=1):
            w = pull_through(layers, at, w)
            product = (w * probe).reshape(len(x), int(np.prod(x.shape[1:]))).sum(axis=1)
            estimates[i] += (-1) ** (k + 1) * coefficient / k * product
    return estimates


def roulette_coefficients(n: int, n_exact: int, p: float) -> Array:
    """Return the factors of the terms kept when n was drawn: 1 / P(N >= k - n_exact)."""
    k = np.arange(1, n + n_exact + 1)
    return np.where(k <= n_exact, 1.0, (1 - p) ** -np.maximum(k - n_exact - 1.0, 0.0))


def neumann_vector(layers: Sequence[Layer], at: Sequence[Array], probe: Array, terms: int) -> Array:
    """Return e' sum_k (-J)^k for k = 0 .. terms."""
    total = w = probe
    for k in range(1, terms + 1):
        w = pull_through(layers, at, w)
        total = total + (-1) ** k * w
    return total


def residual_backward(
    layers: Sequence[Layer], x: Array, grad: Array, logdet_grad: Array, probes: Array, terms: int
) -> tuple[Array, list[Gradient]]:
    """Return the gradients of ``<grad, x + g(x)> + <logdet_grad, logdet>`` for x and for each weight and bias.

    That of a log-determinant is the mean over probes of the gradient of ``<e' sum (-J)^k, J e>``.
    """
    at = inputs(layers, x)
    share = logdet_grad.reshape(-1, *[1] * (x.ndim - 1)) / max(1, len(probes))
    lefts = [neumann_vector(layers, at, probe, terms) * share for probe in probes]
    dx, sums = bilinear_gradients(layers, x, np.zeros_like(x), np.zeros_like(x), grad)
    for left, probe in zip(lefts, probes, strict=True):
        more, each = bilinear_gradients(layers, x, left, probe, np.zeros_like(x))
        dx = dx + more
        sums = [(a + c, None if b is None or d is None else b + d) for (a, b), (c, d) in zip(sums, each, strict=True)]
    return grad + dx, sums
