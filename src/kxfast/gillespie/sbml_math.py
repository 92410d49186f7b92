"""Formulas of SBML as the text of rate expressions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any


class Formulas:
    """Translates formulas; `name` says what a name in them stands for."""

    def __init__(self, libsbml: Any, name: Callable[[str], str]) -> None:
        self.libsbml, self.name = libsbml, name
        self.operators = {
            libsbml.AST_PLUS: "+", libsbml.AST_TIMES: "*", libsbml.AST_MINUS: "-", libsbml.AST_DIVIDE: "/",
            libsbml.AST_POWER: "**", libsbml.AST_FUNCTION_POWER: "**",
        }  # fmt: skip
        self.functions = {
            libsbml.AST_FUNCTION_EXP: "exp", libsbml.AST_FUNCTION_LN: "log", libsbml.AST_FUNCTION_ABS: "abs",
            libsbml.AST_FUNCTION_MIN: "min", libsbml.AST_FUNCTION_MAX: "max",
        }  # fmt: skip

    def text(self, node: Any, local: dict[str, float], owner: str) -> str:
        """Return a formula as a rate expression; `local` names come before others, errors name its `owner`."""
        sbml, kind = self.libsbml, node.getType()
        parts = [self.text(node.getChild(i), local, owner) for i in range(node.getNumChildren())]
        if node.isNumber():
            return f"({float(node.getValue())!r})"
        if kind == sbml.AST_NAME:
            return f"({local[node.getName()]!r})" if node.getName() in local else self.name(node.getName())
        found = self._applied(kind, parts)
        if found is None:
            raise ValueError(f"{owner} has {sbml.formulaToL3String(node)!r} in its law, which is not supported")
        return found

    def _applied(self, kind: int, parts: list[str]) -> str | None:
        if kind == self.libsbml.AST_MINUS and len(parts) == 1:
            return f"(-{parts[0]})"
        if kind in self.operators and parts:
            return f"({f' {self.operators[kind]} '.join(parts)})"
        if kind == self.libsbml.AST_FUNCTION_ROOT:
            return f"sqrt({parts[-1]})" if len(parts) == 1 or parts[0] == "(2.0)" else f"{parts[1]} ** (1 / {parts[0]})"
        if kind not in self.functions or not parts:
            return None
        function = self.functions[kind]
        return reduce(lambda a, b: f"{function}({a}, {b})", parts) if len(parts) > 1 else f"{function}({parts[0]})"
