"""Users' own rates, compiled to machine code that C++ calls without the interpreter."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from kxfast.errors import BackendError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def address(function: Callable[..., Any], count: int) -> int:
    """Return the address of the compiled ``double f(const double *arguments)``."""
    return int(_compiled(function, count).address)


@cache  # also keeps the code alive
def _compiled(function: Callable[..., Any], count: int) -> Any:
    try:
        from numba import carray, cfunc, njit, types
        from numba.core.errors import NumbaError
        from numba.np.unsafe.ndarray import to_fixed_tuple
    except ImportError:
        raise BackendError(
            "backend 'native' cannot call a Python function as a rate: numba is not installed; available: reference"
        ) from None
    inner = function if hasattr(function, "py_func") else njit(error_model="numpy")(function)

    def call(arguments: Any) -> Any:
        return inner(*to_fixed_tuple(carray(arguments, (count,)), count))

    try:
        return cfunc(types.float64(types.CPointer(types.float64)))(call)
    except NumbaError as error:
        name = getattr(function, "__name__", function)
        raise ValueError(f"the rate {name} must be a function that Numba compiles; got {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return the first line of Numba's message that says what is wrong, not in which of its passes."""
    lines = [_COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)
