"""Products of matrices of float32, where tiles multiply them in three parts of bfloat16 each."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from kxfast._native import core
from kxfast._native import linear as _native

Array = NDArray[Any]
DTYPES = "f"


def missing() -> str | None:
    """Say why products are better made elsewhere."""
    if core.half_products() in ("tiles", "emulated"):
        return None
    return "this processor has no matrix extension (AMX), or it is off"


def product(a: Array, b: Array, bias: Array | None) -> Array:
    """See the reference; rows or columns of a and of b are in one piece, and no size is 0."""
    made: Array = _native.product(a, b, bias)
    return made
