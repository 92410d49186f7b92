"""Between which numbers an expression lies while the time runs from t0 to t1 and nothing else changes.

Interval arithmetic; an infinite end says that nothing is known. Ends are made wider than rounding could move a value.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from kxfast.backends.reference.gillespie_expressions import Array, evaluate

_SPECIES, _TIME, _IF = 1, 14, 23
_MONOTONE = (2, 3, 4, 8, 9, 10, 12, 13)  # + - * exp log sqrt min max: extremes are at corners
_OPERANDS = dict.fromkeys((7, 8, 9, 10, 11, 20, 21, 22), 1) | {_IF: 3}
Range = tuple[float, float]
UNKNOWN = (-np.inf, np.inf)


@np.errstate(all="ignore")
def bounds(ops: Array, numbers: Array, state: Array, t0: float, t1: float) -> Range:
    stack: list[Range] = []
    for op, number in zip(ops.tolist(), numbers.tolist(), strict=True):
        if op == _TIME:
            stack.append((t0, t1))
        elif op in (0, _SPECIES):
            value = float(state[int(number)]) if op == _SPECIES else number
            stack.append((value, value))
        else:
            count = _OPERANDS.get(op, 2)
            taken = [stack.pop() for _ in range(count)][::-1]
            low, high = _applied(op, taken)
            stack.append((low, high) if low <= high else UNKNOWN)
    return stack[0]


def _applied(op: int, taken: list[Range]) -> Range:
    if all(low == high for low, high in taken):
        return _corners(op, taken, 0.0)
    if op in (7, 11, 21, 22):
        return _unary(op, *taken[0])
    if op in (15, 16, 17, 18, 19, 20):
        return _truth(op, taken)
    if op == _IF:
        chosen = [taken[1]] * _may(taken[0], True) + [taken[2]] * _may(taken[0], False)
        return min(low for low, _ in chosen), max(high for _, high in chosen)
    if op == 6 and taken[1][0] == taken[1][1] and taken[1][0] in range(1, 1000):  # whole powers are known below 0 too
        low, high = _corners(op, taken, 1e-12)
        return (0.0 if taken[0][0] < 0 < taken[0][1] and taken[1][0] % 2 == 0 else low), high
    known = (
        op in _MONOTONE
        or (op == 5 and not taken[1][0] <= 0 <= taken[1][1])
        or (op == 6 and (taken[0][0] > 0 or (taken[0][0] == 0 and taken[1][0] > 0)))
    )
    return _corners(op, taken, 1e-12) if known else UNKNOWN


def _unary(op: int, low: float, high: float) -> Range:
    if op == 7:
        return -high, -low
    if op == 11:
        least, most = sorted((abs(low), abs(high)))
        return (0.0 if low < 0 < high else least), most
    return _wave((low, high), 0.0 if op == 21 else np.pi / 2)


def _corners(op: int, taken: list[Range], margin: float) -> Range:
    program = np.array([0] * len(taken) + [op])
    values = [float(evaluate(program, np.array([*corner, 0.0]), ())) for corner in product(*taken)]
    if np.isnan(values).any():
        return UNKNOWN
    return min(values) - margin * abs(min(values)), max(values) + margin * abs(max(values))


def _wave(x: Range, shift: float) -> Range:
    phase = (np.array(x) + shift) / np.pi - 0.5  # sin has its extremes where this is whole
    ends = np.sin(np.array(x) + shift)
    whole = np.arange(np.ceil(phase[0] - 1e-9), phase[1] + 1e-9) if phase[1] - phase[0] < 2 else np.arange(2)
    values = [*ends, *(1.0 if k % 2 == 0 else -1.0 for k in whole)]
    return max(-1.0, min(values) - 1e-9), min(1.0, max(values) + 1e-9)


def _may(x: Range, value: bool) -> bool:
    return x != (0.0, 0.0) if value else x[0] <= 0 <= x[1]


def _truth(op: int, taken: list[Range]) -> Range:
    """Whether a condition may fail, and whether it may be met, as 1 - (may fail) and (may be met)."""
    a, b = taken[0], taken[-1]
    surely, surely_not = {
        15: (a[1] < b[0], a[0] >= b[1]),
        16: (a[1] <= b[0], a[0] > b[1]),
        17: (a[0] == a[1] == b[0] == b[1], a[1] < b[0] or b[1] < a[0]),
        18: (not (_may(a, False) or _may(b, False)), not (_may(a, True) and _may(b, True))),
        19: (not (_may(a, False) and _may(b, False)), not (_may(a, True) or _may(b, True))),
        20: (not _may(a, True), not _may(a, False)),
    }[op]
    return float(surely), float(not surely_not)


def is_timed(network: tuple[Any, ...]) -> Array:
    """Which reactions have a rate that depends on the time, (R,)."""
    begin, ops = network[4], network[5]
    return np.array([np.any(ops[first:last] == _TIME) for first, last in zip(begin[:-1], begin[1:], strict=True)], bool)
