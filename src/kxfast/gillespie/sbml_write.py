"""Networks written as SBML, through libSBML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import factorial, prod
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from kxfast.files import whole_file
from kxfast.gillespie.expressions import CALL, IF, NUMBER, SPECIES, Program, operands

if TYPE_CHECKING:
    from kxfast.gillespie.network import ReactionNetwork

Side = dict[int, int]  # counts of species
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = """abs and avogadro ceil ceiling cos delay exp exponentiale factorial false floor if infinity inf ln log
log10 max min nan not notanumber or pi piecewise pow power quotient rateof rem root sin sqr sqrt t tan time true xor"""
_BINARY = {2: "({} + {})", 3: "({} - {})", 4: "({} * {})", 5: "({} / {})", 6: "({} ^ {})", 12: "min({}, {})",
           13: "max({}, {})"}  # fmt: skip
_COMPARISONS = {15: "({} < {})", 16: "({} <= {})", 17: "({} == {})"}
_LOGICAL = {18: "({} && {})", 19: "({} || {})"}
_UNARY = {7: "(-{})", 8: "exp({})", 9: "ln({})", 10: "sqrt({})", 11: "abs({})", 21: "sin({})", 22: "cos({})"}
_NOT = 20


def write_sbml(net: ReactionNetwork, path: str | PathLike[str]) -> None:
    """Write a network as SBML Level 3 Version 2; the file appears whole or not at all."""
    try:
        import libsbml
    except ImportError:
        raise ImportError("to_sbml needs libsbml; install python-libsbml") from None
    document = libsbml.SBMLDocument(3, 2)
    model = document.createModel()
    model.setSubstanceUnits("item")
    model.setExtentUnits("item")
    compartment = model.createCompartment()
    compartment.setId("cell")
    compartment.setConstant(True)
    compartment.setSize(1)
    compartment.setSpatialDimensions(3)
    ids = _identifiers(net.species)
    for name, identifier, count in zip(net.species, ids, net.initial.tolist(), strict=True):
        species = model.createSpecies()
        species.setId(identifier)
        species.setName(name)
        species.setCompartment("cell")
        species.setInitialAmount(count)
        species.setHasOnlySubstanceUnits(True)
        species.setBoundaryCondition(False)
        species.setConstant(False)
    for j, sides in enumerate(zip(*(side.by_reaction(len(net.rates)) for side in net.sides), strict=True)):
        _add_reaction(libsbml, model, net, j, ids, *sides)
    with whole_file(path) as stream:
        stream.write(libsbml.writeSBMLToString(document).encode())


def _identifiers(names: Sequence[str]) -> list[str]:
    """Return an SBML id for each name: itself where it may be one."""
    taken = {name for name in names if _IDENTIFIER.fullmatch(name)} | {"cell"}
    ids = []
    for i, name in enumerate(names):
        identifier = name
        if not _IDENTIFIER.fullmatch(name) or name == "cell" or name.lower() in _RESERVED.split():
            identifier = f"S{i + 1}"
            while identifier in taken:
                identifier += "_"
            taken.add(identifier)
        ids.append(identifier)
    return ids


def _add_reaction(
    libsbml: Any, model: Any, net: ReactionNetwork, j: int, ids: Sequence[str], reactants: Side, products: Side
) -> None:
    reaction = model.createReaction()
    reaction.setId(f"reaction_{j}" if f"reaction_{j}" not in ids else f"reaction_{j}__")
    reaction.setReversible(False)
    program = net.program(j)
    if program and program[-1].op >= CALL:
        raise ValueError(f"net must have no Python functions as rates, which SBML cannot hold; reactions[{j}] has one")
    read = {int(value) for op, value in program if op == SPECIES}
    for create, side in (reaction.createReactant, reactants), (reaction.createProduct, products):
        for i, count in side.items():
            reference = create()
            reference.setSpecies(ids[i])
            reference.setStoichiometry(count)
            reference.setConstant(True)
    for i in sorted(read - {*reactants, *products}):
        reaction.createModifier().setSpecies(ids[i])
    formula = _infix(program, ids) if program else _mass_action(net.binomial_rates[j], reactants, ids)
    reaction.createKineticLaw().setMath(libsbml.parseL3Formula(formula))


def _mass_action(rate: float, orders: Side, ids: Sequence[str]) -> str:
    factors = [f"({ids[i]} - {k})" if k else ids[i] for i, order in orders.items() for k in range(order)]
    over = prod(map(factorial, orders.values()))
    return " * ".join([repr(float(rate)), *factors]) + (f" / {over}" if over > 1 else "")


def _infix(program: Program, ids: Sequence[str]) -> str:
    stack: list[_Formula] = []
    for op, value in program:
        taken = [stack.pop() for _ in range(operands(op))][::-1]
        numbers, truths = [each.number() for each in taken], [each.truth() for each in taken]
        if op == NUMBER:
            stack.append(_Formula(f"({value!r})"))
        elif op == SPECIES:
            stack.append(_Formula(ids[int(value)]))
        elif op in _COMPARISONS:
            stack.append(_Formula(_COMPARISONS[op].format(*numbers), is_truth=True))
        elif op in _LOGICAL:
            stack.append(_Formula(_LOGICAL[op].format(*truths), is_truth=True))
        elif op == _NOT:
            stack.append(_Formula(f"(!{truths[0]})", is_truth=True))
        elif op == IF:
            stack.append(_Formula(f"piecewise({numbers[1]}, {truths[0]}, {numbers[2]})"))
        else:
            stack.append(_Formula((_UNARY | _BINARY)[op].format(*numbers)))
    return stack[0].number()


class _Formula(NamedTuple):
    """A formula, and whether its value is true or false in SBML, where those are no numbers."""

    text: str
    is_truth: bool = False

    def number(self) -> str:
        return f"piecewise(1, {self.text}, 0)" if self.is_truth else self.text

    def truth(self) -> str:
        return self.text if self.is_truth else f"({self.text} != 0)"
