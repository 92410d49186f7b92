"""Canonical arguments of convolutions."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kxfast import checks

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """How a kernel moves over its input; one entry for each spatial dimension."""

    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    padding_mode: str


def sizes(name: str, value: Any, dimensions: int, low: int) -> Shape:
    """Return one int for each spatial dimension from an int or a sequence of them."""
    if hasattr(value, "__index__") and not isinstance(value, np.ndarray):
        return (checks.integer(name, value, low=low),) * dimensions
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be an int or a tuple of {dimensions} ints; got {type(value).__name__}")
    if len(value) != dimensions:
        raise ValueError(f"{name} must have {dimensions} entries, one for each spatial dimension; got {tuple(value)}")
    return tuple(checks.integer(name, each, low=low) for each in value)


def kernel(weight: Any, name: str = "weight") -> checks.Array:
    """Return a canonical kernel (F, D / groups, K) or (F, D / groups, K, K)."""
    return checks.floating(name, weight, ndim=(3, 4))


def geometry(
    weight: checks.Array, stride: Any, padding: Any, dilation: Any, groups: Any, padding_mode: str
) -> Geometry:
    """Return the canonical geometry of a kernel."""
    dimensions = weight.ndim - 2
    count = checks.integer("groups", groups, low=1)
    if weight.shape[0] % count:
        raise ValueError(f"groups must divide weight's {weight.shape[0]} output channels; got {count}")
    return Geometry(
        sizes("stride", stride, dimensions, 1),
        sizes("padding", padding, dimensions, 0),
        sizes("dilation", dilation, dimensions, 1),
        count,
        checks.choice("padding_mode", padding_mode, ("zeros", "circular")),
    )


def input_size(weight: checks.Array, input_shape: Any) -> Shape:
    """Return the canonical spatial shape of the input."""
    if hasattr(input_shape, "__index__") and weight.ndim != 3:
        raise TypeError(f"input_shape must be a tuple of {weight.ndim - 2} ints; got {input_shape!r}")
    return sizes("input_shape", input_shape, weight.ndim - 2, 1)


def output_size(weight: checks.Array, shape: Shape, moves: Geometry) -> Shape:
    """Return the spatial shape of the output; raise if the kernel does not fit."""
    spans = tuple(d * (k - 1) + 1 for d, k in zip(moves.dilation, weight.shape[2:], strict=True))
    padded = tuple(n + 2 * p for n, p in zip(shape, moves.padding, strict=True))
    if any(map(operator.gt, spans, padded)) or 0 in weight.shape[2:]:
        raise ValueError(f"weight must fit into the padded input of shape {padded}; got a kernel that spans {spans}")
    return tuple((n - k) // s + 1 for n, k, s in zip(padded, spans, moves.stride, strict=True))


def mapped(conv: Any) -> dict[str, Any]:
    """Return ``conv=dict(input_shape=..., stride=..., ...)`` with all its options."""
    if not isinstance(conv, Mapping) or "input_shape" not in conv:
        got = f"keys {sorted(conv)}" if isinstance(conv, Mapping) else type(conv).__name__
        raise TypeError(f"conv must be None or a mapping with input_shape; got {got}")
    options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
    unknown = sorted(set(conv) - set(options) - {"input_shape"})
    if unknown:
        raise ValueError(f"conv must have keys among input_shape, {', '.join(options)}; got {unknown[0]!r}")
    return {**options, **conv}


def from_mapping(weight: checks.Array, conv: Any) -> tuple[Shape, Geometry]:
    """Return the input's spatial shape and the geometry from a mapping."""
    chosen = mapped(conv)
    shape = input_size(weight, chosen.pop("input_shape"))
    moves = geometry(weight, **chosen)
    output_size(weight, shape, moves)
    return shape, moves
