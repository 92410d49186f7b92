"""Maps made of layers, with their first and second derivatives.

A layer is a tuple: ("linear", weight, bias), ("conv", weight, bias, geometry) or ("activation", name); a bias may be
None. Arrays have the batch in front, channels next. "sorting" makes each pair of neighbouring channels (max, min).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from kxfast.backends.reference.lipschitz.convolution import adjoint, convolve, weight_gradient

Array = NDArray[Any]
Layer = tuple[Any, ...]
Gradient = tuple[Array, Array | None]


def _swish2(z: Array) -> Array:
    s = expit(z)
    result: Array = s * (1 - s) * (2 + z * (1 - 2 * s)) / 1.1
    return result


def _sigmoid1(z: Array) -> Array:
    result: Array = expit(z) * expit(-z)
    return result


# name: the function and its first two derivatives
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2, lambda z: -2 * np.tanh(z) * (1 - np.tanh(z) ** 2)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
        lambda z: np.where(z > 0, 0, np.exp(np.minimum(z, 0))),
    ),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype), np.zeros_like),
    "leaky_relu": (
        lambda z: np.where(z > 0, z, z * z.dtype.type(0.01)),
        lambda z: np.where(z > 0, z.dtype.type(1), z.dtype.type(0.01)),
        np.zeros_like,
    ),
    "softplus": (lambda z: np.logaddexp(z.dtype.type(0), z), expit, _sigmoid1),
    "lipswish": (
        lambda z: z * expit(z) / 1.1,
        lambda z: (expit(z) + z * _sigmoid1(z)) / 1.1,
        _swish2,
    ),
    "sigmoid": (expit, _sigmoid1, lambda z: _sigmoid1(z) * (1 - 2 * expit(z))),
}


def _sort(x: Array, t: Array) -> Array:
    """Put the pairs of `t` in the order in which those of `x` are sorted; it is its own derivative."""
    swap = x[:, 0::2] < x[:, 1::2]
    result = np.empty_like(t)
    result[:, 0::2] = np.where(swap, t[:, 1::2], t[:, 0::2])
    result[:, 1::2] = np.where(swap, t[:, 0::2], t[:, 1::2])
    return result


def apply(layer: Layer, x: Array) -> Array:
    if layer[0] == "activation":
        return _sort(x, x) if layer[1] == "sorting" else ACTIVATIONS[layer[1]][0](x)
    y = push(layer, x, x)
    bias = layer[2]
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))


def push(layer: Layer, x: Array, t: Array) -> Array:
    """Return the derivative of a layer at `x` in the direction `t`."""
    if layer[0] == "linear":
        result: Array = t @ layer[1].T
        return result
    if layer[0] == "conv":
        return convolve(t, layer[1], layer[3])
    return _sort(x, t) if layer[1] == "sorting" else ACTIVATIONS[layer[1]][1](x) * t


def pull(layer: Layer, x: Array, g: Array) -> Array:
    """Return the transposed derivative of a layer at `x`, applied to `g`."""
    if layer[0] == "linear":
        result: Array = g @ layer[1]
        return result
    if layer[0] == "conv":
        return adjoint(g, layer[1], x.shape[2:], layer[3])
    if layer[1] != "sorting":
        return ACTIVATIONS[layer[1]][1](x) * g
    swapped = _sort(x, np.broadcast_to(np.arange(x.shape[1]).reshape(-1, *[1] * (x.ndim - 2)), x.shape))
    result = np.empty_like(g)
    np.put_along_axis(result, swapped, g, axis=1)
    return result


def forward(layers: Sequence[Layer], x: Array) -> Array:
    for layer in layers:
        x = apply(layer, x)
    return x


def inputs(layers: Sequence[Layer], x: Array) -> list[Array]:
    """Return the input of each layer: what the derivatives are taken at."""
    result = [x]
    for layer in layers[:-1]:
        result.append(apply(layer, result[-1]))
    return result


def jvp(layers: Sequence[Layer], x: Array, t: Array) -> Array:
    for layer, at in zip(layers, inputs(layers, x), strict=False):
        t = push(layer, at, t)
    return t


def vjp(layers: Sequence[Layer], x: Array, g: Array) -> Array:
    return pull_through(layers, inputs(layers, x), g)


def pull_through(layers: Sequence[Layer], at: Sequence[Array], g: Array) -> Array:
    for layer, x in zip(reversed(layers), reversed(at[: len(layers)]), strict=True):
        g = pull(layer, x, g)
    return g


def jacobian(layers: Sequence[Layer], x: Array) -> Array:
    """Return the Jacobian of each sample, (B, outputs, inputs)."""
    at = inputs(layers, x)
    columns = []
    for unit in np.eye(int(np.prod(x.shape[1:])), dtype=x.dtype):
        t = np.broadcast_to(unit.reshape(x.shape[1:]), x.shape)
        for layer, here in zip(layers, at, strict=False):
            t = push(layer, here, t)
        columns.append(t.reshape(len(x), int(np.prod(t.shape[1:]))))
    if not columns:
        return np.zeros((len(x), 0, 0), x.dtype)
    return np.stack(columns, axis=-1)


def bilinear_gradients(
    layers: Sequence[Layer], x: Array, left: Array, right: Array, to_value: Array
) -> tuple[Array, list[Gradient]]:
    """Return the gradients of ``<to_value, g(x)> + left' J(x) right`` for x and for each layer's weight and bias.

    Values h and tangents t run forward; their adjoints run back, the tangent's feeding the value's through the second
    derivative of the activations.
    """
    at, tangents = inputs(layers, x), [right]
    for layer, here in zip(layers, at, strict=False):
        tangents.append(push(layer, here, tangents[-1]))
    gradients: list[Gradient] = []
    to_t, to_h = left, to_value
    for layer, h, t in reversed(list(zip(layers, at, tangents, strict=False))):
        if layer[0] != "activation":
            gradients.append(_weight_gradient(layer, h, t, to_h, to_t))
        curvature = None
        if layer[0] == "activation" and layer[1] != "sorting":
            curvature = ACTIVATIONS[layer[1]][2](h) * t * to_t
        to_t, to_h = pull(layer, h, to_t), pull(layer, h, to_h)
        to_h = to_h if curvature is None else to_h + curvature
    return to_h, gradients[::-1]


def _weight_gradient(layer: Layer, h: Array, t: Array, to_h: Array, to_t: Array) -> Gradient:
    weight, bias = layer[1], layer[2]
    if layer[0] == "linear":
        change = to_t.T @ t + to_h.T @ h
    else:
        change = weight_gradient(t, to_t, weight.shape, layer[3]) + weight_gradient(h, to_h, weight.shape, layer[3])
    return change, None if bias is None else to_h.sum(axis=(0, *range(2, to_h.ndim)))
