"""Networks in SBML files, read through libSBML; whatever is not understood is refused by name."""

from __future__ import annotations

from math import nan
from os import PathLike
from typing import Any

from kxfast import checks
from kxfast.gillespie.control import Event
from kxfast.gillespie.expressions import SPECIES, Program, compile_expression
from kxfast.gillespie.mass_action import recognised
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.notation import Reaction, check_counts, check_names, check_parameters
from kxfast.gillespie.sbml_values import Values, named


def read_sbml(path: str | PathLike[str]) -> ReactionNetwork:
    """Read a network from an SBML file (Level 2 or 3).

    Kinetic laws are propensities as they stand, events per unit of the model's time. Species are in molecules: in a
    law, one with ``hasOnlySubstanceUnits="false"`` stands for its count divided by the compartment's size. Boundary
    and constant species keep their counts. Local parameters, function definitions, initial assignments and assignment
    rules are read; events with delays and priorities too, if their triggers compare the time with parameters alone;
    rate rules ``p' = a p + b`` of parameters. A species that a rule assigns is not among those of the network but in
    ``assigned`` of the results. Laws may depend on the time. Constraints, algebraic rules, conversion factors, sizes
    that change, stoichiometries that are no whole numbers and amounts in moles are refused.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    ReactionNetwork
        A law that is mass action becomes a rate constant, and species of it that the reaction does not take
        become catalysts on both of its sides; other laws are expressions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not SBML, or holds an element that is refused; the message names the element and its id.
    ImportError
        If libSBML is not installed (``pip install python-libsbml``).

    Notes
    -----
    Source: SBML Level 3 Version 1 Core, 2010.

    Examples
    --------
    >>> import pathlib, tempfile, kxfast as kx
    >>> text = '''<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model>
    ... <listOfCompartments><compartment id="cell" constant="true"/></listOfCompartments>
    ... <listOfSpecies><species id="A" compartment="cell" initialAmount="5" hasOnlySubstanceUnits="true"
    ...  boundaryCondition="false" constant="false"/></listOfSpecies></model></sbml>'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.xml"
    ...     _ = path.write_text(text)
    ...     print(kx.gillespie.read_sbml(path))
    ReactionNetwork(1 species, 0 reactions)

    """
    file = checks.readable_file("path", path)
    try:
        import libsbml
    except ImportError:
        raise ImportError("read_sbml needs libsbml; install python-libsbml") from None
    document = libsbml.readSBMLFromString(file.read_text(encoding="utf-8"))
    errors = [document.getError(i) for i in range(document.getNumErrors())]
    serious = [error for error in errors if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR]
    if serious or document.getModel() is None:
        words = " ".join(serious[0].getShortMessage().split()) if serious else "no model"
        raise ValueError(f"{file.name}: the file must be SBML; got {words}")
    try:
        return _Reader(libsbml, document.getModel()).network()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file.name}: {error}") from None


class _Reader:
    def __init__(self, libsbml: Any, model: Any) -> None:
        self.libsbml, self.model = libsbml, model
        self._refuse()
        self.values = Values(libsbml, model)
        counted = [name for name in self.values.species if name not in self.values.rules]
        self.names = check_names("species", counted)

    def network(self) -> ReactionNetwork:
        values = self.values
        amounts = [self._initial(name) for name in self.names]
        initial = check_counts("the initial amounts of species", amounts, self.names)
        known = check_parameters(values.known(), self.names)
        variables = {name: known.pop(name) for name in values.variables if name in known}
        if len(variables) < len(values.variables):
            missing = next(name for name in values.variables if name not in variables)
            raise ValueError(f"parameter {missing!r} must have a value and no rule: events change it")
        self.index = {name: i for i, name in enumerate((*self.names, *variables))}
        reactions = [self._reaction(each, known) for each in self.model.getListOfReactions()]
        return ReactionNetwork.from_reactions(
            self.names, initial, reactions,
            parameters=known, variables=variables,
            events=[self._event(each, known) for each in self.model.getListOfEvents()],
            rules=self._rules(known),
        )  # fmt: skip

    def _refuse(self) -> None:
        for each in self.model.getListOfConstraints():
            raise ValueError(f"{named(each)} is not supported")
        for each in (self.model, *self.model.getListOfSpecies()):
            if each.isSetConversionFactor():
                raise ValueError(f"{named(each)} has a conversionFactor, which is not supported")
            units = each.getSubstanceUnits()
            if self._in_moles(units):
                raise ValueError(f"{named(each)} must count in items; got substance units {units!r}")

    def _in_moles(self, units: str) -> bool:
        definition = self.model.getUnitDefinition(units) if units else None
        kinds = [part.getKind() for part in definition.getListOfUnits()] if definition else []
        return units == "mole" or self.libsbml.UNIT_KIND_MOLE in kinds

    def _initial(self, name: str) -> float:
        amount = self.values.amounts[name]
        if amount is None:
            raise ValueError(f"{named(self.values.species[name])} must have an initial amount or concentration")
        return amount

    def _reaction(self, reaction: Any, parameters: dict[str, float]) -> Reaction:
        law = reaction.getKineticLaw()
        if law is None or law.getMath() is None:
            raise ValueError(f"{named(reaction)} must have a kinetic law")
        if reaction.getFast():
            raise ValueError(f"{named(reaction)} is fast, which is not supported")
        level3 = law.getListOfLocalParameters() or law.getListOfParameters()
        local = {each.getId(): f"({float(each.getValue())!r})" for each in level3}
        text = self.values.formulas.text(law.getMath(), local, named(reaction))
        program = compile_expression(text, self.index, parameters, f"the rate of {named(reaction)}", time=True)
        reactants = self._side(reaction.getListOfReactants(), reaction)
        products = self._side(reaction.getListOfProducts(), reaction)
        return recognised(Reaction(reactants, products, nan, program), self.names)

    def _side(self, references: Any, reaction: Any) -> dict[str, int]:
        side: dict[str, int] = {}
        for each in references:
            species, coefficient = self.values.species[each.getSpecies()], each.getStoichiometry()
            if each.isSetStoichiometryMath() or not float(coefficient).is_integer() or coefficient < 0:
                raise ValueError(f"{named(reaction)} must have whole stoichiometries; got {coefficient:g}")
            if species.getBoundaryCondition() or species.getConstant():
                continue
            if species.getId() in self.values.rules:
                raise ValueError(f"{named(species)} must be a boundary species: a rule sets it")
            side[species.getId()] = side.get(species.getId(), 0) + int(coefficient)
        return side

    def _event(self, event: Any, parameters: dict[str, float]) -> Event:
        def program(element: Any, *, times: float = 1.0) -> Program:
            if element is None:
                return ()
            if element.getMath() is None:
                raise ValueError(f"{named(event)} must have formulas in all its parts")
            text = f"({self.values.formulas.text(element.getMath(), {}, named(event))})"
            text = text if times == 1 else f"{text} * {times!r}"
            return compile_expression(text, self.index, parameters, named(event), time=True)

        trigger = event.getTrigger()
        if trigger is None:
            raise ValueError(f"{named(event)} must have a trigger")
        assignments = []
        for each in event.getListOfEventAssignments():
            name = each.getVariable()
            if name not in self.index:
                raise ValueError(f"{named(event)} assigns to {name!r}, which is not supported")
            species = self.values.species.get(name)
            by_amount = species is None or species.getHasOnlySubstanceUnits()
            assignments.append((self.index[name], program(each, times=1.0 if by_amount else self.values.size(species))))
        level3 = event.getLevel() > 2
        return Event(
            event.getId(), program(trigger), tuple(assignments), program(event.getDelay()),
            program(event.getPriority() if level3 else None), trigger.getInitialValue() if level3 else True,
            trigger.getPersistent() if level3 else True, event.getUseValuesFromTriggerTime(),
        )  # fmt: skip

    def _rules(self, parameters: dict[str, float]) -> dict[str, Program]:
        """Return the assigned amounts and parameters as programs; not those that read what events change."""
        found = {}
        for name, rule in self.values.rules.items():
            species = self.values.species.get(name)
            by_amount = species is None or species.getHasOnlySubstanceUnits()
            text = f"({self.values.formula(rule)}){'' if by_amount else f' * {self.values.size(species)!r}'}"
            program = compile_expression(text, self.index, parameters, named(rule), time=True)
            if not any(step.op == SPECIES and step.value >= len(self.names) for step in program):
                found[name] = program
        return found
