"""Gated convolutions over arrays in the memory of a GPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kxfast import checks, devices
from kxfast.conv.arguments import Layer, dropout, gated_layer, gradient
from kxfast.devices import DeviceArray
from kxfast.dispatch import implementation

TYPES = ("float32", "float64", "float16", "bfloat16")
_NUMBERS = (*TYPES, "bool", "uint8", "int8", "int32", "int64")
_ALIGN = 16  # bytes that an asynchronous copy brings
_LONGEST = 2**31 - 1


class Call:
    """Checked arguments of one call: the input, its mask, and layers one after another."""

    def __init__(self, x: Any, mask: Any, layers: Iterable[tuple[str, Any]]) -> None:
        self.x = self.floating("x", x, ndim=3)
        if self.x.shape[1] > _LONGEST:
            raise ValueError(f"x must have at most {_LONGEST} positions on a GPU; got {self.x.shape[1]}")
        self.mask = None if mask is None else self._positions(mask)
        self.layers: list[Layer] = []
        channels = self.x.shape[2]
        for place, fields in layers:
            self.layers.append(gated_layer(place, channels, mask is not None, fields, self.floating))
            channels = self.layers[-1].channels
        self.shape = (*self.x.shape[:2], channels)

    def floating(self, name: str, x: Any, *, ndim: int, half: bool = True, kind: Any = None) -> DeviceArray:
        """Return an array of the type of the input (or of another `kind`), on its device."""
        first = getattr(self, "x", None)
        found = devices.canonical(name, x, first, types=TYPES, align=_ALIGN)
        if len(found.shape) != ndim:
            raise ValueError(f"{name} must have {ndim} dimensions; got shape {found.shape}")
        wanted = kind or (first.dtype if first else found.dtype)
        if found.dtype != wanted:
            raise TypeError(f"{name} must be {wanted} to go with x on a GPU; got {found.dtype}")
        return found

    def parts(self, name: str, x: Any, layer: Layer) -> DeviceArray:
        """Return the candidates and shares that a forward call has kept of a layer."""
        kind = np.dtype(np.float32) if self.x.dtype.itemsize == 2 else self.x.dtype
        found = self.floating(name, x, ndim=3, kind=kind)
        shape = (*self.shape[:2], 2 * layer.channels)
        checks.shape(name, found, shape, str(shape), "as the forward call returned it")
        return found

    def inputs(self, name: str, x: Any, layer: Layer) -> DeviceArray:
        """Return the input that a forward call has kept of a layer."""
        found = self.floating(name, x, ndim=3)
        shape = (*self.shape[:2], layer.weight.shape[1])
        checks.shape(name, found, shape, str(shape), "as the forward call returned it")
        return found

    def output(self, out: Any) -> DeviceArray | None:
        """Return ``out=`` if the result can be written into it."""
        names = {f"layers[{i}].weight": each.weight for i, each in enumerate(self.layers)}
        if len(names) == 1:
            names = {"weight": self.layers[0].weight}
        given: dict[str, Any] = {"x": self.x, **names}
        return devices.output(out, self.shape, self.x, given, types=TYPES, align=_ALIGN)

    def _positions(self, mask: Any) -> DeviceArray:
        found = devices.canonical("mask", mask, self.x, types=_NUMBERS)
        shape = found.shape[:-1] if len(found.shape) == 3 and found.shape[2] == 1 else found.shape
        found = found._replace(shape=shape)
        full = self.x.shape[:2]
        checks.shape("mask", found, full, f"({full[0]}, {full[1]})", "to match x's batch and length")
        if found.dtype == np.bool_:
            return found
        made = devices.canonical("mask", found.owner != 0, self.x, types=("bool",))  # on the device, not looked at
        return made._replace(shape=shape)


def convolve_there(
    x: Any, fields: Any, mask: Any, drop_gate: Any, seed: Any, return_parts: Any, out: Any
) -> Any:  # fmt: skip
    """Do what `dilated_gated_conv1d` says, on the device where all the arrays are."""
    run = implementation("conv", "dilated_gated_conv1d", "cuda")
    call = Call(x, mask, [("", fields)])
    rate, key = dropout(drop_gate, seed)
    kept: list[Any] | None = [] if checks.boolean("return_parts", return_parts) else None
    result = run(call.x, call.layers[0], call.mask, rate, key, call.output(out), kept)
    result = result if out is None else out
    return result if kept is None else (result, kept[0][1])


def convolve_back_there(
    grad: Any, x: Any, fields: Any, mask: Any, drop_gate: Any, seed: Any, parts: Any
) -> tuple[Any, ...]:  # fmt: skip
    """Do what `dilated_gated_conv1d_backward` says, on the device where all the arrays are."""
    run = implementation("conv", "dilated_gated_conv1d_backward", "cuda")
    call = Call(x, mask, [("", fields)])
    (layer,) = call.layers
    rate, key = dropout(drop_gate, seed, backward=True)
    dy = gradient(grad, call.shape, call.floating)
    given = None if parts is None else call.parts("parts", parts, layer)
    found: tuple[Any, ...] = run(dy, call.x, layer, call.mask, rate, key, given)
    return found


def stack_there(
    x: Any, places: Any, mask: Any, drop_gate: Any, seed: Any, return_kept: Any, out: Any
) -> tuple[Any, Any]:  # fmt: skip
    """Do what `dgcnn` says, on the device where all the arrays are; return inputs and parts of all layers too."""
    run = implementation("conv", "dgcnn", "cuda")
    call = Call(x, mask, places)
    rate, key = dropout(drop_gate, seed)
    kept: list[Any] | None = [] if checks.boolean("return_kept", return_kept) else None
    result = run(call.x, call.layers, call.mask, rate, key, call.output(out), kept)
    return result if out is None else out, None if kept is None else tuple(map(tuple, zip(*kept, strict=True)))


def stack_back_there(
    grad: Any, x: Any, places: Any, mask: Any, drop_gate: Any, seed: Any, kept: Any
) -> tuple[Any, list[tuple[Any, ...]]]:  # fmt: skip
    """Do what `dgcnn_backward` says, on the device where all the arrays are."""
    run = implementation("conv", "dgcnn_backward", "cuda")
    call = Call(x, mask, places)
    rate, key = dropout(drop_gate, seed, backward=True)
    dy = gradient(grad, call.shape, call.floating)
    given = None
    if kept is not None:
        given = [
            (call.inputs(f"kept.inputs[{i}]", first, each), call.parts(f"kept.parts[{i}]", second, each))
            for i, (first, second, each) in enumerate(zip(kept.inputs, kept.parts, call.layers, strict=True))
        ]
    found: tuple[Any, list[tuple[Any, ...]]] = run(dy, call.x, call.layers, call.mask, rate, key, given)
    return found
