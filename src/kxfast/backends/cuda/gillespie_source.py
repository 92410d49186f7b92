"""The text of a reaction network in CUDA C++, every index written out; its numbers are arguments of the kernel.

Networks that differ in their rates alone share a text, and what was compiled from it.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from kxfast.backends.cuda.gillespie_tables import MOST_SHARED, shared_bytes
from kxfast.errors import BackendError

MOST_REACTIONS, MOST_SPECIES = 32, 32  # registers hold no more
_NUMBER, _SPECIES, _POWER, _TIME, _IF, _CALL = 0, 1, 6, 14, 23, 256
_LARGEST_HALF_POWER = 32
_UNARY = {
    7: "-{0}", 8: "exp({0})", 9: "log({0})", 10: "sqrt({0})", 11: "fabs({0})", 20: "{0} == 0 ? 1.0 : 0.0",
    21: "sin({0})", 22: "cos({0})",
}  # fmt: skip
_BINARY = {
    2: "{0} + {1}", 3: "{0} - {1}", 4: "{0} * {1}", 5: "{0} / {1}", 6: "pow({0}, {1})",
    12: "{1} < {0} ? {1} : {0}", 13: "{1} > {0} ? {1} : {0}", 15: "{0} < {1} ? 1.0 : 0.0",
    16: "{0} <= {1} ? 1.0 : 0.0", 17: "{0} == {1} ? 1.0 : 0.0", 18: "{0} != 0 && {1} != 0 ? 1.0 : 0.0",
    19: "{0} != 0 || {1} != 0 ? 1.0 : 0.0",
}  # fmt: skip


class Source(NamedTuple):
    """A network's text, and the numbers that go with it."""

    text: str
    numbers: np.ndarray[Any, np.dtype[np.float64]]


def unserved(network: tuple[Any, ...]) -> str | None:
    """Say in a phrase what the backend cannot do in a network."""
    initial, _, _, rates, _, ops, _, control, functions = network
    for what, there in (
        ("rates that are Python functions", functions),
        ("rates that depend on the time", np.any(ops == _TIME)),
        ("events and until", len(control[1]) > 1 or len(control[0])),
        ("networks without reactions", not len(rates)),
    ):
        if there:
            return f"{what} run on the CPU"
    if is_large(network) and len(ops):
        most = f"{MOST_REACTIONS} reactions of {MOST_SPECIES} species"
        return f"rate expressions run there in at most {most}; got {len(rates)} and {len(initial)}"
    if is_large(network) and shared_bytes(len(initial), len(rates)) > MOST_SHARED:
        return f"reactions and species must be about {MOST_SHARED // 8} at most; got {len(rates)} and {len(initial)}"
    return None


def is_large(network: tuple[Any, ...]) -> bool:
    """Return whether a trajectory is for a warp."""
    return len(network[3]) > MOST_REACTIONS or len(network[0]) > MOST_SPECIES


def check(network: tuple[Any, ...], *, averages: bool) -> None:
    """Raise BackendError if the network cannot be served."""
    why = unserved(network)
    if averages and is_large(network):
        why = f"averages of networks of more than {MOST_REACTIONS} reactions or {MOST_SPECIES} species run on the CPU"
    if why:
        raise BackendError(f"backend 'cuda' cannot serve the network: {why}")


def generate(network: tuple[Any, ...], *, moments: bool, averages: bool) -> Source:
    """Return the source of a network for one kind of output."""
    initial, reactants, _, rates, begin, ops, values, _, _ = network
    numbers: list[float] = []
    lines: list[str] = []
    taken = {int(r): list(rows) for r, rows in groupby(zip(*reactants, strict=True), key=lambda row: int(row[0]))}
    for r, rate in enumerate(rates.tolist()):
        program = slice(int(begin[r]), int(begin[r + 1]))
        if program.start < program.stop:
            lines += _expression(r, ops[program].tolist(), values[program].tolist(), numbers)
        else:
            lines.append(_mass_action(r, rate, taken.get(r, []), numbers))
    text = _TEXT.format(
        moments=int(moments), averages=int(averages), species=len(initial), reactions=len(rates),
        checked="true" if len(ops) else "false",
        propensities="\n".join(f"    {line}" for line in lines), changes="\n".join(_changes(network)),
    )  # fmt: skip
    return Source(text, np.array([*numbers, 0.0]))


_TEXT = """\
#define KX_MOMENTS {moments}
#define KX_AVERAGES {averages}
struct Network {{
  static constexpr int kSpecies = {species}, kReactions = {reactions};
  static constexpr bool kChecked = {checked};
  __device__ static __forceinline__ void propensities(const double (&x)[kSpecies], const double* __restrict__ c,
                                                      double (&a)[kReactions]) {{
{propensities}
  }}
  __device__ static __forceinline__ void fire(double (&x)[kSpecies], int fired) {{
{changes}
  }}
}};
#include "gillespie.cuh"
"""


def _number(value: float, numbers: list[float]) -> str:
    numbers.append(value)
    return f"c[{len(numbers) - 1}]"


def _mass_action(r: int, rate: float, taken: list[Any], numbers: list[float]) -> str:
    """Write c x (y - 1) ..., the products of csrc/gillespie/network.cpp; beyond third order with their divisors."""
    factors = [(int(s), k) for _, s, count in taken for k in range(int(count))]
    if len(factors) <= 3:
        for _, k in factors:
            rate /= k + 1
    parts = [_number(rate, numbers)]
    for s, k in factors:
        less = f"(x[{s}] - {k}.0)" if k else f"x[{s}]"
        parts.append(f"({less} / {k + 1}.0)" if len(factors) > 3 and k else less)
    return f"a[{r}] = {' * '.join(parts)};"


def _expression(r: int, ops: list[int], values: list[float], numbers: list[float]) -> list[str]:
    """Write the steps of a postfix program as values with names, in their order."""
    lines, stack = [], []
    for i, (op, value) in enumerate(zip(ops, values, strict=True)):
        if op == _NUMBER:
            power = value if i + 1 < len(ops) and ops[i + 1] == _POWER and _is_half_power(value) else None
            stack.append(_number(value, numbers) if power is None else repr(power))
            continue
        if op == _SPECIES:
            stack.append(f"x[{int(value)}]")
            continue
        count = 3 if op == _IF else 2 if op in _BINARY else 1
        arguments = stack[-count:]
        del stack[-count:]
        name = f"v{r}_{i}"
        if op == _POWER and ops[i - 1] == _NUMBER and _is_half_power(values[i - 1]):
            lines += _half_power(name, arguments[0], values[i - 1])
        else:
            form = "{0} != 0 ? {1} : {2}" if op == _IF else _BINARY.get(op) or _UNARY[op]
            lines.append(f"const double {name} = {form.format(*arguments)};")
        stack.append(name)
    return [*lines, f"a[{r}] = {stack[0]};"]


def _is_half_power(power: float) -> bool:
    return power != 0 and 2 * power == int(2 * power) and abs(power) <= _LARGEST_HALF_POWER


def _half_power(name: str, base: str, power: float) -> list[str]:
    """Write a power that is half of a whole number as products and a root, as csrc/gillespie/simd/expression.hpp."""
    twice = int(2 * abs(power))
    result = f"sqrt({base})" if twice & 1 else ""
    lines, square, twice = [], base, twice >> 1
    i = 0
    while twice:
        if twice & 1:
            if result:
                lines.append(f"const double {name}p{i} = {result} * {square};")
                result = f"{name}p{i}"
            else:
                result = square
        twice >>= 1
        if twice:
            lines.append(f"const double {name}s{i} = {square} * {square};")
            square, i = f"{name}s{i}", i + 1
    return [*lines, f"const double {name} = {f'1 / ({result})' if power < 0 else result};"]


def _changes(network: tuple[Any, ...]) -> list[str]:
    by: dict[tuple[int, int], int] = {}
    for sign, side in (-1, network[1]), (1, network[2]):
        for r, s, count in zip(*side, strict=True):
            by[int(r), int(s)] = by.get((int(r), int(s)), 0) + sign * int(count)
    lines = []
    for r in range(len(network[3])):
        steps = [f"x[{s}] += {change}.0;" for (each, s), change in sorted(by.items()) if each == r and change]
        if steps:
            lines.append(f"    if (fired == {r}) {{ {' '.join(steps)} }}")
    return lines
