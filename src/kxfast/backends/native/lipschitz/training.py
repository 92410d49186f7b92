"""The training step of spectral normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import lipschitz as native

Array = NDArray[Any]


def spectral_normalize(
    weights: Sequence[Array], us: Sequence[Array], vs: Sequence[Array], coeff: float, n_iter: int, hard: bool,
    outs: Sequence[Array] | None,
) -> tuple[Array, Array]:  # fmt: skip
    """See the reference; layers of one type and in one piece go in one call."""
    kinds = {w.dtype.char for w in weights}
    if len(kinds) > 1:
        return _by_type(weights, us, vs, coeff, n_iter, hard, outs)
    plain: list[list[Array]] = []
    for given in us, vs, outs or ():
        plain.append([_whole(x, weights[i].dtype) for i, x in enumerate(given)])
    a, b, c = plain
    shapes = None if outs is None else [x.reshape(w.shape) for x, w in zip(c, weights, strict=True)]
    run: Any = native.spectral_normalize
    factors, sigmas = run(list(weights), a, b, coeff, n_iter, hard, shapes)
    if np.isfinite(sigmas).all():
        for made, given in (a, us), (b, vs), (c, outs or ()):
            for new, old in zip(made, given, strict=True):
                if new is not old:
                    old[...] = new
    return factors, sigmas


def _whole(x: Array, dtype: Any) -> Array:
    """Return `x` itself if the compiled code can write to it, else a copy."""
    return x if x.dtype is dtype and x.flags.carray else np.array(x, dtype, order="C")


def _by_type(
    weights: Sequence[Array], us: Sequence[Array], vs: Sequence[Array], coeff: float, n_iter: int, hard: bool,
    outs: Sequence[Array] | None,
) -> tuple[Array, Array]:  # fmt: skip
    """Find the norms of all types first: nothing changes if one is not finite."""
    factors, sigmas = np.zeros(len(weights)), np.zeros(len(weights))
    for trial in True, False:
        for kind in "fd":
            which = [i for i, w in enumerate(weights) if w.dtype.char == kind]
            u, v = ([x[i].copy() if trial else x[i] for i in which] for x in (us, vs))
            into = None if outs is None or trial else [outs[i] for i in which]
            found = spectral_normalize([weights[i] for i in which], u, v, coeff, n_iter, hard, into)
            factors[which], sigmas[which] = found
        if not np.isfinite(sigmas).all():
            break
    return factors, sigmas
