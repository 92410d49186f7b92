"""The training step of spectral normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import lipschitz as native
from kxfast.backends.native.lipschitz.norms import UPPER, number
from kxfast.backends.reference.lipschitz import power as definition
from kxfast.backends.reference.lipschitz.convolution import Geometry

Array = NDArray[Any]


def state_step(weights: list[Array], blocks: list[Array], tol: float, upper: str | None, key: Any) -> list[Any]:
    """See the reference."""
    whole = [_whole(w, w.dtype) for w in weights]
    return native.state_step(whole, blocks, tol, UPPER[upper], number(key))


usual_layers = native.usual_layers
spectral_normalize_at_once = native.spectral_normalize_at_once
spectral_normalize_of = native.spectral_normalize_of
spectral_normalize_gradients_of = native.spectral_normalize_gradients_of


def spectral_normalize(
    weights: list[Array], us: Sequence[Array], vs: Sequence[Array], coeff: float, n_iter: int, hard: bool,
    scaled: bool, outs: Sequence[Array] | None,
) -> tuple[Array, Array, Sequence[Array] | None]:  # fmt: skip
    """See the reference; layers of one type and in one piece go in one call."""
    found: Any = native.spectral_normalize(weights, us, vs, coeff, n_iter, hard, scaled, outs)
    if found is None:
        return _converted(weights, us, vs, coeff, n_iter, hard, scaled, outs)
    factors, sigmas, made = found
    return factors, sigmas, made if outs is None else outs


def _converted(
    weights: list[Array], us: Sequence[Array], vs: Sequence[Array], coeff: float, n_iter: int, hard: bool,
    scaled: bool, outs: Sequence[Array] | None,
) -> tuple[Array, Array, Sequence[Array] | None]:  # fmt: skip
    """Work on copies, type by type; nothing given changes if a norm is not finite."""
    factors, sigmas = np.zeros(len(weights)), np.zeros(len(weights))
    made: list[Any] = [None] * len(weights)
    updates: list[tuple[Array, Array]] = []
    for which, kind in _by_type(weights):
        u, v = ([_whole(x[i], kind, True) for i in which] for x in (us, vs))
        run: Any = native.spectral_normalize
        some, norms, new = run([weights[i] for i in which], u, v, coeff, n_iter, hard, scaled, None)
        factors[which], sigmas[which] = some, norms
        for place, i in enumerate(which):
            updates += [(us[i], u[place]), (vs[i], v[place])]
            made[i] = new[place] if scaled else None
    if not np.isfinite(sigmas).all():
        return factors, sigmas, made
    for old, changed in updates:
        old[...] = changed
    for out, result in zip(outs or (), made, strict=False):
        out[...] = result.reshape(out.shape)
    return factors, sigmas, (made if outs is None else outs) if scaled else None


def spectral_normalize_backward(
    grads: Sequence[Array], weights: list[Array], us: Sequence[Array], vs: Sequence[Array], sigmas: Array,
    coeff: float, hard: bool, extra: float, geometry: Geometry | None,
) -> tuple[list[Array], Array]:  # fmt: skip
    """See the reference, which serves convolution operators; layers of one type and in one piece go in one call."""
    if geometry is not None:
        return definition.spectral_normalize_backward(grads, weights, us, vs, sigmas, coeff, hard, extra, geometry)
    run: Any = native.spectral_normalize_backward
    found: tuple[list[Array], Array] | None = run(grads, weights, us, vs, sigmas, coeff, hard, extra)
    if found is not None:
        return found
    made: list[Any] = [None] * len(weights)
    inners = np.zeros(len(weights))
    for which, kind in _by_type(weights):
        g, w, u, v = ([_whole(x[i], kind) for i in which] for x in (grads, weights, us, vs))
        new, inners[which] = run(g, w, u, v, sigmas[which], coeff, hard, extra)
        for i, result in zip(which, new, strict=True):
            made[i] = result
    return made, inners


def _by_type(weights: Sequence[Array]) -> Iterator[tuple[list[int], Any]]:
    for kind in np.float32, np.float64:
        yield [i for i, w in enumerate(weights) if w.dtype == kind], kind


def _whole(x: Array, kind: Any, copy: bool = False) -> Array:
    """Return `x` in one piece and of this type."""
    return np.array(x, kind, order="C") if copy or not x.flags.aligned else np.ascontiguousarray(x, kind)
