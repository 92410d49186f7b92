"""Masks given as functions, compiled: some nanoseconds a pair in place of a tenth of a microsecond and more."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference import masks as reference

_PAIRS = 1 << 23  # of a call: Ctrl-C is heard between calls


def missing() -> str | None:
    """Say in a phrase why nothing can be compiled here, or return None; Numba, a second, is not imported for it."""
    return None if find_spec("numba") else "numba is not installed"


def called(f: Callable[..., Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """See the reference, which calls what Numba does not compile."""
    from numba.core.errors import NumbaError

    fill, out = _compiled(f), np.empty(shape, np.bool_)
    rows = max(1, _PAIRS // max(1, shape[0] * shape[1] * shape[3]))
    try:
        for begin in range(0, shape[2], rows):
            fill(out, begin, min(begin + rows, shape[2]))
    except NumbaError:
        return reference.called(f, shape)
    return out


@lru_cache(maxsize=64)
def _compiled(f: Callable[..., Any]) -> Any:
    from numba import njit

    inner = f if hasattr(f, "py_func") else njit(boundscheck=True)(f)

    @njit(nogil=True)  # type: ignore[untyped-decorator,unused-ignore]  # Numba has no types
    def fill(out: Any, begin: int, end: int) -> None:
        for b in range(out.shape[0]):
            for h in range(out.shape[1]):
                for i in range(begin, end):
                    for j in range(out.shape[3]):
                        out[b, h, i, j] = bool(inner(b, h, i, j))

    return fill
