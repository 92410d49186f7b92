"""Maps made of layers, and residual blocks. Compiled code has channels last: (batch, pixels * channels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import core
from kxfast._native import lipschitz as native
from kxfast.backends.native.lipschitz.convolution import moves, plane
from kxfast.backends.native.lipschitz.lapack import dealt
from kxfast.backends.reference.lipschitz import layers as definition
from kxfast.backends.reference.lipschitz import residual
from kxfast.backends.reference.lipschitz.convolution import Shape, output_shape

Array = NDArray[Any]
Layers = Sequence[tuple[Any, ...]]
CURVES = ("tanh", "elu", "relu", "leaky_relu", "softplus", "lipswish", "sigmoid")  # numbers of the compiled code
SORTING = -1
TOGETHER = 2**26  # bytes of derivatives that are there at a time


def packed(
    layers: Layers, shape: Shape, dtype: Any, filtered: bool = False, forward: bool = False
) -> tuple[Any, Shape] | None:
    """Return the compiled network and the shape of its output; None where an array would have no entries.

    `filtered`: convolutions with fewer multiplications and rounding of some ulps more. `forward`: without derivatives.
    """
    made: list[Any] = []
    for kind, *rest in layers:
        if 0 in shape:
            return None
        if kind == "activation":
            made.append((SORTING if rest[0] == "sorting" else CURVES.index(rest[0]), int(np.prod(shape))))
        elif kind == "linear":
            weight, bias = rest
            one = (1, 1)
            made.append((np.ascontiguousarray(weight)[:, :, None, None], bias, (one, one, (0, 0), one, one, 1, False)))
            shape = (len(weight),)
        else:
            weight, bias, geometry = rest
            made.append((plane(weight), bias, moves(weight, shape[1:], geometry)))
            shape = (len(weight), *output_shape(shape[1:], weight.shape[2:], geometry))
    if 0 in shape:
        return None
    build: Any = native.NetworkFloat32 if dtype == np.float32 else native.NetworkFloat64
    return build(made, filtered, forward), shape


def flat(x: Array) -> Array:
    """Return (B, C, ...) as (B, pixels * C)."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(len(x), -1)


def unflat(x: Array, shape: Shape) -> Array:
    """Return (B, pixels * C) as (B, C, ...) for the shape (C, ...)."""
    return np.ascontiguousarray(np.moveaxis(x.reshape(len(x), *shape[1:], shape[0]), -1, 1))


def forward(layers: Layers, x: Array) -> Array:
    """See the reference."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return definition.forward(layers, x)
    network, shape = found
    return unflat(network.forward(flat(x)), shape)


def jvp(layers: Layers, x: Array, t: Array) -> Array:
    """See the reference."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return definition.jvp(layers, x, t)
    network, shape = found
    return unflat(network.jvp(flat(x), flat(t)), shape)


def vjp(layers: Layers, x: Array, g: Array) -> Array:
    """See the reference."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return definition.vjp(layers, x, g)
    return unflat(found[0].vjp(flat(x), flat(g)), x.shape[1:])


def layer_jacobian(layers: Layers, x: Array) -> Array:
    """See the reference."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return residual.layer_jacobian(layers, x)
    network, shape = found
    result: Array = network.jacobian(flat(x))
    outer, inner = (flat(np.arange(int(np.prod(each))).reshape(1, *each))[0] for each in (shape, x.shape[1:]))
    if x.ndim > 2:  # back to the order of channels first
        result = result[:, np.argsort(outer)[:, None], np.argsort(inner)]
    return result


def logdet_exact(layers: Layers, x: Array) -> Array:
    """See the reference; the factorisations are LAPACK's, samples dealt out to threads, some at a time."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return residual.logdet_exact(layers, x)
    network, given = found[0], flat(x)
    inside = np.arange(given.shape[1])

    def some(part: Array) -> Array:
        shifted = network.jacobian(part)  # both sides in the order of the compiled code: the same determinant
        shifted[:, inside, inside] += 1
        return dealt(lambda each: np.linalg.slogdet(each)[1], shifted)

    step = max(core.get_num_threads(), TOGETHER // (x.itemsize * inside.size**2))
    return np.concatenate([some(given[i : i + step]) for i in range(0, len(given), step)])


def logdet_series(layers: Layers, x: Array, probes: Array, coefficients: Array) -> Array:
    """See the reference."""
    found = packed(layers, x.shape[1:], x.dtype) if x.size else None
    if found is None:
        return residual.logdet_series(layers, x, probes, coefficients)
    both = np.stack([flat(each) for each in probes])
    result: Array = found[0].series(flat(x), both, np.ascontiguousarray(coefficients, np.float64))
    return result


def residual_inverse(
    g: Callable[[Array], Array] | Layers, y: Array, lipschitz: float | None, tol: float, max_steps: int, window: int
) -> tuple[Array, Array, Array, Array]:
    """See the reference; a function of the user's own is called by it."""
    found = packed(g, y.shape[1:], y.dtype, True, True) if not callable(g) and y.size else None
    if found is None or callable(g):
        return residual.residual_inverse(g, y, lipschitz, tol, max_steps, window)
    coarse = packed(g, y.shape[1:], np.float32, True, True)
    known = -1.0 if lipschitz is None else lipschitz
    assert coarse is not None  # as the other one
    x, steps, bounds, converged = found[0].residual_inverse(coarse[0], flat(y), known, tol, max_steps, window)
    return unflat(x, y.shape[1:]), steps, bounds, converged
