"""What the functions of this stem accept: masks, layers and seeds become canonical, or one line says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast import checks

Array = NDArray[Any]

Taker = Callable[..., Any]  # `checks.floating`, or what takes arrays of a GPU in its place

_SKIPS, _GATES, _PADDINGS = ("gated", "none", "add"), ("last", "first"), ("same", "causal")


class Layer(NamedTuple):
    """A checked layer, as backends receive it."""

    weight: Array
    bias: Array | None
    dilation: int
    padding: str
    skip: str
    gate: str
    mask_input: bool
    shortcut: tuple[Array, Array | None] | None
    norm: tuple[Array, Array, float] | None
    packed: Any = None  # what a backend has kept of the weight, in its present type

    @property
    def channels(self) -> int:
        """Number of channels out, F."""
        return int(self.weight.shape[2]) // 2

    def arrays(self) -> list[Array]:
        """Return every array there is."""
        pair, norm = self.shortcut or (None, None), self.norm or (None, None)
        return [each for each in (self.weight, self.bias, *pair, *norm[:2]) if each is not None]

    def astype(self, kind: np.dtype[Any]) -> Layer:
        """Return the layer with every array in one type."""

        def cast(each: Any) -> Any:
            return None if each is None else each.astype(kind, copy=False)

        pair, norm = self.shortcut, self.norm
        return self._replace(
            packed=self.packed if self.weight.dtype == kind else None,
            weight=cast(self.weight),
            bias=cast(self.bias),
            shortcut=pair and (cast(pair[0]), cast(pair[1])),
            norm=norm and (cast(norm[0]), cast(norm[1]), norm[2]),
        )


def sequence(x: Any, mask: Any) -> tuple[Array, Array | None]:
    """Return x (B, L, D), where it lies if its channels are in one piece, and its mask (B, L), or None."""
    array = checks.in_rows("x", x, 3)
    return array, None if mask is None else positions(mask, array.shape)


def positions(mask: Any, shape: tuple[int, ...]) -> Array:
    """Return a mask (B, L) from one of (B, L) or (B, L, 1)."""
    array = checks.booleans("mask", mask)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    checks.shape("mask", array, shape[:2], f"({shape[0]}, {shape[1]})", "to match x's batch and length")
    return array


def kernel(
    name: str, weight: Any, bias: Any, channels: int, owner: str, out: str, floating: Taker = checks.floating
) -> tuple[Array, Array | None]:
    """Return the weight (K, D, `out`) and the bias (`out`,) of a convolution of `channels` channels."""
    w = floating(name, weight, ndim=3, half=True)
    paired = out == "2*F"
    if w.shape[1] != channels or not w.shape[0] or not w.shape[2] or (paired and w.shape[2] % 2):
        reason = f"to match {owner} {channels} channels"
        raise ValueError(f"{name} must have shape (K, {channels}, {out}) {reason}; got {w.shape}")
    if bias is None:
        return w, None
    place = name.removesuffix("weight") + "bias"
    b = floating(place, bias, ndim=1, half=True)
    checks.shape(place, b, w.shape[2:], f"({w.shape[2]},)", f"to match {name}'s {w.shape[2]} channels out")
    return w, b


def gated_layer(place: str, channels: int, has_mask: bool, fields: Any, floating: Taker = checks.floating) -> Layer:
    """Return a checked layer; `place` precedes argument names in messages ("" or "layers[3].")."""
    owner = "its input's" if place else "x's"
    weight, bias = kernel(f"{place}weight", fields.weight, fields.bias, channels, owner, "2*F", floating)
    skip = checks.choice(f"{place}skip", fields.skip, _SKIPS)
    if fields.mask_input is not None and checks.boolean(f"{place}mask_input", fields.mask_input) and not has_mask:
        raise ValueError(f"{place}mask_input must be None or False without a mask; got True")
    out = weight.shape[2] // 2
    return Layer(
        weight,
        bias,
        distance(f"{place}dilation", fields.dilation),
        checks.choice(f"{place}padding", fields.padding, _PADDINGS),
        skip,
        checks.choice(f"{place}gate", fields.gate, _GATES),
        has_mask and fields.mask_input is not False,
        _shortcut(place, fields.shortcut, skip, channels, out, floating),
        _norm(place, fields.norm, skip, out, floating),
        fields.packed,
    )


def distance(name: str, value: Any) -> int:
    """Return a dilation, or, for one that no machine word may hold, one that is beyond every sequence too."""
    return min(checks.integer(name, value, low=1), 1 << 40)


def usual_layer(
    x: Array, has_mask: bool, weight: Any, bias: Any, options: tuple[Any, ...], packed: Any = None
) -> Layer | None:
    """Return in a microsecond the layer of correct arguments of the usual kind; None: look at them more closely.

    Arrays are canonical, all of the type of `x`, and there is neither shortcut nor norm; `options` are dilation, skip,
    gate, padding and mask_input.
    """
    if type(weight) is not np.ndarray or weight.ndim != 3 or weight.dtype is not x.dtype or not weight.flags.carray:
        return None
    if bias is not None and (type(bias) is not np.ndarray or bias.dtype is not x.dtype or not bias.flags.carray):
        return None
    kernel_size, channels, columns = weight.shape
    step, skip, gate, padding, mask_input = options
    usual = (
        kernel_size > 0 < columns
        and channels == x.shape[2]
        and columns % 2 == 0
        and (bias is None or bias.shape == (columns,))
        and type(step) is int
        and 0 < step <= 1 << 40
        and type(skip) is type(gate) is type(padding) is str
        and (skip == "none" or (skip in _SKIPS and columns == 2 * channels))
        and gate in _GATES
        and padding in _PADDINGS
        and (mask_input is None or mask_input is False)
    )
    if not usual:
        return None
    return Layer(weight, bias, step, padding, skip, gate, has_mask and mask_input is None, None, None, packed)


def _shortcut(
    place: str, value: Any, skip: str, channels: int, out: int, floating: Taker
) -> tuple[Array, Array | None] | None:
    name = f"{place}shortcut"
    if value is None:
        if skip != "none" and channels != out:
            raise ValueError(f"{name} must be given for skip={skip!r} from {channels} to {out} channels; got None")
        return None
    if skip == "none":
        raise ValueError(f"{name} must be None with skip='none', which has no skip connection")
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (weight, bias or None); got {type(value).__name__}")
    weight = floating(f"{name}[0]", value[0], ndim=2, half=True)
    checks.shape(f"{name}[0]", weight, (channels, out), f"({channels}, {out})", "to match the channels in and out")
    if value[1] is None:
        return weight, None
    bias = floating(f"{name}[1]", value[1], ndim=1, half=True)
    checks.shape(f"{name}[1]", bias, (out,), f"({out},)", "to match the channels out")
    return weight, bias


def _norm(place: str, value: Any, skip: str, out: int, floating: Taker) -> tuple[Array, Array, float] | None:
    name = f"{place}norm"
    if value is None:
        return None
    if skip != "add":
        raise ValueError(f"{name} must be None unless skip='add' (variant D); got skip={skip!r}")
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise TypeError(f"{name} must be a triple (gamma, beta, alpha); got {type(value).__name__}")
    gamma, beta = (floating(f"{name}[{i}]", value[i], ndim=1, half=True) for i in (0, 1))
    for i, each in enumerate((gamma, beta)):
        checks.shape(f"{name}[{i}]", each, (out,), f"({out},)", "to match the channels out")
    return gamma, beta, checks.number(f"{name}[2]", value[2])


def unify(arrays: list[Array], layers: list[Layer]) -> tuple[list[Array], list[Layer]]:
    """Bring arrays and layers to their common floating type."""
    everything = arrays + [each for layer in layers for each in layer.arrays()]
    kind = everything[0].dtype
    if all(each.dtype is kind for each in everything):
        return arrays, layers
    kind = checks.common_float(**{f"argument {i}": each for i, each in enumerate(everything)})[0].dtype
    return [each.astype(kind, copy=False) for each in arrays], [layer.astype(kind) for layer in layers]


def dropout(drop_gate: Any, seed: Any, *, backward: bool = False) -> tuple[float, int]:
    """Return the rate and a 64-bit key; backward needs the seed that forward had."""
    if type(drop_gate) is float and drop_gate == 0:
        return 0.0, 0
    rate = checks.number("drop_gate", drop_gate, low=0)
    if rate >= 1:
        raise ValueError(f"drop_gate must be below 1; got {rate:g}")
    if rate == 0:
        return 0.0, 0
    if backward and (seed is None or isinstance(seed, np.random.Generator)):
        raise TypeError(f"seed must be the int or SeedSequence of the forward call; got {type(seed).__name__}")
    return rate, checks.seed(seed)


def gradient(grad: Any, shape: tuple[int, ...], floating: Taker = checks.floating) -> Array:
    """Return the gradient of a result of shape (B, L, F)."""
    array: Array = floating("grad", grad, ndim=3, half=True)
    if array.shape != shape:
        checks.shape("grad", array, shape, str(shape), "to match the result")
    return array


def kept_parts(name: str, value: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    """Return what a forward call has kept: in float32 for half types, or, of inputs, as they are."""
    array = checks.floating(name, value, ndim=3, half=True)
    if array.shape != shape:
        checks.shape(name, array, shape, str(shape), "as the forward call returned it")
    if kind.itemsize != 2:
        return array if array.dtype is kind else array.astype(kind)
    return array if array.dtype == kind and name.startswith("kept.inputs") else array.astype(np.float32, copy=False)
