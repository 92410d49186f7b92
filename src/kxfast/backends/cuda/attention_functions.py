"""Masks of functions: Python that a small grammar allows, as an expression of CUDA C++.

A function is one expression of its four arguments: comparisons, ``and``, ``or``, ``not``, ``x if c else y``, whole
numbers with ``+ - * // % & | ^``, ``min``, ``max``, ``abs``, names bound to integers, and arrays of integers or
booleans subscripted by such expressions. Integers have 64 bits; ``//`` and ``%`` round down as Python's do. What
would raise there does not: a division by 0 is 0, an index beyond an array is its nearest.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast.errors import BackendError

ARGUMENTS = ("b", "h", "i", "j")


class Translated(NamedTuple):
    """An expression of ``b, h, i, j`` and ``captured``, the numbers of the arrays one after another."""

    expression: str
    captured: NDArray[np.int64]
    names: frozenset[str]  # which of the four it looks at


def translated(f: Callable[..., Any]) -> Translated:
    """Return what a function says, or raise BackendError naming what cannot be translated."""
    inner = getattr(f, "py_func", f)
    if not inspect.isfunction(inner):
        raise _refusal(f"{type(f).__name__} is no Python function")
    arguments, body = _source(inner)
    writer = _Writer(dict(zip(arguments, ARGUMENTS, strict=True)), _names(inner))
    expression = writer.write(body)
    numbers = np.concatenate([*writer.arrays, np.zeros(1, np.int64)])
    return Translated(expression, numbers, frozenset(writer.seen))


def _refusal(what: str) -> BackendError:
    return BackendError(
        f"backend 'cuda' cannot translate the function of masks.function: {what}; use one expression of comparisons, "
        "and/or/not, integers and captured arrays, or masks.dense(mask.to_dense(...))"
    )


def _source(f: Callable[..., Any]) -> tuple[list[str], ast.expr]:
    """Return the names of a function's arguments, and the expression that it returns."""
    try:
        tree = ast.parse("".join(inspect.findsource(f)[0]))
    except (OSError, TypeError, SyntaxError, IndexError):
        raise _refusal("its source is not to be had") from None
    found = [each for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.Lambda)) and _is(each, f)]
    if len(found) > 1:  # of several in a line, the one whose body ends in the function's last instruction
        spans = set(f.__code__.co_positions())
        found = [each for each in found if isinstance(each, ast.Lambda) and _span(each.body) in spans]
    if len(found) != 1:
        raise _refusal("its source is not to be had")
    node, given = found[0], found[0].args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    if given.vararg or given.kwarg or given.kwonlyargs or given.defaults or len(names) != len(ARGUMENTS):
        raise _refusal("its arguments must be four, without defaults")
    if isinstance(node, ast.Lambda):
        return names, node.body
    body = [each for each in node.body if not _is_text(each)]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        first = next((each for each in body if not isinstance(each, ast.Return)), node)
        raise _refusal(f"{type(first).__name__} in line {first.lineno}, which is no single return")
    return names, body[0].value


def _span(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _is(node: ast.FunctionDef | ast.Lambda, f: Callable[..., Any]) -> bool:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    lines = {node.lineno, *(each.lineno for each in decorators[:1])}
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    return name == f.__code__.co_name and f.__code__.co_firstlineno in lines


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _names(f: Callable[..., Any]) -> dict[str, Any]:
    found = inspect.getclosurevars(f)
    return {**found.builtins, **found.globals, **found.nonlocals}


_BINARY = {
    ast.Add: "({} + {})", ast.Sub: "({} - {})", ast.Mult: "({} * {})", ast.BitAnd: "({} & {})", ast.BitOr: "({} | {})",
    ast.BitXor: "({} ^ {})",
    ast.FloorDiv: "kx::floor_quotient({}, {})", ast.Mod: "kx::floor_rest({}, {})",
}  # fmt: skip
_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_UNARY = {ast.Not: "(!{})", ast.USub: "(-{})", ast.UAdd: "{}", ast.Invert: "(~{})"}
_MOST_NUMBERS = 1 << 24


def _is_truth(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(_is_truth(each) for each in node.values)
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


class _Writer:
    """Writes expressions; every one is an integer of 64 bits, truth being 1."""

    def __init__(self, arguments: dict[str, str], bound: dict[str, Any]) -> None:
        self._arguments, self._bound = arguments, bound
        self._places: dict[str, int] = {}
        self.arrays: list[NDArray[np.int64]] = []
        self.seen: set[str] = set()

    def write(self, node: ast.expr) -> str:
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise _refusal(f"{type(node).__name__} in '{ast.unparse(node)}'")
        text: str = method(node)
        return text

    def _Constant(self, node: ast.Constant) -> str:  # noqa: N802  # named after the node
        return self._number(node.value, node)

    def _number(self, value: Any, node: ast.expr) -> str:
        if not isinstance(value, (bool, int, np.bool_, np.integer)) or abs(int(value)) >= 2**63:
            raise _refusal(f"'{ast.unparse(node)}' is {type(value).__name__}, no integer of 64 bits")
        return f"kx::i64({int(value)})"

    def _Name(self, node: ast.Name) -> str:  # noqa: N802  # named after the node
        if node.id in self._arguments:
            name = self._arguments[node.id]
            self.seen.add(name)
            return name
        if node.id not in self._bound:
            raise _refusal(f"the name '{node.id}' is bound to nothing")
        return self._number(self._bound[node.id], node)

    def _BinOp(self, node: ast.BinOp) -> str:  # noqa: N802  # named after the node
        return self._form(_BINARY, node.op, node).format(self.write(node.left), self.write(node.right))

    def _UnaryOp(self, node: ast.UnaryOp) -> str:  # noqa: N802  # named after the node
        return self._form(_UNARY, node.op, node).format(self.write(node.operand))

    def _form(self, forms: dict[Any, str], op: ast.AST, node: ast.expr) -> str:
        form = forms.get(type(op))
        if form is None:
            raise _refusal(f"{type(op).__name__} in '{ast.unparse(node)}'")
        return form

    def _BoolOp(self, node: ast.BoolOp) -> str:  # noqa: N802  # named after the node
        parts = [self.write(each) for each in node.values]
        if all(_is_truth(each) for each in node.values):
            return f"({(' && ' if isinstance(node.op, ast.And) else ' || ').join(parts)})"
        result = parts[-1]  # of numbers, one of them
        for part in reversed(parts[:-1]):
            both = (result, part) if isinstance(node.op, ast.And) else (part, result)
            result = f"(({part}) != 0 ? kx::i64({both[0]}) : kx::i64({both[1]}))"
        return result

    def _IfExp(self, node: ast.IfExp) -> str:  # noqa: N802  # named after the node
        return f"({self.write(node.test)} ? kx::i64({self.write(node.body)}) : kx::i64({self.write(node.orelse)}))"

    def _Compare(self, node: ast.Compare) -> str:  # noqa: N802  # named after the node
        signs = [self._form(_COMPARED, op, node) for op in node.ops]
        sides = [self.write(each) for each in (node.left, *node.comparators)]
        return f"({' && '.join(f'{a} {sign} {b}' for a, sign, b in zip(sides, signs, sides[1:], strict=False))})"

    def _Call(self, node: ast.Call) -> str:  # noqa: N802  # named after the node
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        called, many = self._bound.get(name), len(node.args)
        if node.keywords or called not in (min, max, abs, bool, int) or many < 1:
            raise _refusal(f"the call of '{ast.unparse(node.func)}'")
        parts = [self.write(each) for each in node.args]
        if called in (min, max) and many > 1:
            result = parts[0]
            for part in parts[1:]:
                result = f"kx::{'least' if called is min else 'most'}({result}, {part})"
            return result
        if many > 1 or called in (min, max):
            raise _refusal(f"the call '{ast.unparse(node)}'")
        return {abs: f"kx::most({parts[0]}, -({parts[0]}))", bool: f"(({parts[0]}) != 0)", int: parts[0]}[called]

    def _Subscript(self, node: ast.Subscript) -> str:  # noqa: N802  # named after the node
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        array = self._array(name, node)
        indices = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if len(indices) != array.ndim:
            raise _refusal(f"'{ast.unparse(node)}' must have {array.ndim} indices")
        place = "kx::i64(0)"
        for size, index in zip(array.shape, indices, strict=True):
            place = f"({place} * {size} + kx::index({self.write(index)}, {size}))"
        return f"captured[{self._places[name]} + {place}]"

    def _array(self, name: str, node: ast.expr) -> NDArray[Any]:
        found = self._bound.get(name)
        array = np.asarray(found) if isinstance(found, (np.ndarray, list, tuple)) else None
        if array is None or array.dtype.kind not in "biu" or not 0 < array.size < _MOST_NUMBERS:
            raise _refusal(f"'{ast.unparse(node)}' is no element of an array of integers")
        if name not in self._places:
            self._places[name] = sum(map(len, self.arrays))
            self.arrays.append(array.astype(np.int64).ravel())
        return array
