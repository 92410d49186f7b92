"""The notation of reactions, ``"2 A + B -> C @ rate"``, and the checks of names, counts and rates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.gillespie.expressions import NUMBER, Program, compile_expression
from kxfast.gillespie.functions import call_program

_NAME = re.compile(r"[^\W\d]\w*")
_TERM = re.compile(r"(\d{1,12})?\s*\*?\s*([^\W\d]\w*)")
_MAX_COUNT = 2**52


class Reaction(NamedTuple):
    """One reaction: coefficients of its sides, its rate constant, and its propensity's program if that is not 0."""

    reactants: Mapping[str, int]
    products: Mapping[str, int]
    rate: float
    program: Program = ()
    function: Callable[..., Any] | None = None


def check_names(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return names of species; they are identifiers, each once, and at least one."""
    found = tuple(names)
    for each in found:
        if not isinstance(each, str):
            raise TypeError(f"{name} must have names of type str; got {type(each).__name__}")
        if not _NAME.fullmatch(each):
            raise ValueError(f"{name} must have names of letters, digits and _; got {each!r}")
    if len(set(found)) < len(found):
        raise ValueError(
            f"{name} must have different names; got {next(x for x in found if found.count(x) > 1)!r} twice"
        )
    if not found:
        raise ValueError(f"{name} must have at least one name; got none")
    return found


def check_counts(name: str, initial: Any, names: Sequence[str]) -> NDArray[np.int64]:
    """Return initial counts (S,)."""
    x = checks.integers(name, initial, ndim=1, low=0)
    checks.shape(name, x, (len(names),), f"({len(names)},)", f"to match {len(names)} species")
    if x.size and int(x.max()) > _MAX_COUNT:
        raise ValueError(f"{name} must be at most 2**52; got {int(x.max())}")
    return x


def check_parameters(parameters: Mapping[str, float] | None, species: Sequence[str]) -> dict[str, float]:
    """Return parameters as finite floats; none has the name of a species."""
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must be a mapping of names to numbers; got {type(parameters).__name__}")
    taken = set(species)
    for name in parameters:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"parameters must have names of letters, digits and _; got {name!r}")
        if name in taken:
            raise ValueError(f"parameters must not have a species' name; got {name!r}")
    return {name: checks.number(f"parameters[{name!r}]", value) for name, value in parameters.items()}


def parse(text: Any, name: str, species: Mapping[str, int], parameters: Mapping[str, float]) -> Reaction:
    """Return the reaction of ``"2 A + B -> C @ rate"`` or of ``("2 A + B -> C", function)``; `name` is for errors."""
    function = None
    if isinstance(text, tuple) and len(text) == 2 and isinstance(text[0], str) and callable(text[1]):
        text, function = f"{text[0]} @ 0", text[1]
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str such as 'S + E -> SE @ k'; got {type(text).__name__}")
    if "<" in text.partition("@")[0]:
        raise ValueError(f"{name} must go one way; write 'A -> B @ k1' and 'B -> A @ k2' for {text!r}")
    sides, at, rate = text.partition("@")
    left, arrow, right = sides.partition("->")
    if not at or not arrow or "->" in right or "@" in rate:
        raise ValueError(f"{name} must be like 'S + E -> SE @ k'; got {text!r}")
    reactants, products = (_side(side, name, species, text) for side in (left, right))
    if function is not None:
        program = call_program(function, f"the rate of {name}", species, parameters)
        return Reaction(reactants, products, np.nan, program, function)
    constant, program = rate_of(rate, name, species, parameters)
    return Reaction(reactants, products, constant, program)


def _side(side: str, name: str, species: Mapping[str, int], text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    if side.strip() == "0":
        return found
    for term in side.split("+"):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise ValueError(f"{name} must have sides like '2 A + B', or 0; got {text!r}")
        if match[2] not in species:
            raise ValueError(f"{name} must name species of the network; got {match[2]!r}")
        found[match[2]] = found.get(match[2], 0) + int(match[1] or 1)
    return found


def rate_of(
    rate: str, name: str, species: Mapping[str, int], parameters: Mapping[str, float], *, law: bool = False
) -> tuple[float, Program]:
    """Return a rate constant, or NaN and the propensity's program (always if `law`)."""
    program = compile_expression(rate, species, parameters, f"the rate of {name}", time=True)
    if law or len(program) > 1 or program[0].op != NUMBER:
        return np.nan, program
    return check_rate(f"the rate of {name}", program[0].value), ()


def check_rate(name: str, value: Any) -> float:
    """Return a rate constant, finite and at least 0."""
    return checks.number(name, value, low=0)


def write(names: Sequence[str], reactants: Mapping[int, int], products: Mapping[int, int], rate: float) -> str:
    """Return the reaction string of the counts of both sides."""
    sides = (
        " + ".join(names[i] if count == 1 else f"{count} {names[i]}" for i, count in side.items()) or "0"
        for side in (reactants, products)
    )
    return f"{' -> '.join(sides)} @ {'expression' if np.isnan(rate) else format(rate, 'g')}"
