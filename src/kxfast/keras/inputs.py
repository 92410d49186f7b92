"""What layers are called with, and whether kxfast's operators can serve it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def fast_path(*tensors: Any) -> Any:
    """Return kxfast.torch where it serves: torch tensors on the CPU; else None."""
    if keras.backend.backend() != "torch":
        return None
    import torch

    if any(not isinstance(x, torch.Tensor) or x.device.type != "cpu" for x in tensors if x is not None):
        return None
    import kxfast.torch

    return kxfast.torch


def pair(inputs: Any) -> tuple[Any, Any]:
    """Return x and its mask (B, L, 1) as booleans, or None, of a layer called with x or [x, mask]."""
    if not isinstance(inputs, (list, tuple)):
        return inputs, None
    x, mask = inputs
    mask = ops.not_equal(mask, 0)
    return x, mask if len(mask.shape) == 3 else ops.expand_dims(mask, -1)


def sequence_shape(shape: Any) -> tuple[Any, ...]:
    """Return the shape of x of a layer called with x or [x, ...]."""
    return tuple(shape[0] if isinstance(shape[0], (list, tuple)) else shape)
