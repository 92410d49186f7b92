"""Values of rate expressions in postfix order (spec: Gillespie stochastic simulation)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SPECIES, _TIME, _IF = 1, 14, 23
_UNARY = {7: np.negative, 8: np.exp, 9: np.log, 10: np.sqrt, 11: np.abs, 20: np.logical_not, 21: np.sin, 22: np.cos}
_BINARY = {
    2: np.add, 3: np.subtract, 4: np.multiply, 5: np.divide, 6: np.float_power, 12: np.minimum, 13: np.maximum,
    15: np.less, 16: np.less_equal, 17: np.equal, 18: np.logical_and, 19: np.logical_or,
}  # fmt: skip


def evaluate(ops: Array, numbers: Array, state: Any, t: Any = 0.0, functions: tuple[Any, ...] = ()) -> Any:
    """Value of an expression; the state's places may be arrays (of samples) as well as counts."""
    stack: list[Any] = []
    for op, number in zip(ops.tolist(), numbers, strict=True):
        if op >= 256:
            arguments = [stack.pop() for _ in range(op >> 8)][::-1]
            stack.append(np.float64(functions[int(number)](*arguments)))
        elif op in _BINARY:
            right = stack.pop()
            stack[-1] = np.float64(_BINARY[op](stack[-1], right))
        elif op in _UNARY:
            stack[-1] = np.float64(_UNARY[op](stack[-1]))
        elif op == _IF:
            no, yes = stack.pop(), stack.pop()
            stack[-1] = np.where(stack[-1] != 0, yes, no)[()]
        elif op == _SPECIES:
            stack.append(np.float64(state[int(number)]))
        else:
            stack.append(np.float64(t) if op == _TIME else number)
    return stack[0]
