"""Work in Python shared by threads: in order, with errors raised, and Ctrl-C heard at any moment."""

from __future__ import annotations

from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def shared(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int,
    meanwhile: Callable[[], None] | None = None,
    interrupted: Callable[[], None] | None = None,
) -> list[Result]:
    """Return `function` of each item, computed by threads; nothing more is begun after an error or Ctrl-C.

    Items are begun in their order, and of several errors the first item's is raised. `meanwhile` is called on the
    caller's thread every 0.05 s or so and at the end, `interrupted` once when the caller no longer wants what runs.

    An executor will not do: Ctrl-C in the midst of its conditions, which are written in Python, can leave one held
    forever. Queues and locks are not: a wait for one is over at once, and whole.
    """
    given: SimpleQueue[int] = SimpleQueue()
    found: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    for i in range(len(items)):
        given.put(i)

    def work(over: LockType) -> None:
        with suppress(Empty):
            while True:
                i = given.get_nowait()
                try:
                    found.put((i, function(items[i]), None))
                except BaseException as error:  # whoever waits raises it
                    found.put((i, None, error))
                    _empty(given)
        found.put((-1, None, None))
        over.release()

    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    running: list[LockType] = []
    try:
        for _ in range(min(threads, len(items))):
            over = allocate_lock()
            over.acquire()
            start_new_thread(work, (over,))
            running.append(over)
        left = len(running)
        while left:
            with suppress(Empty):
                i, result, error = found.get(timeout=0.05 if meanwhile else None)
                if error is not None:
                    errors[i] = error
                elif i >= 0:
                    results[i] = result
                else:
                    left -= 1
            if meanwhile:
                meanwhile()
    except BaseException:
        if interrupted:
            interrupted()
        raise
    finally:
        _empty(given)
        for over in running:
            over.acquire()
    if errors:
        raise errors[min(errors)]
    return [results[i] for i in range(len(items))]


def _empty(queue: SimpleQueue[int]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()
