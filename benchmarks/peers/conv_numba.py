"""Dilated gated convolutions as one writes them in Numba: loops over rows, sums of four rows in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

ROWS = 4  # that share what is read of the weights


@numba.njit(parallel=True, fastmath=True, cache=False)  # type: ignore[untyped-decorator]  # Numba has no types
def layer(x: Any, weight: Any, bias: Any, dilation: int, counts: Any, y: Any) -> None:
    """Write y (B, L, C) for x (B, L, C), weight (K, C, 2C), and counts (B, L): which positions count."""
    batch, length, channels = x.shape
    taps, blocks = weight.shape[0], (length + ROWS - 1) // ROWS
    reach = (taps - 1) * dilation // 2
    for task in numba.prange(batch * blocks):
        b, begin = task // blocks, task % blocks * ROWS
        sums = np.empty((ROWS, 2 * channels), np.float32)
        for i in range(ROWS):
            sums[i] = bias
        for tap in range(taps):
            shift = tap * dilation - reach
            for c in range(channels):
                row = weight[tap, c]
                for i in range(ROWS):
                    t = begin + i + shift
                    if 0 <= t < length and counts[b, t]:
                        value = x[b, t, c]
                        for j in range(2 * channels):
                            sums[i, j] += value * row[j]
        for i in range(min(ROWS, length - begin)):
            t = begin + i
            for j in range(channels):
                old = x[b, t, j] if counts[b, t] else np.float32(0)
                opens = np.float32(1) / (np.float32(1) + np.exp(-sums[i, channels + j]))
                y[b, t, j] = old + opens * (sums[i, j] - old) if counts[b, t] else np.float32(0)


def forward(problem: Any, threads: int) -> Callable[[], Any]:
    """Return a call of all layers, compiled."""
    counts = np.ones(problem.x.shape[:2], bool) if problem.mask is None else problem.mask.astype(bool)
    buffers = [np.empty_like(problem.x) for _ in range(2)]

    def run() -> Any:
        numba.set_num_threads(threads)
        x = problem.x
        for i, (weight, bias, r) in enumerate(zip(problem.weights, problem.biases, problem.dilations, strict=True)):
            layer(x, weight, bias, r, counts, buffers[i % 2])
            x = buffers[i % 2]
        return x

    run()
    return run
