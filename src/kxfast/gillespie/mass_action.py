"""Mass action recognised in rate expressions, which compiled methods serve better than an expression."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, isclose, isfinite, prod

from kxfast.gillespie.expressions import NUMBER, SPECIES, Program
from kxfast.gillespie.notation import Reaction

Monomial = tuple[tuple[int, int], ...]  # (species, power), species increasing
Polynomial = dict[Monomial, float]
_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER, _NEGATE = 2, 3, 4, 5, 6, 7
_MAX_TERMS, _MAX_POWER = 64, 8


def recognised(reaction: Reaction, names: Sequence[str]) -> Reaction:
    """Return the reaction with a rate constant if its expression is ``c * prod C(n_i, l_i)``; else itself.

    A species of the law that the reaction does not take becomes a catalyst: it stands on both sides.
    """
    polynomial = polynomial_of(reaction.program)
    if not polynomial or any(s >= len(names) for monomial in polynomial for s, _ in monomial):
        return reaction  # no polynomial, or one of variables too
    top = max(polynomial, key=lambda monomial: sum(power for _, power in monomial))
    rate = polynomial[top] * prod(factorial(power) for _, power in top)
    orders = {names[s]: power for s, power in top}
    changes = {name: reaction.products.get(name, 0) - k for name, k in reaction.reactants.items()}
    changes = {name: k for name, k in reaction.products.items() if name not in changes} | changes
    products = orders | {name: orders.get(name, 0) + change for name, change in changes.items()}
    if not isfinite(rate) or rate < 0 or min(products.values(), default=0) < 0:
        return reaction
    expected: Polynomial = {(): polynomial[top]}
    for s, power in top:
        for k in range(power):
            expected = _times(expected, {((s, 1),): 1.0, (): -float(k)} if k else {((s, 1),): 1.0})
    if expected.keys() != polynomial.keys():
        return reaction
    if not all(isclose(polynomial[each], value, rel_tol=1e-12) for each, value in expected.items()):
        return reaction
    return Reaction(orders, {name: k for name, k in products.items() if k}, rate)


def polynomial_of(program: Program) -> Polynomial | None:
    """Return what a program computes as a polynomial of counts, or None if it is none or a large one."""
    stack: list[Polynomial] = []
    for op, value in program:
        if op == NUMBER:
            stack.append({(): value} if value else {})
        elif op == SPECIES:
            stack.append({((int(value), 1),): 1.0})
        elif op == _NEGATE:
            stack.append({monomial: -c for monomial, c in stack.pop().items()})
        elif op in (_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER):
            right, left = stack.pop(), stack.pop()
            combined = _combine(op, left, right)
            if combined is None or len(combined) > _MAX_TERMS:
                return None
            stack.append(combined)
        else:
            return None
    return stack[0]


def _combine(op: int, left: Polynomial, right: Polynomial) -> Polynomial | None:
    if op in (_ADD, _SUBTRACT):
        sign = 1 if op == _ADD else -1
        total = {each: left.get(each, 0.0) + sign * right.get(each, 0.0) for each in left | right}
        return {each: c for each, c in total.items() if c}
    if op == _MULTIPLY:
        return _times(left, right)
    if right.keys() != {()}:
        return None
    number = right[()]
    if op == _DIVIDE:
        return {each: c / number for each, c in left.items()}
    return _power(left, int(number)) if number in range(1, _MAX_POWER + 1) else None


def _power(base: Polynomial, exponent: int) -> Polynomial | None:
    result: Polynomial = {(): 1.0}
    for _ in range(exponent):
        result = _times(result, base)
        if len(result) > _MAX_TERMS:
            return None
    return result


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            powers = dict(a)
            for s, power in b:
                powers[s] = powers.get(s, 0) + power
            monomial = tuple(sorted(powers.items()))
            found[monomial] = found.get(monomial, 0.0) + x * y
    return {each: c for each, c in found.items() if c}
