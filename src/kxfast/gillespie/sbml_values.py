"""Numbers of an SBML model: parameters, sizes, initial assignments, and rules that are formulas of others."""

from __future__ import annotations

from typing import Any

from kxfast.gillespie.expressions import CLOCK, compile_expression
from kxfast.gillespie.mass_action import polynomial_of
from kxfast.gillespie.sbml_math import Formulas


def named(element: Any) -> str:
    """Return what an element is and its id."""
    identity = element.getId() or getattr(element, "getVariable", str)() or getattr(element, "getSymbol", str)()
    return f"{element.getElementName()} {identity!r}"


class Values:
    """What each name of a model stands for in formulas, and the numbers at time 0."""

    def __init__(self, libsbml: Any, model: Any) -> None:
        self.species = {each.getId(): each for each in model.getListOfSpecies()}
        self.sizes = {each.getId(): float(each.getSize()) for each in model.getListOfCompartments() if each.isSetSize()}
        definitions = {each.getId(): each for each in model.getListOfFunctionDefinitions()}
        self.formulas = Formulas(libsbml, self.name, definitions)
        self.rules = {each.getVariable(): each for each in model.getListOfRules() if each.isAssignment()}
        self.parameters = {
            each.getId(): float(each.getValue()) for each in model.getListOfParameters() if each.isSetValue()
        }
        changed = {
            assignment.getVariable()
            for event in model.getListOfEvents()
            for assignment in event.getListOfEventAssignments()
        }
        self.variables = sorted(changed & {each.getId() for each in model.getListOfParameters()})
        self.amounts = {name: self._amount(each) for name, each in self.species.items() if name not in self.rules}
        self.motions: dict[str, str] = {}  # of parameters with rate rules, as formulas of the time
        self._assign(model)
        self._move(model)

    def name(self, name: str) -> str:
        """Return what a name stands for in a rate expression."""
        if name in self.rules:
            return f"({self.formula(self.rules[name])})"
        if name in self.motions:
            return self.motions[name]
        species = self.species.get(name)
        if species is None or species.getHasOnlySubstanceUnits():
            return name
        return f"({name} / {self.size(species)!r})"

    def formula(self, element: Any) -> str:
        """Return the formula of a rule or an assignment."""
        if element.getMath() is None:
            raise ValueError(f"{named(element)} must have a formula")
        try:
            return self.formulas.text(element.getMath(), {}, named(element))
        except RecursionError:
            raise ValueError(f"{named(element)} must not depend on itself") from None

    def size(self, species: Any) -> float:
        """Return the size of a species' compartment."""
        compartment = species.getCompartment()
        if compartment not in self.sizes:
            raise ValueError(f"compartment {compartment!r} must have a size, which {named(species)} needs")
        return self.sizes[compartment]

    def known(self) -> dict[str, float]:
        """Return parameters and sizes."""
        return {**self.parameters, **self.sizes}

    def _amount(self, species: Any) -> float | None:
        if species.isSetInitialAmount():
            return float(species.getInitialAmount())
        if species.isSetInitialConcentration():
            return float(species.getInitialConcentration()) * self.size(species)
        return None

    def _assign(self, model: Any) -> None:
        """Carry out initial assignments, in whatever order their formulas can be computed."""
        waiting = {each.getSymbol(): each for each in model.getListOfInitialAssignments()}
        for name, each in waiting.items():
            self.parameters.pop(name, None)
            if name in self.sizes:
                raise ValueError(f"{named(each)} is of a compartment's size, which is not supported")
            if name in self.species:
                self.amounts[name] = None
        while waiting:
            ready = {name: value for name, each in waiting.items() if (value := self._number(each)) is not None}
            if not ready:
                raise ValueError(f"{named(next(iter(waiting.values())))} must be a formula of known numbers")
            for name, value in ready.items():
                del waiting[name]
                if name in self.species:
                    by_amount = self.species[name].getHasOnlySubstanceUnits()
                    self.amounts[name] = value if by_amount else value * self.size(self.species[name])
                else:
                    self.parameters[name] = value

    def _number(self, element: Any) -> float | None:
        known = {name: amount for name, amount in self.amounts.items() if amount is not None}
        text = self.formula(element)
        try:
            program = compile_expression(text, {}, {**self.known(), **known, CLOCK: 0.0}, named(element))
        except ValueError as error:
            if "must name species and parameters" in str(error):
                return None
            raise
        return program[0].value

    def _move(self, model: Any) -> None:
        """Solve rate rules p' = a p + b with constants a and b; others are refused."""
        for rule in model.getListOfRules():
            if rule.isAssignment():
                continue
            name = rule.getVariable() if rule.isRate() else ""
            if name not in self.parameters or name in self.variables:
                raise ValueError(f"{named(rule)} is not supported: only rate rules of parameters are")
            text = self.formula(rule)
            try:
                program = compile_expression(text, {name: 0}, self.known() | {name: 0.0}, named(rule))
            except ValueError as error:
                raise ValueError(f"{named(rule)} must be a formula of parameters: {error}") from None
            slope = polynomial_of(program)
            if slope is None or not slope.keys() <= {(), ((0, 1),)}:
                raise ValueError(f"{named(rule)} must be a linear formula of {name!r} itself")
            start, a, b = self.parameters[name], slope.get(((0, 1),), 0.0), slope.get((), 0.0)
            moved = (
                f"({start!r} + {b!r} * {CLOCK})"
                if a == 0
                else f"({start + b / a!r} * exp({a!r} * {CLOCK}) - {b / a!r})"
            )
            self.motions[name] = moved
        for name in self.motions:
            del self.parameters[name]
