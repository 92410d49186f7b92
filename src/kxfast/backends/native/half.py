"""Half types on the way into kernels and out of them: computed in float32, rounded once, at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import core

Array = NDArray[Any]


def widened(x: Any) -> Any:
    """Return a half array in float32; anything else, None too, as it is."""
    if x is None or x.dtype.itemsize != 2:
        return x
    return core.widened(np.ascontiguousarray(x).view(np.uint16), x.dtype.char != "e")


def rounded(x: Any, kind: np.dtype[Any]) -> Any:
    """Return an array, or a nest of tuples and lists of arrays, in a half type; as it is for any other type."""
    if x is None or kind.itemsize != 2:
        return x
    if isinstance(x, (tuple, list)):
        return type(x)(rounded(each, kind) for each in x)
    if x.dtype is kind:
        return x
    if not isinstance(x, np.ndarray) or x.dtype.char != "f":
        return x.astype(kind)
    return core.narrowed(np.ascontiguousarray(x), kind.char != "e").view(kind)
