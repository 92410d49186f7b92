"""Spectral norms of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from kxfast._native import lipschitz as native
from kxfast.backends.reference.lipschitz.norms import UNSEEN

Array = NDArray[Any]
UPPER = {None: 0, "proof": 1, "random": 2}


def share(inputs: int, failure: float) -> float:
    """Return what a random unit vector's share of a fixed direction is below with probability `failure`."""
    return float(np.sqrt(betaincinv(0.5, (inputs - 1) / 2, failure))) if inputs > 1 else 1.0


def spectral_norm(
    a: Array, tol: float, upper: str | None, failure: float, start: Array | None, key: Any
) -> tuple[Array, ...]:
    """See the reference."""
    if upper is None:
        failure = UNSEEN if start is None else 0.0
    return native.spectral_norm(a, tol, UPPER[upper], share(a.shape[2], failure), start, number(key))


def number(key: Any) -> int:
    """Return 64 bits of a seed."""
    return int(np.random.default_rng(key).integers(0, 2**64, dtype=np.uint64))
