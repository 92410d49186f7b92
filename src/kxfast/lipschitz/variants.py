"""The published recipes of spectral normalisation, by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kxfast import checks
from kxfast.lipschitz.geometry import from_mapping, kernel, output_size
from kxfast.lipschitz.norms import power_iteration


class Variant(NamedTuple):
    """What distinguishes a recipe: its start, its iterations and its output."""

    n_iter: int
    warm_up: int
    eps: float
    hard: bool
    extra: float


VARIANTS = {
    "keras": Variant(5, 5, 1e-6, True, 0.0),
    "pytorch": Variant(1, 1, 1e-12, True, 0.0),
    "i-resnet": Variant(5, 5, 1e-12, False, 0.0),
    "i-resnet-conv": Variant(5, 5, 1e-12, False, 1e-5),
    "residual-flows": Variant(1, 200, 1e-12, False, 0.0),
}


def normalize_weight(
    weight: Any,
    u: Any = None,
    v: Any = None,
    *,
    variant: str = "pytorch",
    coeff: float = 0.9,
    n_iter: int | None = None,
    tolerance: tuple[float, float] | None = None,
    training: bool = True,
    axis: int = 0,
    diagonal: bool = False,
    conv: Any = None,
    seed: Any = 0,
    backend: str | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Normalise one weight as one of the published codes does.

    ============== =============================== ======================== ========== ======================
    variant        matrix                          start                    iterations result
    ============== =============================== ======================== ========== ======================
    keras          (..., out) as (rest, out)       ones, at every call      5          W / sigma
    pytorch        outputs first, as (out, rest)   random, then kept        1          W / sigma
    i-resnet       the same                        random, then kept        5          W / max(1, sigma / c)
    i-resnet-conv  the operator; needs `conv`      random, then kept        5          W / (max(...) + 1e-5)
    residual-flows (out, rest), or with `conv`     random, 200 iterations   1          W / max(1, sigma / c)
    ============== =============================== ======================== ========== ======================

    Parameters
    ----------
    weight : array
        Of any shape; one dimension (d,) is for "keras" the matrix (1, d).
    u, v : arrays, optional
        What the last call returned; None starts afresh.
    variant : str
        One of the names above.
    coeff : float
        c; the "hard" variants have no use for it.
    n_iter : int, optional
        Iterations in place of the variant's.
    tolerance : (atol, rtol), optional
        Iterate, 200 times at most, until ``|u - u_old| / sqrt(m) < atol + rtol max|u|``, and the same for v.
    training : bool
        False (evaluation) leaves `u` and `v` as they are and computes sigma from them.
    axis : int
        The dimension of `weight` that counts outputs ("keras": always the last).
    diagonal : bool
        Take a weight (d,) for a diagonal matrix: sigma is ``max |w|``, not its length; no vectors are involved.
    conv : mapping, optional
        As in `power_iteration`.
    seed : int, SeedSequence or Generator
        Of a random start.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    scaled : array of `weight`'s shape
        A zero weight is returned as it is.
    sigma : float
    u, v : arrays
        The state for the next call.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Sources: bojone/gan (keras), Miyato et al. (pytorch), jhjacobsen/invertible-resnet, rtqichen/residual-flows.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w = np.array([[1, 2, .5], [-.5, 1.5, 1]])
    >>> scaled, sigma, u, v = kx.lipschitz.normalize_weight(w.T, variant="keras")
    >>> round(float(sigma), 9)
    2.738612777

    """
    recipe = VARIANTS[checks.choice("variant", variant, tuple(VARIANTS))]
    coeff = checks.number("coeff", coeff, above=0)
    w = checks.floating("weight", weight)
    checks.finite("weight", w)
    if diagonal:
        if w.ndim != 1:
            raise ValueError(f"weight must have 1 dimension when diagonal; got shape {w.shape}")
        sigma = w.dtype.type(np.max(np.abs(w), initial=0.0))
        return checks.like(w / _divisor(sigma, recipe, coeff), weight), sigma, u, v
    matrix, outer, inner = _matrix(w, variant, axis, conv)
    if checks.boolean("training", training):
        count = recipe.n_iter if n_iter is None else checks.integer("n_iter", n_iter, low=1)
        if u is None or variant == "keras":
            u, count = _start(variant, outer, seed, w.dtype), max(count, recipe.warm_up if n_iter is None else 0)
        sigma, u, v = _iterate(matrix, u, inner, count, tolerance, conv, recipe.eps, backend)
    else:
        if u is None or v is None:
            raise ValueError("u and v must be given when training is False; got None")
        sigma, u, v = power_iteration(matrix, u, v, 0, conv=conv, backend=backend)
    return checks.like(w / _divisor(sigma, recipe, coeff), weight), sigma, u, v


def _divisor(sigma: Any, recipe: Variant, coeff: float) -> Any:
    if recipe.hard:
        return sigma if sigma > 0 else type(sigma)(1)
    return max(type(sigma)(1), sigma / type(sigma)(coeff)) + type(sigma)(recipe.extra)


def _matrix(
    w: checks.Array, variant: str, axis: int, conv: Any
) -> tuple[checks.Array, tuple[int, ...], tuple[int, ...]]:
    """Return the operand of the power iteration and the shapes of u and v."""
    if conv is not None:
        shape, moves = from_mapping(kernel(w), conv)
        return w, (w.shape[0], *output_size(w, shape, moves)), (w.shape[1] * moves.groups, *shape)
    if variant == "i-resnet-conv":
        raise ValueError("conv must be given for variant 'i-resnet-conv'; got None")
    if w.ndim < (1 if variant == "keras" else 2):
        raise ValueError(f"weight must have at least 2 dimensions; got shape {w.shape}")
    if variant == "keras":
        matrix = w.reshape(-1, w.shape[-1])
    else:
        axis = checks.integer("axis", axis, -w.ndim, w.ndim - 1)
        matrix = np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)
    return matrix, matrix.shape[:1], matrix.shape[1:]


def _start(variant: str, shape: tuple[int, ...], seed: Any, dtype: Any) -> checks.Array:
    if variant == "keras":
        return np.ones(shape, dtype)
    u = np.random.default_rng(checks.seed(seed)).standard_normal(shape)
    return (u / (np.linalg.norm(u) or 1.0)).astype(dtype)


def _iterate(
    matrix: checks.Array,
    u: Any,
    inner: tuple[int, ...],
    count: int,
    tolerance: tuple[float, float] | None,
    conv: Any,
    eps: float,
    backend: str | None,
) -> tuple[Any, Any, Any]:
    v = np.zeros(inner, matrix.dtype)
    if tolerance is None:
        return power_iteration(matrix, u, v, count, conv=conv, eps=eps, backend=backend)
    atol, rtol = (checks.number("tolerance", each, low=0) for each in tolerance)
    for _ in range(200):
        old = u, v
        sigma, u, v = power_iteration(matrix, u, v, 1, conv=conv, eps=eps, backend=backend)
        pairs = ((u, old[0]), (v, old[1]))
        if all(np.linalg.norm(x - y) < (atol + rtol * np.max(np.abs(x))) * np.sqrt(x.size) for x, y in pairs):
            break
    return sigma, u, v
