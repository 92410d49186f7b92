"""Python functions as rates: their arguments are named after species and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from kxfast.gillespie.expressions import CALL, NUMBER, SPECIES, Program, Step

_MOST = 30  # arguments lie on the stack of an expression


def call_program(
    function: Callable[..., Any], name: str, species: Mapping[str, int], parameters: Mapping[str, float]
) -> Program:
    """Return the program that calls a function with the counts and parameters that its arguments name."""
    try:
        arguments = list(signature(function).parameters.values())
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a Python function; got {function!r}") from None
    if not 1 <= len(arguments) <= _MOST:
        raise ValueError(f"{name} must be a function of 1 to {_MOST} arguments; got {len(arguments)}")
    steps = []
    for each in arguments:
        if each.kind not in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
            raise ValueError(f"{name} must be a function of plain arguments; got {each}")
        if each.name in species:
            steps.append(Step(SPECIES, float(species[each.name])))
        elif each.name in parameters:
            steps.append(Step(NUMBER, parameters[each.name]))
        else:
            also = "; a rate that depends on the time must be an expression, which has bounds" * (each.name == "t")
            raise ValueError(f"{name} must have arguments named after species and parameters; got {each.name!r}{also}")
    return (*steps, Step(CALL + 256 * len(steps)))


def numbered(program: Program, number: int) -> Program:
    """Return the program with the number of its function in the network."""
    return (*program[:-1], Step(program[-1].op, float(number)))
