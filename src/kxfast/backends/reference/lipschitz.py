"""Spectral norm by power iteration (spec: Spectral norm, Lipschitz estimation, section 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def normalize(z: Array, eps: float) -> Array:
    return z / max(np.linalg.norm(z), eps)


def power_iteration(weight: Array, u: Array, v: Array, n_iter: int, eps: float) -> tuple[Any, Array, Array]:
    for _ in range(n_iter):
        v = normalize(weight.T @ u, eps)
        u = normalize(weight @ v, eps)
    return u @ (weight @ v), u, v
