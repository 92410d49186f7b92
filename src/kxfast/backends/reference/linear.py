"""Products of matrices, as of linear layers and their gradients."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def product(a: Array, b: Array, bias: Array | None) -> Array:
    """y[m, n] = sum over k of a[m, k] b[n, k], + bias[n]; a (M, K), b (N, K)."""
    made: Array = a @ b.T
    return made if bias is None else made + bias
