"""Norms of long products of Jacobians, and log det exp (spec, sections 3 and 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def jacobian_product_lognorms(jacobians: Array) -> Array:
    """Return log |J_t ... J_1| for every t; the product is kept near 1 by powers of two, which are exact."""
    product, exponent = np.eye(jacobians.shape[-1]), 0.0
    result = np.full(len(jacobians), -np.inf)
    for t, j in enumerate(jacobians.astype(np.float64)):
        largest = np.max(np.abs(j), initial=0.0)
        shift = int(np.frexp(largest)[1])
        product = np.ldexp(j, -shift) @ product
        largest = np.max(np.abs(product), initial=0.0)
        if largest == 0:
            break
        rest = int(np.frexp(largest)[1])
        product = np.ldexp(product, -rest)
        exponent += shift + rest
        result[t] = np.log(np.linalg.norm(product, 2)) + exponent * np.log(2.0)
    return result


def expm_logdet(a: Array) -> Array:
    """log det exp(A) = trace A."""
    result: Array = np.trace(a, axis1=-2, axis2=-1)
    return result
