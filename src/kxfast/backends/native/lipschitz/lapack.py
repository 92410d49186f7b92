"""LAPACK on stacks of matrices, some for each thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import core
from kxfast.threads import shared

Array = NDArray[Any]
MOMENT = 2e7  # operations in a piece: Ctrl-C waits for the pieces that have begun


def dealt(function: Callable[[Array], Array], stack: Array) -> Array:
    """Return `function` of a stack (N, m, n), in pieces that threads share; nothing more is begun after Ctrl-C."""
    each = float(max(stack.shape[1:])) * min(stack.shape[1:]) ** 2
    threads = core.get_num_threads()
    pieces = np.array_split(stack, max(1, min(len(stack), max(threads, int(len(stack) * 4 * each / MOMENT)))))
    with _one_thread_each():
        return np.concatenate(shared(function, pieces, threads))


def _one_thread_each() -> AbstractContextManager[Any]:
    """Keep LAPACK from starting threads of its own under ours, where threadpoolctl is there to tell it."""
    try:
        limits: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    except ImportError:
        return nullcontext()
    return limits


@cache
def _libraries() -> Any:
    """Return what controls the libraries that are loaded; to look for them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
