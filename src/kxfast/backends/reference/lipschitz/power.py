"""Power iteration and the normalisations built on it (spec: Spectral norm, Lipschitz estimation, sections 1 to 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.lipschitz.convolution import Geometry, adjoint, convolve, weight_gradient
from kxfast.backends.reference.lipschitz.norms import spectral_norm

Array = NDArray[Any]


def normalize(z: Array, eps: float) -> Array:
    result: Array = z / max(np.linalg.norm(z), eps)
    return result


def power_iteration(weight: Array, u: Array, v: Array, n_iter: int, eps: float) -> tuple[Any, Array, Array]:
    for _ in range(n_iter):
        v = normalize(weight.T @ u, eps)
        u = normalize(weight @ v, eps)
    return u @ (weight @ v), u, v


def conv_power_iteration(
    weight: Array, u: Array, v: Array, n_iter: int, eps: float, geometry: Geometry
) -> tuple[Any, Array, Array]:
    for _ in range(n_iter):
        v = normalize(adjoint(u[None], weight, v.shape[1:], geometry)[0], eps)
        u = normalize(convolve(v[None], weight, geometry)[0], eps)
    return np.vdot(u, convolve(v[None], weight, geometry)[0]), u, v


def usual_layers(weights: Any, us: Any, vs: Any, like: Any) -> bool:
    """Whether lists need no look at each array: compiled code sees that at once, this one does not."""
    return False


def spectral_normalize_of(*where: Any) -> None:
    """Do nothing, and say so by None: steps on memory told by addresses are for compiled code."""


spectral_normalize_gradients_of = spectral_normalize_of


def spectral_normalize(
    weights: Sequence[Array], us: Sequence[Array], vs: Sequence[Array], coeff: float, n_iter: int, hard: bool,
    scaled: bool, outs: Sequence[Array] | None,
) -> tuple[Array, Array, Sequence[Array] | None]:  # fmt: skip
    """Return factors, sigmas and scaled weights; a step is u, then v. What is given changes if all is finite."""
    new_us, new_vs, sigmas = [], [], []
    for w, old_u, old_v in zip(weights, us, vs, strict=True):
        u, v = old_u, old_v
        for _ in range(n_iter):
            u = normalize(w @ v, 1e-12)
            v = normalize(w.T @ u, 1e-12)
        new_us.append(u)
        new_vs.append(v)
        sigmas.append(np.linalg.norm(w.T @ u) if n_iter else u @ (w @ v))
    sigma = np.array(sigmas, dtype=np.float64)
    factors = scales(sigma, coeff, "hard" if hard else "soft")
    if np.isfinite(sigma).all():
        for old, new in zip([*us, *vs], [*new_us, *new_vs], strict=True):
            old[...] = new
    if not (scaled and np.isfinite(sigma).all()):
        return factors, sigma, None
    made = [w * w.dtype.type(factor) for w, factor in zip(weights, factors, strict=True)]
    for out, result in zip(outs or (), made, strict=False):
        out[...] = result.reshape(out.shape)
    return factors, sigma, made if outs is None else outs


def scales(sigma: Array, coeff: float, mode: str) -> Array:
    """Return what a weight of norm `sigma` is multiplied by; a zero weight is left as it is."""
    positive = np.where(sigma > 0, sigma, 1.0)
    factor = np.where(sigma > 0, coeff / positive, 1.0)
    return factor if mode == "hard" else np.minimum(1.0, factor)


def spectral_normalize_backward(
    grads: Sequence[Array], weights: Sequence[Array], us: Sequence[Array], vs: Sequence[Array], sigmas: Array,
    coeff: float, hard: bool, extra: float, geometry: Geometry | None,
) -> tuple[list[Array], Array]:  # fmt: skip
    """Return the gradient for each weight, and its inner product with the gradient where it was scaled (else 0)."""
    layers = zip(grads, weights, us, vs, sigmas.tolist(), strict=True)
    found = [_backward(*layer, coeff, hard, extra, geometry) for layer in layers]
    return [gradient for gradient, _ in found], np.array([inner for _, inner in found], np.float64)


def _backward(
    grad: Array, weight: Array, u: Array, v: Array, sigma: float, coeff: float, hard: bool, extra: float,
    geometry: Geometry | None,
) -> tuple[Array, float]:  # fmt: skip
    """Spec, section 3, with ``W / f`` and ``f = max(1, sigma / c) + extra`` (hard: ``sigma / c + extra``)."""
    active = sigma > 0 and (hard or sigma > coeff)
    f = (sigma / coeff if active else 1.0) + extra
    if not active:
        return (grad / f).astype(weight.dtype), 0.0
    slope = np.outer(u, v) if geometry is None else weight_gradient(v[None], u[None], weight.shape, geometry)
    inner = float(np.vdot(grad, weight))
    result = grad / f - inner / (f * f * coeff) * slope
    return result.astype(weight.dtype), inner


def block_step(weight: Array, block: Array) -> tuple[Array, Array]:
    """Take one step of block iteration with Rayleigh-Ritz.

    Return u of the best direction and the new block (rank, n), the best first.
    """
    basis = np.linalg.qr(weight @ block.T)[0]
    new, _, turn = np.linalg.svd(weight.T @ basis, full_matrices=False)
    return basis @ turn[0], new.T


def state_step(
    weights: Sequence[Array], blocks: Sequence[Array], tol: float, upper: str | None, key: int
) -> list[tuple[tuple[float, float, int], tuple[Array, Array, Array, Array]]]:
    """Move the block (rank, n) of each layer and enclose its norm from there.

    Return ((lower, upper, steps), (new block, its best output, u, v)) for each.
    """
    found = []
    for given, old in zip(weights, blocks, strict=True):
        weight = given.astype(np.float64)
        best, block = block_step(weight, old) if len(old) else (np.zeros(len(weight)), old)
        start = block[:1] if len(old) else None
        lower, top, steps, u, v = (each[0] for each in spectral_norm(weight[None], tol, upper, 0.0, start, key))
        found.append(((float(lower), float(top), int(steps)), (block, best, u, v)))
    return found
