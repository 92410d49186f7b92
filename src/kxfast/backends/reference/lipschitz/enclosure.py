"""Both ends of a spectral norm: Golub-Kahan Lanczos from below, Cholesky or the Lanczos polynomial from above.

Lanczos: Golub and Kahan 1965, with full reorthogonalisation, so that it also ends for any spectrum. Proof: the norm of
A is below s if s^2 I - A*A is positive definite; what the Cholesky factorisation of a computed matrix proves about the
exact one is Rump, BIT 46 (2006), here with twice its constants. Random: Hochstenbach, BIT 53 (2013).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Array = NDArray[Any]
Map = Callable[[Array], Array]
ROUND = 2.0**-53


class GolubKahan:
    """A growing bidiagonalisation ``A V = U B`` from a start vector of the input side."""

    def __init__(self, apply: Map, adjoint: Map, start: Array, outputs: int, rng: np.random.Generator) -> None:
        self.apply, self.adjoint, self.rng = apply, adjoint, rng
        self.inputs, self.outputs = start.size, outputs
        self.v, self.u = np.zeros((8, start.size)), np.zeros((8, outputs))
        self.v[0] = start / np.linalg.norm(start)
        self.alphas: list[float] = []
        self.betas: list[float] = []  # betas[j] couples step j to step j + 1; 0 where the space was invariant

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.alphas)

    @property
    def full(self) -> bool:
        """Whether the basis spans the input side."""
        return self.steps == self.inputs

    @property
    def invariant(self) -> bool:
        """Whether the space of the start vector was exhausted."""
        return 0.0 in self.betas or 0.0 in self.alphas

    def step(self) -> None:
        """Take one step: one application of the map and one of its transpose."""
        k = self.steps
        if k + 2 > len(self.v):
            self.v, self.u = (np.concatenate([x, np.zeros_like(x)]) for x in (self.v, self.u))
        p = self.apply(self.v[k])
        self.u[k], alpha = self._next(p, self.u[:k])
        self.alphas.append(alpha)
        q = self.adjoint(self.u[k])
        self.betas.append(0.0)
        if k + 1 < self.inputs:
            self.v[k + 1], self.betas[k] = self._next(q, self.v[: k + 1])

    def _next(self, x: Array, basis: Array) -> tuple[Array, float]:
        """Return the part of `x` outside the basis, of length 1, and its length; a random one if nothing is left."""
        size = max([float(np.linalg.norm(x)), *self.alphas])
        for _ in range(2):
            x = x - (basis @ x) @ basis
        length = float(np.linalg.norm(x))
        if length > 64 * ROUND * size:
            return x / length, length
        x = self.rng.standard_normal(x.size)
        for _ in range(3):
            x = x - (basis @ x) @ basis
            x = x / np.linalg.norm(x)
        return x, 0.0

    def best(self) -> tuple[float, float, Array]:
        """Return the largest Ritz value, how far it may be from its limit, and its vector of the input side.

        A singular value is within the residual r of it; within about r^2 / gap, by the gap to the next Ritz value.
        """
        k = self.steps
        p, s, qt = np.linalg.svd(np.diag(self.alphas) + np.diag(self.betas[:-1], 1))
        r = float(abs(self.betas[-1] * p[-1, 0]))
        gap = float(s[0] - s[1]) if k > 1 else 0.0
        return float(s[0]), min(r, r * r / gap) if gap > 0 else r, qt[0] @ self.v[:k]

    def random_upper(self, failure: float) -> float:
        """Return what the norm exceeds with probability `failure` at most over the choice of the start vector.

        The component of the start along the leading vector is below delta with that probability only; otherwise the
        Lanczos polynomial is at most 1 / delta at the norm's square, and beyond its last root it grows.
        """
        theta = self.best()[0]
        if self.invariant:
            return theta * (1 + 64 * self.inputs * ROUND)  # all that the start knows has been seen
        low, high = theta, 2 * theta
        while not self.unseen(high, failure):
            low, high = high, 2 * high
        while high - low > 1e-13 * high:
            middle = (low + high) / 2
            low, high = (low, middle) if self.unseen(middle, failure) else (middle, high)
        return float(high * (1 + 64 * self.inputs * ROUND))

    def unseen(self, sigma: float, failure: float) -> bool:
        """Return whether a norm above `sigma`, beyond the Ritz values, would have shown but with that probability."""
        delta = np.sqrt(betaincinv(0.5, (self.inputs - 1) / 2, failure)) if self.inputs > 1 else 1.0
        return self.invariant or bool(self._polynomial(sigma) >= 1 / delta)

    def _polynomial(self, sigma: float) -> float:
        before, now, coupling, old_beta = 0.0, 1.0, 0.0, 0.0
        for alpha, beta in zip(self.alphas, self.betas, strict=True):
            scale = alpha * beta
            following = ((sigma**2 - alpha**2 - old_beta**2) * now - coupling * before) / scale
            before, now, coupling, old_beta = now, following, scale, beta
            if now > 1e200:
                return now  # above its roots the sequence grows
        return now


def enclose(
    lanczos: GolubKahan, tol: float, upper: str | None, failure: float, prove: Callable[[float, float], float] | None
) -> tuple[float, float, Array]:
    """Run Lanczos until the ends meet; return the Ritz value, the upper end and the vector.

    ``prove(value, widest)`` returns a proven upper end at or below `widest`, or inf if there is none. Without an upper
    end: until a norm above value (1 + tol) would have shown but with probability `failure`; 0 trusts the residual.
    """
    check = lanczos.steps
    while True:
        if not lanczos.full:
            lanczos.step()
        last = lanczos.full
        if lanczos.steps < check and not last:
            continue
        check = lanczos.steps + max(1, lanczos.steps // 4)
        value, error, v = lanczos.best()
        if upper is None and (
            last or (lanczos.unseen(value * (1 + tol), failure) if failure else error <= tol * value)
        ):
            return value, np.inf, v
        if upper == "random":
            top = lanczos.random_upper(failure)
            if top <= value * (1 + tol) or last or lanczos.invariant:
                return value, top, v
        if prove is not None and (error <= tol / 2 * value or last):
            top = prove(value, value * (1 + tol))
            if np.isfinite(top) or last:
                return value, top, v


def proven_above(grams: Array, squared: float, inner: int, frobenius: Array) -> tuple[Array, Array]:
    """Try to prove that A*A is below `squared` for a stack of computed Gram matrices.

    Returns for each whether Cholesky succeeded, and the slack to add to `squared` for the roundings of the product
    (inner products of length `inner`), of the subtraction and of the factorisation. `frobenius` is |A|_F^2.
    """
    k = grams.shape[-1]
    factor = 2 if grams.dtype.kind != "c" else 8
    trace = np.maximum(k * squared - frobenius, 0) + 8 * k * ROUND * squared
    slack = factor * ROUND * ((inner + 4) * frobenius + (k + 2) * trace + 4 * squared)
    shifted = -grams
    shifted[..., np.arange(k), np.arange(k)] += squared
    return np.array([_is_definite(each) for each in shifted]), slack


def _is_definite(matrix: Array) -> bool:
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.isfinite(factor)))
