"""Power iteration with a convolution, all steps in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast.backends.cuda import load

Shape = tuple[int, ...]
TEXT = '#include "conv_power.cuh"\n'
_PLACES, _WIDTH, _SHARED = 128, 8, 32 + 16 * 8  # of a tile of the convolution's products; bytes of a block


def conv_power_iteration(
    weight: Any, u: Any, v: Any, n_iter: int, eps: float, moves: Any
) -> tuple[float, Any, Any]:  # fmt: skip
    """See the reference; arrays are on the device, and so are u and v that are returned."""
    with load.stream_of(weight.owner):
        device, shapes = load.device(), (weight.shape, u.shape, v.shape)
        new_u, new_v = (load.empty_beside(x.owner, x.shape, weight.dtype) for x in (u, v))
        given = [np.uint64(x.address) for x in (weight, u, v)]
        made = [np.uint64(load.address(x)) for x in (new_u, new_v)]
        behind = [weight.owner, u.owner, v.owner, new_u, new_v]
        found = iterate(device, weight.dtype, shapes, moves, given, made, n_iter, eps, behind)
        return (found, new_u, new_v) if n_iter else (found, u.owner, v.owner)


def iterate(
    device: load.Device, dtype: np.dtype[Any], shapes: tuple[Shape, Shape, Shape], moves: Any,
    given: Sequence[Any], made: Sequence[Any], n_iter: int, eps: float, behind: Sequence[Any] = (),
) -> float:  # fmt: skip
    """Return sigma; `given` are weight, u and v, and `made` the new u and v, arrays or addresses with `behind`.

    Without a step the new u is the operator times v, and sigma its product with u.
    """
    weight, outer, inner = shapes
    taps, groups, outputs, inputs = weight[2:], moves.groups, outer[0], inner[0]
    axes = zip(inner[1:], outer[1:], taps, moves.stride, moves.padding, moves.dilation, strict=True)
    rows = [(1, 1, 1, 1, 0, 1)] * (len(taps) == 1) + list(axes)
    table = np.array([outputs, inputs, groups, moves.padding_mode == "circular", *np.ravel(rows)], np.int64)

    def whole(channels: int) -> int:
        return int(-(-channels // groups // _WIDTH))

    tiles = [-(-int(np.prod(x[1:])) // _PLACES) * whole(x[0]) * groups for x in (outer, inner)]
    count = int(np.prod(taps))
    forward = device.empty(count * inputs * whole(outputs) * _WIDTH, dtype)
    adjoint = device.empty(count * outputs * whole(inputs) * _WIDTH, dtype)
    sigma = device.zeros(1, np.float64)
    kernel = device.kernel(TEXT, f"conv_power_{dtype.char}")
    blocks = max(1, min(max(tiles), device.resident_blocks(kernel, _PLACES, _SHARED)))
    arguments = [
        device.upload(table), *given, np.int64(n_iter), np.float64(eps), forward, adjoint, *made,
        device.empty(sum(tiles), np.float64), sigma, device.scratch(1, np.uint32),
    ]  # fmt: skip
    kernel(blocks, _PLACES, _SHARED, arguments, behind, together=True)
    return float(device.download(sigma)[0])
