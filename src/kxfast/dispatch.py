"""Which backend serves a call: the argument, else `use_backend` or KXFAST_BACKEND, else the fastest that is able.

A backend is the folder ``kxfast.backends.<name>`` with one module per stem, found by name; a function that is not
there is one the backend cannot serve. A module may name the floating types it serves in ``DTYPES`` (NumPy's type
characters); without it every type is served. It may say in ``missing()`` why it cannot serve on this machine. Asked by
name, a backend serves or raises; chosen by us, it may be passed over.

Where even checking arguments in Python takes long beside the work, a backend may have ``<function>_at_once``: it looks
at arguments itself, and returns None for all but those that nothing has to be done to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from kxfast.errors import BackendError
from kxfast.settings import check_backend_name, check_environment, forced_backend

_HOST_ORDER = ("native", "numba", "reference")
_ORDER = ("native", "numba", "cuda", "reference")
_found: dict[tuple[str, str, str | None, str], Callable[..., Any]] = {}


def implementation(stem: str, name: str, backend: str | None = None, dtype: str = "") -> Callable[..., Any]:
    """Return the function that serves ``stem.name`` for arrays of the given type character on the host."""
    key = (stem, name, backend if backend is not None else forced_backend.get(), dtype)
    try:
        return _found[key]
    except (KeyError, TypeError):
        function = _find(*key)
        _found[key] = function
        return function


def at_once(stem: str, name: str, backend: str | None = None) -> Callable[..., Any]:
    """Return the function that may serve ``stem.name`` on the host before anything is checked, by returning not None.

    Without one, or where the choice of backend is an error, that is a function that returns None.
    """
    key = (stem, name, backend if backend is not None else forced_backend.get(), "at once")
    try:
        return _found[key]
    except (KeyError, TypeError):
        chosen = key[2]
        if chosen is not None and not isinstance(chosen, str):
            return _nothing
        able = [each for each in _HOST_ORDER if chosen in (None, each) and callable(_serve(stem, name, each, ""))]
        function: Callable[..., Any] = getattr(load(stem, able[0]) if able else None, f"{name}_at_once", _nothing)
        if function is not _nothing:
            check_environment()
        _found[key] = function
        return function


def _nothing(*_: Any) -> None:
    """Serve nothing."""


def _find(stem: str, name: str, backend: str | None, dtype: str) -> Callable[..., Any]:
    check_environment()
    if backend is not None:
        check_backend_name(backend)
    for each in _HOST_ORDER if backend is None else (backend,):
        function = _serve(stem, name, each, dtype)
        if callable(function):
            return function
    able = [each for each in _HOST_ORDER if callable(_serve(stem, name, each, dtype))]
    reason = _serve(stem, name, backend, dtype) if backend else "no backend serves it"
    raise BackendError(
        f"backend {backend!r} cannot serve {stem}.{name}: {reason}; available: {', '.join(able) or 'none'}"
    )


def _serve(stem: str, name: str, backend: str, dtype: str) -> Callable[..., Any] | str:
    """Return the backend's function, or a phrase that says why there is none."""
    module, why = load(stem, backend), unable(stem, backend)
    if why is not None:
        return why
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        return f"it has no {name}"
    types = getattr(module, "DTYPES", "")
    if dtype and types and dtype not in types:
        return "it does not compute in that floating type"
    return function


@cache
def load(stem: str, backend: str) -> ModuleType | str:
    """Return the module of a stem in a backend, or a phrase that says why it cannot be loaded."""
    name = f"kxfast.backends.{backend}.{stem}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name.startswith(missing):
            return f"it has no {stem}"
        return (
            f"{missing.split('.')[0] if not missing.startswith('kxfast') else 'the compiled module'} is not installed"
        )
    except ImportError as error:  # it is there, but broken or older than the Python around it
        warnings.warn(f"backend {backend!r} cannot load {stem}: {error}; other backends serve", RuntimeWarning, 2)
        return str(error)


def available(stem: str, name: str, *, devices: bool = False) -> tuple[str, ...]:
    """Return the names of the backends that serve ``stem.name`` or one of its variants ``name_…``, fastest first.

    Devices are looked for only if asked for, and only in modules that say ``FROM_HOST``: the others take arrays that
    are on a device already.
    """
    return tuple(backend for backend in (_ORDER if devices else _HOST_ORDER) if _serves_some(stem, name, backend))


def _serves_some(stem: str, name: str, backend: str) -> bool:
    module = load(stem, backend)
    if backend not in _HOST_ORDER and not getattr(module, "FROM_HOST", False):
        return False
    names = () if isinstance(module, str) else dir(module)
    return any(each == name or each.startswith(name + "_") for each in names) and not unable(stem, backend)


def unable(stem: str, backend: str) -> str | None:
    """Say in a phrase why a backend can serve nothing of a stem here, or return None."""
    module = load(stem, backend)
    if isinstance(module, str):
        return module
    missing: Callable[[], str | None] = getattr(module, "missing", lambda: None)
    return missing()
