"""Formulas of SBML as the text of rate expressions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

from kxfast.gillespie.expressions import CLOCK


class Formulas:
    """Translates formulas; `name` says what a name in them stands for, `definitions` are those of functions."""

    def __init__(self, libsbml: Any, name: Callable[[str], str], definitions: dict[str, Any]) -> None:
        self.libsbml, self.name, self.definitions = libsbml, name, definitions
        self.operators = {
            libsbml.AST_PLUS: "+", libsbml.AST_TIMES: "*", libsbml.AST_MINUS: "-", libsbml.AST_DIVIDE: "/",
            libsbml.AST_POWER: "**", libsbml.AST_FUNCTION_POWER: "**", libsbml.AST_LOGICAL_AND: "and",
            libsbml.AST_LOGICAL_OR: "or", libsbml.AST_RELATIONAL_LT: "<", libsbml.AST_RELATIONAL_LEQ: "<=",
            libsbml.AST_RELATIONAL_GT: ">", libsbml.AST_RELATIONAL_GEQ: ">=", libsbml.AST_RELATIONAL_EQ: "==",
        }  # fmt: skip
        self.functions = {
            libsbml.AST_FUNCTION_EXP: "exp", libsbml.AST_FUNCTION_LN: "log", libsbml.AST_FUNCTION_ABS: "abs",
            libsbml.AST_FUNCTION_MIN: "min", libsbml.AST_FUNCTION_MAX: "max",
            libsbml.AST_FUNCTION_SIN: "sin", libsbml.AST_FUNCTION_COS: "cos",
        }  # fmt: skip
        self.constants = {
            libsbml.AST_NAME_TIME: CLOCK, libsbml.AST_NAME_AVOGADRO: "(6.02214179e23)",
            libsbml.AST_CONSTANT_TRUE: "(1.0)", libsbml.AST_CONSTANT_FALSE: "(0.0)",
            libsbml.AST_CONSTANT_PI: f"({math.pi!r})", libsbml.AST_CONSTANT_E: f"({math.e!r})",
        }  # fmt: skip

    def text(self, node: Any, local: dict[str, str], owner: str) -> str:
        """Return a formula as a rate expression; `local` names come before others, errors name its `owner`."""
        sbml, kind = self.libsbml, node.getType()
        if kind in self.constants:
            return self.constants[kind]
        if node.isNumber():
            return f"({float(node.getValue())!r})"
        if kind == sbml.AST_NAME:
            return local.get(node.getName()) or self.name(node.getName())
        parts = [self.text(node.getChild(i), local, owner) for i in range(node.getNumChildren())]
        if kind == sbml.AST_FUNCTION and node.getName() in self.definitions:
            return self._called(self.definitions[node.getName()], parts, owner)
        found = self._applied(kind, parts)
        if found is None:
            raise ValueError(f"{owner} has {sbml.formulaToL3String(node)!r} in its formula, which is not supported")
        return found

    def _called(self, definition: Any, parts: list[str], owner: str) -> str:
        names = [definition.getArgument(i).getName() for i in range(definition.getNumArguments())]
        return f"({self.text(definition.getBody(), dict(zip(names, parts, strict=True)), owner)})"

    def _applied(self, kind: int, parts: list[str]) -> str | None:
        sbml = self.libsbml
        if kind in self.operators and parts:
            return (
                f"({f' {self.operators[kind]} '.join(parts)})"
                if len(parts) > 1 or kind != sbml.AST_MINUS
                else (f"(-{parts[0]})")
            )
        if kind in self.functions and parts:
            function = self.functions[kind]
            return reduce(lambda a, b: f"{function}({a}, {b})", parts) if len(parts) > 1 else f"{function}({parts[0]})"
        if kind == sbml.AST_FUNCTION_PIECEWISE and len(parts) % 2:  # value, condition, ..., otherwise
            return f"({''.join(f'{value} if {condition} else ' for value, condition in batched(parts))}{parts[-1]})"
        if (kind, *parts[:-1]) == (sbml.AST_FUNCTION_ROOT, "(2.0)"):
            return f"sqrt({parts[1]})"
        templates = {
            (sbml.AST_FUNCTION_ROOT, 1): "sqrt({})", (sbml.AST_FUNCTION_ROOT, 2): "({1} ** (1 / {0}))",
            (sbml.AST_FUNCTION_LOG, 1): "(log({}) / log(10))", (sbml.AST_FUNCTION_LOG, 2): "(log({1}) / log({0}))",
            (sbml.AST_LOGICAL_NOT, 1): "(not {})", (sbml.AST_RELATIONAL_NEQ, 2): "(not {} == {})",
        }  # fmt: skip
        template = templates.get((kind, len(parts)))
        return template.format(*parts) if template else None


def batched(parts: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of a list, without what is left over."""
    return list(zip(parts[::2], parts[1::2], strict=False))
