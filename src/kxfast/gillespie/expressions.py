"""Rate expressions: arithmetic text becomes a checked program of postfix steps, never Python code."""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# The numbers are those of csrc/gillespie/kernels.hpp and of the reference backend.
NUMBER, SPECIES = 0, 1
_BINARY: dict[type[ast.AST], int] = {ast.Add: 2, ast.Sub: 3, ast.Mult: 4, ast.Div: 5, ast.Pow: 6}
_NEGATE = 7
_FUNCTIONS = {
    "exp": (8, 1),
    "log": (9, 1),
    "sqrt": (10, 1),
    "abs": (11, 1),
    "sin": (21, 1),
    "cos": (22, 1),
    "min": (12, 2),
    "max": (13, 2),
}
TIME, _AND, _OR, _NOT, IF, CALL = 14, 18, 19, 20, 23, 25
# Operations on two values, and whether they are exchanged first.
_COMPARISONS: dict[type[ast.AST], tuple[int, bool]] = {
    ast.Lt: (15, False), ast.LtE: (16, False), ast.Gt: (15, True), ast.GtE: (16, True), ast.Eq: (17, False),
}  # fmt: skip
_FOLD: dict[int, Callable[..., Any]] = {
    2: operator.add, 3: operator.sub, 4: operator.mul, 5: operator.truediv, 6: operator.pow, 7: operator.neg,
    8: math.exp, 9: math.log, 10: math.sqrt, 11: abs, 12: min, 13: max, 15: operator.lt, 16: operator.le,
    17: operator.eq, 18: lambda a, b: bool(a and b), 19: lambda a, b: bool(a or b), 20: operator.not_,
    21: math.sin, 22: math.cos, 23: lambda condition, yes, no: yes if condition else no,
}  # fmt: skip
_MARK = "\u00b7"  # a middle dot: part of no name of ours, but of Python's grammar of names
CLOCK = f"t{_MARK}"  # the time, also where t is the name of a species or a parameter
_OPERATORS = ("and", "or", "not", "if", "else")
_WORDS = re.compile(rf"\b(?:{'|'.join(word for word in keyword.kwlist if word not in _OPERATORS)})\b")
_MAX_DEPTH = 32
_MAX_LENGTH = 10_000


class Step(NamedTuple):
    """Push `value` (a number, or the index of a species), or apply the operation `op` to the top of the stack.

    ``CALL + 256 * n`` calls the network's function number `value` with n values.
    """

    op: int
    value: float = 0.0


Program = tuple[Step, ...]


def compile_expression(
    text: str, species: Mapping[str, int], parameters: Mapping[str, float], name: str, *, time: bool = False
) -> Program:
    """Return the program of an arithmetic expression of species, parameters and, if `time`, the time ``t``.

    Numbers, ``+ - * / **``, parentheses, ``exp log sqrt abs sin cos min max pow``, comparisons (1 or 0), ``and or
    not`` and ``a if condition else b`` are accepted; parts without a species are computed at once.
    `name` says in errors whose expression it is.
    """
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"{name} must have at most {_MAX_LENGTH} characters; got {len(text)}")
    try:
        tree = ast.parse(_WORDS.sub(rf"\g<0>{_MARK}", text.strip()), mode="eval").body  # such as a parameter lambda
        program = tuple(_Compiler(species, parameters, name, time).steps(tree))
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{name} must be an arithmetic expression; got {_short(text)}") from None
    if _depth(program) > _MAX_DEPTH:
        raise ValueError(f"{name} must need a stack of at most {_MAX_DEPTH} values; got {_depth(program)}")
    return program


class _Compiler:
    def __init__(self, species: Mapping[str, int], parameters: Mapping[str, float], name: str, time: bool) -> None:
        self.species, self.parameters, self.name, self.time = species, parameters, name, time

    def steps(self, node: ast.AST) -> list[Step]:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return [Step(NUMBER, self._float(node.value))]
        if isinstance(node, ast.Name):
            return [self._name(node.id)]
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self._apply(_BINARY[type(node.op)], node.left, node.right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self._apply(_NEGATE, node.operand) if isinstance(node.op, ast.USub) else self.steps(node.operand)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        logical = self._logical(node)
        if logical is not None:
            return logical
        got = _short(ast.unparse(node).replace(_MARK, ""))
        raise ValueError(f"{self.name} must be arithmetic (+ - * / ** and functions); got {got}")

    def _logical(self, node: ast.AST) -> list[Step] | None:
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARISONS for op in node.ops):
            pairs = zip(node.ops, [node.left, *node.comparators], node.comparators, strict=False)
            return self._joined(_AND, [self._compared(*pair) for pair in pairs])
        if isinstance(node, ast.BoolOp):
            return self._joined(_AND if isinstance(node.op, ast.And) else _OR, [self.steps(x) for x in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._apply(_NOT, node.operand)
        if isinstance(node, ast.IfExp):
            return self._apply(IF, node.test, node.body, node.orelse)
        return None

    def _compared(self, op: ast.cmpop, left: ast.AST, right: ast.AST) -> list[Step]:
        number, exchanged = _COMPARISONS[type(op)]
        return self._apply(number, *((right, left) if exchanged else (left, right)))

    def _joined(self, op: int, parts: list[list[Step]]) -> list[Step]:
        found = parts[0]
        for part in parts[1:]:
            found = self._fold(op, [found, part])
        return found

    def _float(self, value: int | float) -> float:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{self.name} must have finite numbers; got {_short(str(value))}") from None

    def _name(self, spelled: str) -> Step:
        name = spelled if spelled == CLOCK else spelled.removesuffix(_MARK)
        if name in self.species:
            return Step(SPECIES, float(self.species[name]))
        if name in self.parameters:
            return Step(NUMBER, self.parameters[name])
        if name in ("t", CLOCK):
            if self.time:
                return Step(TIME)
            raise ValueError(f"{self.name} must not depend on the time t")
        known = [*self.species, *self.parameters]
        some = ", ".join(known[:8]) + (" …" if len(known) > 8 else "") if known else "there are none"
        raise ValueError(f"{self.name} must name species and parameters ({some}); got {name!r}")

    def _call(self, name: str, arguments: list[ast.expr]) -> list[Step]:
        op, count = (_BINARY[ast.Pow], 2) if name == "pow" else _FUNCTIONS.get(name, (-1, 0))
        if op < 0:
            raise ValueError(f"{self.name} must call one of {', '.join([*_FUNCTIONS, 'pow'])}; got {name!r}")
        if len(arguments) != count:
            raise ValueError(f"{self.name} must give {name} {count} argument(s); got {len(arguments)}")
        return self._apply(op, *arguments)

    def _apply(self, op: int, *operands: ast.AST) -> list[Step]:
        return self._fold(op, [self.steps(each) for each in operands])

    def _fold(self, op: int, parts: list[list[Step]]) -> list[Step]:
        if not all(len(part) == 1 and part[0].op == NUMBER for part in parts):
            return [*(step for part in parts for step in part), Step(op)]
        try:
            return [Step(NUMBER, float(_FOLD[op](*(part[0].value for part in parts))))]
        except (ArithmeticError, ValueError, TypeError) as error:
            raise ValueError(f"{self.name} must have a value; got an error: {error}") from None


def operands(op: int) -> int:
    """Return how many values an operation takes from the stack; each leaves one."""
    if op >= 256:
        return op >> 8
    if op in (NUMBER, SPECIES, TIME):
        return 0
    return 3 if op == IF else 1 if op in (_NEGATE, 8, 9, 10, 11, _NOT, 21, 22) else 2


def _depth(program: Program) -> int:
    depth = deepest = 0
    for step in program:
        depth += 1 - operands(step.op)
        deepest = max(deepest, depth)
    return deepest


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:57] + "...")
