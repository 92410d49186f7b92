"""Masks given as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def called(f: Callable[..., Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the truth of f(b, h, i, j) at each index of a grid."""
    return np.asarray(np.frompyfunc(f, 4, 1)(*np.ogrid[tuple(map(slice, shape))])).astype(np.bool_)
