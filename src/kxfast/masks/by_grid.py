"""Values given by token, row or cell, brought to the grid that a mask is asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.masks.mask import Grid, Integers

Array = NDArray[Any]


def fits(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Whether a shape broadcasts to the full one."""
    return all(a in (1, b) for a, b in zip(shape, full, strict=True))


def rows(name: str, values: Integers, grid: Grid) -> Integers:
    """Return one value per batch row, broadcasting over the rest."""
    if len(values) not in (1, grid.batch):
        raise ValueError(f"{name} must have shape ({grid.batch},) to match the batch; got {values.shape}")
    return values[:, None, None, None]


def tokens(name: str, values: Array, grid: Grid) -> Array:
    """Return values of the keys, (1 or B, Lk)."""
    if values.shape[-1] != grid.k_len or (values.ndim == 2 and len(values) not in (1, grid.batch)):
        wanted = f"({grid.k_len},) or ({grid.batch}, {grid.k_len})"
        raise ValueError(f"{name} must have shape {wanted} to match the keys; got {values.shape}")
    return values.reshape(-1, grid.k_len) if values.ndim == 1 else values


def keys(name: str, values: Array, grid: Grid) -> Array:
    """Return values of the keys, to be compared with those of the queries."""
    return tokens(name, values, grid)[:, None, None, :]


def queries(name: str, values: Array, grid: Grid) -> Array:
    """Return the values of the queries, which are the last q_len of the tokens."""
    if grid.q_len > grid.k_len:
        raise ValueError(f"q_len must be at most k_len = {grid.k_len} for a mask of {name}; got {grid.q_len}")
    return tokens(name, values, grid)[:, None, grid.k_len - grid.q_len :, None]


def queries_of(name: str, values: Array, grid: Grid) -> Array:
    """Return the values of all tokens (B or 1, Lk), of which the queries are the last."""
    queries(name, values, grid)
    return tokens(name, values, grid)


def last_alike(values: Array, grid: Grid) -> tuple[Array, Array]:
    """Return for each query where the run of equal values that it stands in begins and ends."""
    length = values.shape[1]
    place = np.arange(length)
    fresh = np.ones(values.shape, np.bool_)
    fresh[:, 1:] = values[:, 1:] != values[:, :-1]
    start = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    last = np.ones(values.shape, np.bool_)
    last[:, :-1] = fresh[:, 1:]
    stop = np.minimum.accumulate(np.where(last, place + 1, length)[:, ::-1], axis=1)[:, ::-1]
    rows = slice(length - grid.q_len, None)
    return start[:, None, rows, None], stop[:, None, rows, None]


def kept(array: Array) -> Array:
    """Return a copy that cannot be written."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy
