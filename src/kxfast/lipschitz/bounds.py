"""Lipschitz bounds of networks, norms of their Jacobians and of products of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.convolutions import conv_spectral_norm
from kxfast.lipschitz.geometry import Shape
from kxfast.lipschitz.interval import Interval
from kxfast.lipschitz.layers import ACTIVATIONS, Activation, Layer, Linear, result_shape, sequence, specs
from kxfast.lipschitz.norms import spectral_norm


def jacobian_norm(layers: Any, x: Any, *, tol: float = 1e-3, backend: str | None = None) -> Interval:
    """Enclose the spectral norm of a network's Jacobian at each sample.

    Parameters
    ----------
    layers : list of layers
    x : array, shape (B, ...)
    tol : float
        Width asked for, relative to the norms.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Interval
        Of arrays (B,): of the Jacobians as computed in float64.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    The norm at a point is a lower bound of the Lipschitz constant. Source: article 6051 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> net = [kx.lipschitz.Linear([[3., 0.], [0., 1.]]), kx.lipschitz.Activation("tanh")]
    >>> kx.lipschitz.jacobian_norm(net, np.zeros((1, 2)), tol=1e-9).lower.round(6).tolist()
    [3.0]

    """
    network = sequence(layers)
    a = checks.floating("x", x).astype(np.float64)
    checks.finite("x", a)
    if a.ndim < 2:
        raise ValueError(f"x must have at least 2 dimensions; got shape {a.shape}")
    result_shape(network, a.shape[1:])
    jacobians = implementation("lipschitz", "layer_jacobian", backend, "d")(specs(network), a)
    return spectral_norm(jacobians, tol=tol, backend=backend)


def lipschitz_bounds(
    layers: Any, input_shape: Any, *, tol: float = 1e-3, points: int = 8, seed: Any = 0, backend: str | None = None
) -> Interval:
    """Enclose the Lipschitz constant of a network, for Euclidean lengths.

    From above by the product of the layers' proven norms, where linear layers that follow each other are first
    multiplied; from below by the largest norm of the Jacobian at random points.

    Parameters
    ----------
    layers : list of layers
    input_shape : tuple of ints
        Shape of a sample: (n,), (D, L) or (D, H, W).
    tol : float
        Width of each layer's norm, relative to it.
    points : int
        How many standard normal points, next to 0, are tried from below; with 0 the lower end is 0.
    seed : int, SeedSequence or Generator
        Of the points.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Interval
        A proof, usually wide; `u` and `v` are the directions at the best point.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Sources: article 6051 of kexue.fm; Gouk et al., arXiv:1804.04368.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> net = [kx.lipschitz.Linear([[3., 0.], [0., 1.]]), kx.lipschitz.Activation("sigmoid")]
    >>> bounds = kx.lipschitz.lipschitz_bounds(net, (2,))
    >>> bool(bounds.lower <= 0.75 <= bounds.upper <= 0.751)
    True

    """
    network = sequence(layers)
    shape = checks_shape(input_shape)
    out = result_shape(network, shape)
    points = checks.integer("points", points, low=0)
    steps, upper = _product(network, shape, tol, backend)
    rng = np.random.default_rng(checks.seed(seed))
    u, v, lower = np.zeros(out), np.zeros(shape), 0.0
    if points and np.prod(shape) and np.prod(out):
        x = np.concatenate([np.zeros((1, *shape)), rng.standard_normal((points, *shape))])
        plain = specs(network)
        push, pull = (implementation("lipschitz", name, backend, "d") for name in ("jvp", "vjp"))
        norm = implementation("lipschitz", "operator_spectral_norm", backend, "d")
        size = int(np.prod(out)), int(np.prod(shape))
        for at in x[:, None]:
            found = norm(
                lambda t, at=at: push(plain, at, t.reshape(at.shape)).ravel(),
                lambda t, at=at: pull(plain, at, t.reshape(1, *out)).ravel(),
                size, tol, None, 0.5, 1e-12, 0,
            )  # fmt: skip
            steps += found[2]
            if found[0] > lower:
                lower, u, v = found[0], found[3].reshape(out), found[4].reshape(shape)
    return Interval(min(lower, upper), upper, "proof", 0.0, steps, u, v)


def checks_shape(value: Any) -> Shape:
    """Return the canonical shape of a sample."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(checks.integer("input_shape", each, low=0) for each in parts)


def _product(network: Sequence[Layer], shape: Shape, tol: float, backend: str | None) -> tuple[int, float]:
    """Return the Lanczos steps and the proven product of norms."""
    steps, upper, i = 0, 1.0, 0
    while i < len(network):
        layer, after = network[i], i + 1
        if isinstance(layer, Activation):
            upper *= ACTIVATIONS[layer.name]
        elif isinstance(layer, Linear):
            matrices = [layer.weight]
            while after < len(network) and isinstance(following := network[after], Linear):
                matrices.append(following.weight)
                after += 1
            taken, norm = _linear_run(matrices, tol, backend)
            steps, upper = steps + taken, upper * norm
        else:
            _, w, _, moves = layer.spec()
            found = conv_spectral_norm(w, shape[1:], tol=tol, backend=backend, **moves._asdict())
            steps, upper = steps + found.steps, upper * found.upper
        for each in network[i:after]:
            shape = each.output_shape(shape)
        i = after
    return steps, float(upper * (1 + 4e-16 * len(network)))


def _linear_run(weights: Sequence[checks.Array], tol: float, backend: str | None) -> tuple[int, float]:
    """Return the steps and the norm of a product of matrices, with a margin for its roundings."""
    product = weights[0].astype(np.float64)
    rounding, length = float(np.linalg.norm(product)), 0
    for w in weights[1:]:
        length += w.shape[1]
        product = w.astype(np.float64) @ product
        rounding *= float(np.linalg.norm(w.astype(np.float64)))
    found = spectral_norm(product, tol=tol, backend=backend)
    return int(found.steps), float(found.upper) + 4 * length * 2.0**-53 * rounding


def jacobian_product_lognorms(jacobians: Any, *, backend: str | None = None) -> Any:
    """Return the logarithms of the spectral norms of the products ``J_t ... J_1``.

    Parameters
    ----------
    jacobians : array, shape (T, n, n)
        For example the Jacobians of a recurrent network's steps; products may vanish or explode beyond any range.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (T,), float64
        -inf from where a product is 0.

    Raises
    ------
    TypeError, ValueError
        If the argument has the wrong type or shape, or is not finite.

    Notes
    -----
    Source: article 6051 of kexue.fm and those on recurrent networks.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.jacobian_product_lognorms(np.full((400, 1, 1), 1e-3))[-1].round(6)
    np.float64(-2763.102112)

    """
    j = checks.floating("jacobians", jacobians, ndim=3)
    if j.shape[1] != j.shape[2]:
        raise ValueError(f"jacobians must have shape (T, n, n); got {j.shape}")
    checks.finite("jacobians", j)
    result = implementation("lipschitz", "jacobian_product_lognorms", backend, j.dtype.char)(j)
    return checks.like(result, jacobians)


def expm_logdet(a: Any, *, backend: str | None = None) -> Any:
    """Return ``log det exp(A)``, which is the trace of A.

    Parameters
    ----------
    a : array, shape (..., n, n)
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (...), of the type of `a`

    Raises
    ------
    TypeError, ValueError
        If the argument has the wrong type or shape, or is not finite.

    Notes
    -----
    Source: article 6377 of kexue.fm, on det(exp(A)) = exp(tr(A)).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> float(kx.lipschitz.expm_logdet(np.array([[1., 5.], [2., 3.]])))
    4.0

    """
    x = checks.floating("a", a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"a must have shape (..., n, n); got {x.shape}")
    checks.finite("a", x)
    return checks.like(implementation("lipschitz", "expm_logdet", backend, x.dtype.char)(x), a)
