"""Networks written as SBML, through libSBML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import factorial, prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kxfast.files import whole_file
from kxfast.gillespie.expressions import CALL, IF, NUMBER, SPECIES, TIME, Program, operands

if TYPE_CHECKING:
    from kxfast.gillespie.control import Event
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
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"path must be in an existing folder; got '{path}'")
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
    ids = _identifiers((*net.species, *net.variables, *net.rules))
    for name, identifier, count in zip(net.species, ids, net.initial.tolist(), strict=False):
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
    _add_parameters(libsbml, model, net, ids)
    for event in net.events:
        _add_event(libsbml, model, event, ids)
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
    for i in sorted(each for each in read - {*reactants, *products} if each < len(net.species)):
        reaction.createModifier().setSpecies(ids[i])
    formula = _formula(program, ids).number() if program else _mass_action(net.binomial_rates[j], reactants, ids)
    reaction.createKineticLaw().setMath(libsbml.parseL3Formula(formula))


def _add_parameters(libsbml: Any, model: Any, net: ReactionNetwork, ids: Sequence[str]) -> None:
    """Write what events change, and what rules assign."""
    rest = ids[len(net.species) :]
    for identifier, value in zip(rest, [*net.variables.values(), *(None for _ in net.rules)], strict=True):
        parameter = model.createParameter()
        parameter.setId(identifier)
        parameter.setConstant(False)
        if value is not None:
            parameter.setValue(value)
    for identifier, program in zip(rest[len(net.variables) :], net.rules.values(), strict=True):
        rule = model.createAssignmentRule()
        rule.setVariable(identifier)
        rule.setMath(libsbml.parseL3Formula(_formula(program, ids).number()))


def _add_event(libsbml: Any, model: Any, event: Event, ids: Sequence[str]) -> None:
    def put(element: Any, formula: str) -> None:
        element.setMath(libsbml.parseL3Formula(formula))

    written = model.createEvent()
    if event.name:
        written.setId(event.name)
    written.setUseValuesFromTriggerTime(event.early)
    trigger = written.createTrigger()
    trigger.setInitialValue(event.initial)
    trigger.setPersistent(event.persistent)
    put(trigger, _formula(event.trigger, ids).truth())
    for program, create in (event.delay, written.createDelay), (event.priority, written.createPriority):
        if program:
            put(create(), _formula(program, ids).number())
    for target, program in event.assignments:
        assignment = written.createEventAssignment()
        assignment.setVariable(ids[target])
        put(assignment, _formula(program, ids).number())


def _mass_action(rate: float, orders: Side, ids: Sequence[str]) -> str:
    factors = [f"({ids[i]} - {k})" if k else ids[i] for i, order in orders.items() for k in range(order)]
    over = prod(map(factorial, orders.values()))
    return " * ".join([repr(float(rate)), *factors]) + (f" / {over}" if over > 1 else "")


def _formula(program: Program, ids: Sequence[str]) -> _Formula:
    stack: list[_Formula] = []
    for op, value in program:
        taken = [stack.pop() for _ in range(operands(op))][::-1]
        numbers, truths = [each.number() for each in taken], [each.truth() for each in taken]
        if op == NUMBER:
            stack.append(_Formula(f"({value!r})"))
        elif op == SPECIES:
            stack.append(_Formula(ids[int(value)]))
        elif op == TIME:
            stack.append(_Formula("time"))
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
    return stack[0]


class _Formula(NamedTuple):
    """A formula, and whether its value is true or false in SBML, where those are no numbers."""

    text: str
    is_truth: bool = False

    def number(self) -> str:
        return f"piecewise(1, {self.text}, 0)" if self.is_truth else self.text

    def truth(self) -> str:
        return self.text if self.is_truth else f"({self.text} != 0)"
