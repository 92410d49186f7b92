"""LAPACK on stacks of matrices, some for each thread."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast._native import core

Array = NDArray[Any]
MOMENT = 2e7  # operations in a piece: Ctrl-C waits for the pieces that have begun


def dealt(function: Callable[[Array], Array], stack: Array) -> Array:
    """Return `function` of a stack (N, m, n), in pieces that threads share; nothing more is begun after Ctrl-C.

    An executor will not do: Ctrl-C in the midst of its conditions, which are written in Python, can leave one held
    forever. Queues are not: a wait for one is over at once, and whole.
    """
    each = float(max(stack.shape[1:])) * min(stack.shape[1:]) ** 2
    threads = core.get_num_threads()
    pieces = np.array_split(stack, max(1, min(len(stack), max(threads, int(len(stack) * 4 * each / MOMENT)))))
    given: SimpleQueue[int] = SimpleQueue()
    found: SimpleQueue[tuple[int, Array | BaseException | None]] = SimpleQueue()
    for i in range(len(pieces)):
        given.put(i)

    def work() -> None:
        with suppress(Empty):
            while True:
                i = given.get_nowait()
                try:
                    found.put((i, function(pieces[i])))
                except BaseException as error:  # whoever waits raises it
                    found.put((i, error))
                    _empty(given)
        found.put((-1, None))

    results: dict[int, Array] = {}
    begun = 0
    with _one_thread_each():
        try:
            for _ in range(min(threads, len(pieces))):
                start_new_thread(work, ())
                begun += 1
            while len(results) < len(pieces):
                i, one = found.get()
                if isinstance(one, BaseException):
                    raise one
                if one is None:
                    begun -= 1
                else:
                    results[i] = one
        finally:
            _empty(given)
            while begun:
                begun -= found.get()[1] is None
    return np.concatenate([results[i] for i in range(len(pieces))])


def _empty(queue: SimpleQueue[int]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


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
