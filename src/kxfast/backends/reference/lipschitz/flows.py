"""ActNorm, squeezing and padding with channels (spec, section 4f)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def actnorm_init(x: Array, eps: float) -> tuple[Array, Array]:
    axes = (0, *range(2, x.ndim))
    log_scale = -0.5 * np.log(x.var(axis=axes) + x.dtype.type(eps))
    return log_scale, -x.mean(axis=axes) * np.exp(log_scale)


def actnorm(x: Array, log_scale: Array, shift: Array, inverse: bool) -> tuple[Array, Any]:
    column = (-1, *[1] * (x.ndim - 2))
    factor, offset = np.exp(log_scale).reshape(column), shift.reshape(column)
    logdet = log_scale.sum() * x.dtype.type(np.prod(x.shape[2:]))
    return ((x - offset) / factor, -logdet) if inverse else (x * factor + offset, logdet)


def squeeze(x: Array, factor: int) -> Array:
    b, d, h, w = x.shape
    blocks = x.reshape(b, d, h // factor, factor, w // factor, factor).transpose(0, 1, 3, 5, 2, 4)
    return blocks.reshape(b, d * factor**2, h // factor, w // factor)


def unsqueeze(x: Array, factor: int) -> Array:
    b, d, h, w = x.shape
    blocks = x.reshape(b, d // factor**2, factor, factor, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(b, d // factor**2, h * factor, w * factor)


def injective_pad(x: Array, channels: int) -> Array:
    return np.pad(x, [(0, 0), (0, channels), *[(0, 0)] * (x.ndim - 2)])


def injective_unpad(x: Array, channels: int) -> Array:
    return np.ascontiguousarray(x[:, : x.shape[1] - channels])
