"""Times on a GPU: after a warm-up, by events around each of many repetitions.

Before each of them, outside its events, more memory is written than a GPU's cache holds: arrays come from where they
are in a program that does other things too. All is done in two passes, whose medians are told.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from benchmarks.gpu.plan import Row
from kxfast.backends.cuda import load

REPETITIONS, WARM_UP, PASSES = 30, 3, 2
CLEARED = 2**28  # bytes


def repeated(call: Callable[[], Any], *, stream: int | None = None, repetitions: int = REPETITIONS) -> Row:
    """Return the median of a call in seconds and its spread, between events on CuPy's stream or another."""
    cp = load.cupy()
    passes = []
    with cp.cuda.ExternalStream(stream) if stream is not None else nullcontext():
        cleared = cp.empty(CLEARED, np.uint8)
        for _ in range(WARM_UP):
            call()
        for _ in range(PASSES):
            pairs = [(cp.cuda.Event(), cp.cuda.Event()) for _ in range(repetitions)]
            for begin, end in pairs:
                cleared.fill(0)
                begin.record()
                call()
                end.record()
            pairs[-1][1].synchronize()
            passes.append([cp.cuda.get_elapsed_time(*pair) / 1e3 for pair in pairs])
    return {**summary([each for times in passes for each in times]), "passes": [statistics.median(x) for x in passes]}


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
