"""Gradients of residual blocks and of their log-determinants."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.layers import Layer, specs, working_type
from kxfast.lipschitz.logdet import draw, sample
from kxfast.lipschitz.residual import block


def logdet_gradient(
    layers: Any, x: Any, *, terms: int = 10, probes: Any = 1, seed: Any = None, backend: str | None = None
) -> list[tuple[Any, Any]]:
    """Estimate the gradients of ``log det(I + J)``, summed over the batch, for every weight and bias.

    The Neumann form: the vector ``e' sum (-J)^k`` is a constant, and the last product ``J e`` is differentiated. The
    value of that product is not the log-determinant; only its gradient is.

    Parameters
    ----------
    layers : list of layers
        The g of the block ``x + g(x)``.
    x : array, shape (B, ...)
    terms : int
        The largest k.
    probes : int, or array, shape (n, B, ...)
        How many Rademacher probes to draw, or the probes themselves.
    seed : int, SeedSequence or Generator, optional
        Of the probes.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    list of (dweight, dbias)
        One pair for each layer that has a weight; dbias is None where there is no bias.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Source: Residual Flows, arXiv:1906.02735, appendix on the Neumann gradient.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> ((dw, _),) = kx.lipschitz.logdet_gradient([kx.lipschitz.Linear([[0.5]])], np.zeros((1, 1)), terms=50, seed=0)
    >>> dw.round(6).tolist()
    [[0.666667]]

    """
    a, g, drawn = _given(x, layers, probes, seed)
    terms = checks.integer("terms", terms, low=0)
    run = implementation("lipschitz", "residual_backward", backend, "d")
    _, found = run(specs(g), a, np.zeros_like(a), np.ones(len(a)), drawn, terms)
    return _as_weights(found, g)


def residual_backward(
    grad: Any,
    x: Any,
    layers: Any,
    *,
    logdet_grad: Any = None,
    terms: int = 10,
    probes: Any = 1,
    seed: Any = None,
    backend: str | None = None,
) -> tuple[Any, list[tuple[Any, Any]]]:
    """Return the gradients for x and all weights of a residual block from those for its output and log-determinant.

    The output is ``y = x + g(x)``; the gradient of ``log det(I + J)`` is estimated as in `logdet_gradient`. It is
    computed in float32 where x and all weights are.

    Parameters
    ----------
    grad : array of x's shape
        The gradient for y.
    x : array, shape (B, ...)
        The block's input.
    layers : list of layers
        Its g.
    logdet_grad : array, shape (B,), optional
        The gradient for each sample's log-determinant; -1 for a likelihood. By default 0: none is estimated.
    terms : int
        The largest power of J.
    probes : int, or array, shape (n, B, ...)
        How many Rademacher probes to draw, or the probes themselves.
    seed : int, SeedSequence or Generator, optional
        Of the probes.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    dx : array of x's shape
    gradients : list of (dweight, dbias)
        One pair for each layer that has a weight; dbias is None where there is no bias.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or `x` is not finite.

    Notes
    -----
    Source: Residual Flows, arXiv:1906.02735, appendix on the Neumann gradient.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> g, x = [kx.lipschitz.Linear([[0.5]])], np.array([[2.0]])
    >>> dx, ((dw, _),) = kx.lipschitz.residual_backward([[1.0]], x, g, logdet_grad=[-1.0], terms=50, seed=0)
    >>> dx.tolist(), dw.round(6).tolist()
    ([[1.5]], [[1.333333]])

    """
    a, g, drawn = _given(x, layers, probes if logdet_grad is not None else 1, seed)
    terms = checks.integer("terms", terms, low=0)
    to = checks.floating("grad", grad)
    checks.shape("grad", to, a.shape, str(a.shape), "to match x")
    each = np.zeros(len(a)) if logdet_grad is None else checks.floating("logdet_grad", logdet_grad, ndim=1)
    checks.shape("logdet_grad", each, a.shape[:1], f"({len(a)},)", "to match x")
    kind = working_type(g, checks.floating("x", x))
    run = implementation("lipschitz", "residual_backward", backend, kind.char)
    drawn = drawn[: 0 if logdet_grad is None else None]
    dx, found = run(specs(g, kind), *(part.astype(kind, copy=False) for part in (a, to, each, drawn)), terms)
    return checks.like(dx, x), _as_weights(found, g)


def _given(x: Any, layers: Any, probes: Any, seed: Any) -> tuple[checks.Array, list[Layer], checks.Array]:
    a = sample(x)
    return a, block(layers, a, "x"), draw(probes, a, seed)


def _as_weights(found: Any, g: list[Layer]) -> list[tuple[Any, Any]]:
    owners: list[Any] = [layer for layer in g if hasattr(layer, "weight")]
    return [
        (dw.astype(layer.weight.dtype), None if db is None else db.astype(layer.bias.dtype))
        for (dw, db), layer in zip(found, owners, strict=True)
    ]
