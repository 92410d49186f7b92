"""What users' functions of (b, h, i, j) allow: called by Python for few pairs, compiled by Numba for many."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from kxfast.backends.reference import masks as reference
from kxfast.dispatch import unable
from kxfast.masks.mask import Booleans
from kxfast.settings import forced_backend

MANY = 1 << 21  # pairs that take Python nearly as long as Numba takes to compile
_ASIDE = {"locals", "eval", "exec", "vars", "_getframe"}  # read arguments without naming them


def called(f: Callable[..., Any], shape: tuple[int, ...]) -> Booleans:
    """Return what `f` says of all indices of a grid, as an array that cannot be written."""
    many = shape[0] * shape[1] * shape[2] * shape[3] >= MANY and forced_backend.get() != "reference"
    able = many and unable("masks", "numba") is None
    array: Booleans = (import_module("kxfast.backends.numba.masks") if able else reference).called(f, shape)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=64)
def reads(f: Callable[..., Any]) -> tuple[bool, bool, bool, bool]:
    """Return which of its arguments a function may look at, as far as its code tells; the last two are always asked.

    A mask that ignores the head, as most do, is called for one head alone.
    """
    inner = getattr(f, "py_func", f)
    if not inspect.isfunction(inner) or inner.__code__.co_argcount != 4 or _ASIDE & {*inner.__code__.co_names}:
        return True, True, True, True
    code = inner.__code__
    seen: set[Any] = set()
    for each in dis.get_instructions(code):
        seen.update(each.argval if isinstance(each.argval, tuple) else (each.argval,))
    b, h = (name in seen for name in code.co_varnames[:2])
    return b, h, True, True
