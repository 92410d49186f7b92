"""What a process, a block of code or a thread has chosen: backend, threads, instruction set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType

BACKENDS = ("native", "numba", "cuda", "reference")


def check_backend_name(name: str, source: str = "backend") -> str:
    """Return `name` if it is a backend's name; raise ValueError naming `source` otherwise."""
    if not isinstance(name, str):
        raise TypeError(f"{source} must be a str or None; got {type(name).__name__}")
    if name not in BACKENDS:
        raise ValueError(f"{source} must be one of {', '.join(BACKENDS)}; got {name!r}")
    return name


_environment = os.environ.get("KXFAST_BACKEND") or None
forced_backend: ContextVar[str | None] = ContextVar("kxfast_backend", default=_environment)


def check_environment() -> None:
    """Raise ValueError if an environment variable of ours has no meaning: at the first call, not at import."""
    if _environment is not None:
        check_backend_name(_environment, "KXFAST_BACKEND")
    threads = os.environ.get("KXFAST_NUM_THREADS") or "1"
    if not (threads.isascii() and threads.isdecimal() and 0 < int(threads) < 100_000):
        raise ValueError(f"KXFAST_NUM_THREADS must be a whole number of at least 1; got {threads!r}")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Force one backend for every call inside a ``with`` block (of this thread or task).

    Parameters
    ----------
    name : {"native", "numba", "cuda", "reference"}

    Raises
    ------
    ValueError
        If no backend has that name.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> with kx.use_backend("reference"):
    ...     sigma, u, v = kx.lipschitz.power_iteration(np.eye(2), np.ones(2), np.ones(2))
    >>> float(sigma)
    1.0

    """
    token = forced_backend.set(check_backend_name(name))
    try:
        yield
    finally:
        forced_backend.reset(token)


@cache
def native() -> ModuleType | None:
    """Return the compiled module's core, or None where the package was not compiled."""
    try:
        from kxfast._native import core  # type: ignore[import-not-found,unused-ignore]  # absent until compiled
    except ImportError:
        return None
    check_environment()
    _register_with_threadpoolctl()
    found: ModuleType = core
    return found


def _register_with_threadpoolctl() -> None:
    """Let ``threadpoolctl.threadpool_limits`` govern our threads too, where it is installed."""
    try:
        import threadpoolctl
    except ImportError:
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]  # it has no types
        user_api = "kxfast"
        internal_api = "kxfast"
        filename_prefixes = ("_native.",)
        check_symbols = ("kxfast_get_num_threads",)

        def get_num_threads(self) -> int:
            return int(self.dynlib.kxfast_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.kxfast_set_num_threads(int(num_threads))

        def get_version(self) -> None:
            return None

    threadpoolctl.register(Controller)


def get_num_threads() -> int:
    """Return how many threads a call uses when it is not told.

    In this order: `set_num_threads`, the environment variables KXFAST_NUM_THREADS and OMP_NUM_THREADS (read once),
    the processors this process may run on. ``threadpoolctl.threadpool_limits`` lowers it for a block.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.get_num_threads() >= 1
    True

    """
    core = native()
    return core.get_num_threads() if core else 1


def set_num_threads(n: int | None) -> None:
    """Set how many threads a call uses when it is not told; None goes back to the default.

    Parameters
    ----------
    n : int or None
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an int or is below 1.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.set_num_threads(1)
    >>> kx.get_num_threads()
    1
    >>> kx.set_num_threads(None)

    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, int)):
        raise TypeError(f"n must be an int or None; got {type(n).__name__}")
    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    core = native()
    if core:
        core.set_num_threads(n or 0)
