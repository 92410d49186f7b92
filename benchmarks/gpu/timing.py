"""Times on a GPU: after a warm-up, by events around each of many repetitions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from benchmarks.gpu.plan import Row
from kxfast.backends.cuda import load

REPETITIONS, WARM_UP = 30, 3


def repeated(call: Callable[[], Any], *, stream: int | None = None, repetitions: int = REPETITIONS) -> Row:
    """Return the median of a call in seconds and its spread, between events on CuPy's stream or another."""
    cp = load.cupy()
    with cp.cuda.ExternalStream(stream) if stream is not None else nullcontext():
        for _ in range(WARM_UP):
            call()
        pairs = [(cp.cuda.Event(), cp.cuda.Event()) for _ in range(repetitions)]
        for begin, end in pairs:
            begin.record()
            call()
            end.record()
        pairs[-1][1].synchronize()
        return summary([cp.cuda.get_elapsed_time(*pair) / 1e3 for pair in pairs])


def on_the_clock(call: Callable[[], Any], repetitions: int = 5) -> Row:
    """Return the same of a call that waits for its result, by the clock on the wall."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return summary(times)


def summary(times: list[float]) -> Row:
    """Return median, tenth and ninetieth percentile."""
    times = sorted(times)
    last = len(times) - 1
    return {"seconds": statistics.median(times), "p10": times[round(0.1 * last)], "p90": times[round(0.9 * last)]}
