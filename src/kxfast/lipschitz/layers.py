"""The layers that blocks and networks are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.geometry import Geometry, Shape, geometry, output_size

ACTIVATIONS = {
    "tanh": 1.0,
    "elu": 1.0,
    "relu": 1.0,
    "leaky_relu": 1.0,
    "softplus": 1.0,
    "lipswish": 1.0,
    "sigmoid": 0.25,
    "sorting": 1.0,
}


class Layer(ABC):
    """A map of batches with first derivatives.

    `forward`, `jvp` and `vjp` take arrays with the batch in front: (B, n) for `Linear`, (B, D, ...) for convolutions.
    """

    @abstractmethod
    def spec(self, dtype: Any = None) -> tuple[Any, ...]:
        """Return the layer as a tuple of plain values, its arrays brought to `dtype`."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of a sample's output; raise ValueError if the layer cannot take the input."""

    def forward(self, x: Any) -> Any:
        """Return the layer's output for a batch."""
        return self._run("forward", x)

    __call__ = forward

    def jvp(self, x: Any, tangent: Any) -> Any:
        """Return the Jacobian at `x` times `tangent`, sample by sample."""
        return self._run("jvp", x, tangent)

    def vjp(self, x: Any, cotangent: Any) -> Any:
        """Return the transposed Jacobian at `x` times `cotangent`, sample by sample."""
        return self._run("vjp", x, cotangent)

    def _run(self, name: str, x: Any, other: Any = None) -> Any:
        a = checks.floating("x", x)
        if a.ndim < 2:
            raise ValueError(f"x must have at least 2 dimensions; got shape {a.shape}")
        result = self.output_shape(a.shape[1:])
        arguments = [a]
        if name != "forward":
            b = checks.floating("tangent" if name == "jvp" else "cotangent", other)
            expected = a.shape if name == "jvp" else (len(a), *result)
            checks.shape("tangent" if name == "jvp" else "cotangent", b, expected, str(expected), "to match x")
            arguments.append(b)
        weights = [self.weight] if hasattr(self, "weight") else []
        dtype = np.result_type(*arguments, *weights)
        run = implementation("lipschitz", name, None, dtype.char)
        y = run([self.spec(dtype)], *(each.astype(dtype, copy=False) for each in arguments))
        return checks.like(y, x)


@dataclass(frozen=True, eq=False)
class Linear(Layer):
    """The map ``x W' + b``.

    Parameters
    ----------
    weight : array, shape (m, n)
    bias : array, shape (m,), optional

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.Linear([[1., 2.], [0., 1.]], [1., 0.])(np.array([[1., 1.]])).tolist()
    [[4.0, 1.0]]

    """

    weight: Any
    bias: Any = None

    def __post_init__(self) -> None:
        _set_arrays(self, 2)

    def spec(self, dtype: Any = None) -> tuple[Any, ...]:
        """See `Layer.spec`."""
        return ("linear", *_as(self, dtype))

    def output_shape(self, shape: Shape) -> Shape:
        """See `Layer.output_shape`."""
        if tuple(shape) != (self.weight.shape[1],):
            raise ValueError(f"x must have shape (B, {self.weight.shape[1]}) to match weight; got (B, {_shown(shape)})")
        return (int(self.weight.shape[0]),)


@dataclass(frozen=True, eq=False)
class _Convolution(Layer):
    weight: Any
    bias: Any = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    padding_mode: str = "zeros"

    _dimensions = 0

    def __post_init__(self) -> None:
        _set_arrays(self, self._dimensions + 2)
        moves = geometry(self.weight, self.stride, self.padding, self.dilation, self.groups, self.padding_mode)
        for name, value in moves._asdict().items():
            object.__setattr__(self, name, value)

    @property
    def geometry(self) -> Geometry:
        """How the kernel moves."""
        return Geometry(self.stride, self.padding, self.dilation, self.groups, self.padding_mode)

    def spec(self, dtype: Any = None) -> tuple[Any, ...]:
        return ("conv", *_as(self, dtype), self.geometry)

    def output_shape(self, shape: Shape) -> Shape:
        channels = self.weight.shape[1] * self.groups
        if len(shape) != self._dimensions + 1 or shape[0] != channels:
            letters = "L" if self._dimensions == 1 else "H, W"
            raise ValueError(f"x must have shape (B, {channels}, {letters}) to match weight; got (B, {_shown(shape)})")
        return (int(self.weight.shape[0]), *output_size(self.weight, tuple(shape[1:]), self.geometry))


class Conv1d(_Convolution):
    """A convolution (cross-correlation) of (B, D, L).

    Parameters
    ----------
    weight : array, shape (F, D / groups, K)
    bias : array, shape (F,), optional
    stride, padding, dilation : int
        In samples.
    groups : int
    padding_mode : {"zeros", "circular"}

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.Conv1d([[[1., 2.]]], padding=1)(np.array([[[1., 1.]]])).tolist()
    [[[2.0, 3.0, 1.0]]]

    """

    _dimensions = 1


class Conv2d(_Convolution):
    """A convolution (cross-correlation) of (B, D, H, W).

    Parameters
    ----------
    weight : array, shape (F, D / groups, K, K)
    bias : array, shape (F,), optional
    stride, padding, dilation : int or tuple of 2 ints
        In pixels.
    groups : int
    padding_mode : {"zeros", "circular"}

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.Conv2d(np.ones((1, 1, 2, 2)))(np.ones((1, 1, 2, 3))).tolist()
    [[[[4.0, 4.0]]]]

    """

    _dimensions = 2


@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """A nonlinearity by name.

    Parameters
    ----------
    name : str
        tanh, elu (alpha 1), relu, leaky_relu (slope 0.01), softplus, lipswish (``z sigmoid(z) / 1.1``), sigmoid, or
        sorting: each pair of neighbouring channels becomes (max, min). Lipschitz constant 1; of sigmoid 1/4.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.Activation("sorting")(np.array([[1., 2., 4., 3.]])).tolist()
    [[2.0, 1.0, 4.0, 3.0]]

    """

    name: str

    def __post_init__(self) -> None:
        checks.choice("name", self.name, tuple(ACTIVATIONS))

    def spec(self, dtype: Any = None) -> tuple[Any, ...]:
        """See `Layer.spec`."""
        return ("activation", self.name)

    def output_shape(self, shape: Shape) -> Shape:
        """See `Layer.output_shape`."""
        if self.name == "sorting" and shape[0] % 2:
            raise ValueError(f"x must have an even number of channels to be sorted in pairs; got {shape[0]}")
        return tuple(shape)


def _set_arrays(layer: Any, ndim: int) -> None:
    weight = checks.floating("weight", layer.weight, ndim=ndim)
    checks.finite("weight", weight)
    object.__setattr__(layer, "weight", weight)
    if layer.bias is not None:
        bias = checks.floating("bias", layer.bias, ndim=1)
        checks.shape("bias", bias, weight.shape[:1], f"({len(weight)},)", f"to match weight's {len(weight)} outputs")
        checks.finite("bias", bias)
        object.__setattr__(layer, "bias", bias)


def _as(layer: Any, dtype: Any) -> tuple[Any, Any]:
    dtype = layer.weight.dtype if dtype is None else dtype
    bias = None if layer.bias is None else layer.bias.astype(dtype, copy=False)
    return layer.weight.astype(dtype, copy=False), bias


def _shown(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def sequence(layers: Any) -> list[Layer]:
    """Return the layers of a network as a list; one layer alone is a network too."""
    members = [layers] if isinstance(layers, Layer) else layers
    if not isinstance(members, (list, tuple)) or not members:
        got = type(layers).__name__ if not isinstance(layers, (list, tuple)) else "none"
        raise (ValueError if got == "none" else TypeError)(f"layers must be a list of layers; got {got}")
    for i, layer in enumerate(members):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{i}] must be Linear, Conv1d, Conv2d or Activation; got {type(layer).__name__}")
    return list(members)


def specs(layers: Sequence[Layer], dtype: Any = np.float64) -> list[tuple[Any, ...]]:
    """Return the plain form of a network in one type."""
    return [layer.spec(dtype) for layer in layers]


def working_type(layers: Sequence[Layer], x: Any) -> Any:
    """Return float32 if the input and all weights are, else float64."""
    return np.result_type(x, *(layer.weight for layer in layers if hasattr(layer, "weight")))


def result_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """Return the shape of a sample's output; raise ValueError naming the layer that cannot take its input."""
    for i, layer in enumerate(layers):
        try:
            shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"layers[{i}]: {error}") from None
    return shape
