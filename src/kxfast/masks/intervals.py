"""Allowed keys as up to two intervals for each query: what most masks are, in memory that grows with L alone.

An array (B or 1, Lq or 1, n, 2) of int32 holds start <= j < stop; a query without keys has empty intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Intervals = NDArray[np.int32]
MOST = 2
_BEYOND = np.iinfo(np.int32).max  # start and stop of what is empty, so that it is sorted last


def interval(start: Any, stop: Any, k_len: int) -> Intervals:
    """Return one interval for each row, within the keys; `start` and `stop` broadcast to (B, 1, Lq, 1)."""
    a, b = (np.clip(each, 0, k_len).astype(np.int32) for each in np.broadcast_arrays(start, stop))
    return np.stack([a, b], -1)[:, 0]


def intersection(first: Intervals, second: Intervals) -> Intervals | None:
    """Return what is in both, or None if it is more than two intervals."""
    a, b = first[:, :, :, None], second[:, :, None]
    both = np.stack([np.maximum(a[..., 0], b[..., 0]), np.minimum(a[..., 1], b[..., 1])], -1)
    return _tidy(both.reshape(*both.shape[:2], first.shape[2] * second.shape[2], 2))


def union(first: Intervals, second: Intervals) -> Intervals | None:
    """Return what is in either, or None if it is more than two intervals."""
    rows = np.broadcast_shapes(first.shape[:2], second.shape[:2])
    return _tidy(np.concatenate([np.broadcast_to(x, (*rows, *x.shape[2:])) for x in (first, second)], 2))


def complement(given: Intervals, k_len: int) -> Intervals | None:
    """Return the keys that are not in `given`, or None if that is more than two intervals."""
    tidy = _tidy(given)
    assert tidy is not None  # no more intervals than before
    tidy = np.minimum(tidy, k_len)
    edge = np.zeros((*tidy.shape[:2], 1), np.int32)
    starts = np.concatenate([edge, tidy[..., 1]], 2)
    stops = np.concatenate([tidy[..., 0], edge + np.int32(k_len)], 2)
    return _tidy(np.stack([starts, stops], -1))


def of_runs(real: NDArray[np.bool_]) -> Intervals | None:
    """Return the runs of True of (B, Lk) for all queries alike, or None if a row has more than two."""
    batch, k_len = real.shape
    steps = np.diff(real.astype(np.int8), axis=1, prepend=np.int8(0), append=np.int8(0))
    counts = (steps == 1).sum(1)
    if counts.max(initial=0) > MOST:
        return None
    result = np.full((batch, 1, MOST, 2), k_len, np.int32)
    for side, step in enumerate((1, -1)):
        row, key = np.nonzero(steps == step)
        result[row, 0, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts), side] = key
    return result


def of_rows(allowed: NDArray[np.bool_]) -> Intervals | None:
    """Return the runs of True of (B, Lq, Lk), or None if a row has more than two."""
    batch, q_len, k_len = allowed.shape
    every = allowed.reshape(batch * q_len, k_len)
    for some in every[:: max(1, len(every) // 16)], every:  # a few rows tell most patterns that are no intervals
        changes = np.count_nonzero(some[:, 1:] != some[:, :-1], axis=1)
        if (changes > 2 * MOST).any():
            return None
    found = of_runs(every)
    return None if found is None else found.reshape(batch, q_len, MOST, 2)


def _tidy(x: Intervals) -> Intervals | None:
    """Sort intervals, join what touches and drop what is empty; None if more than two are left in a row."""
    x = np.where((x[..., :1] < x[..., 1:]), x, _BEYOND)
    count = x.shape[2]
    if count > 1:
        x = np.take_along_axis(x, np.argsort(x[..., :1], axis=2, kind="stable"), 2)
        for i in range(1, count):
            joined = (x[:, :, i, 0] <= x[:, :, i - 1, 1]) & (x[:, :, i, 0] < _BEYOND)
            x[:, :, i, 0] = np.where(joined, x[:, :, i - 1, 0], x[:, :, i, 0])
            x[:, :, i, 1] = np.where(joined, np.maximum(x[:, :, i - 1, 1], x[:, :, i, 1]), x[:, :, i, 1])
            x[:, :, i - 1] = np.where(joined[..., None], _BEYOND, x[:, :, i - 1])
        x = np.take_along_axis(x, np.argsort(x[..., :1], axis=2, kind="stable"), 2)
    if count > MOST and (x[:, :, MOST, 0] < _BEYOND).any():
        return None
    return x[:, :, :MOST]


def canonical(x: Intervals, k_len: int) -> Intervals:
    """Return (B or 1, 1, Lq or 1, 4): start and stop of two intervals, those of an empty one at the last key."""
    tidy = _tidy(x)
    assert tidy is not None  # no more intervals than before
    result = np.full((*x.shape[:2], MOST, 2), k_len, np.int32)
    result[:, :, : tidy.shape[2]] = np.minimum(tidy, k_len)
    return np.ascontiguousarray(result.reshape(x.shape[0], 1, x.shape[1], 2 * MOST))
