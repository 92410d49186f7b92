"""Networks in SBML files, read through libSBML; whatever is not understood is refused by name."""

from __future__ import annotations

from os import PathLike
from typing import Any

from kxfast import checks
from kxfast.gillespie.mass_action import recognised
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.notation import Reaction, check_counts, check_names, check_parameters, rate_of
from kxfast.gillespie.sbml_math import Formulas


def read_sbml(path: str | PathLike[str]) -> ReactionNetwork:
    """Read a network from an SBML file (Level 2 or 3).

    Kinetic laws are propensities as they stand, events per unit of the model's time. Species are in molecules: in a
    law, one with ``hasOnlySubstanceUnits="false"`` stands for its count divided by the compartment's size. Boundary
    and constant species keep their counts. Local parameters are read. Events, rules, initial assignments, function
    definitions, constraints, delays, conversion factors, stoichiometries that are no whole numbers and amounts in
    moles are refused.

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
        self.species = {each.getId(): each for each in model.getListOfSpecies()}
        self.formulas = Formulas(libsbml, self._name)
        self.sizes = {each.getId(): each.getSize() for each in model.getListOfCompartments() if each.isSetSize()}

    def network(self) -> ReactionNetwork:
        self._refuse()
        names = check_names("species", self.species)
        initial = check_counts("the initial amounts of species", [*map(self._initial, self.species.values())], names)
        values = {each.getId(): each.getValue() for each in self.model.getListOfParameters() if each.isSetValue()}
        parameters = check_parameters({**values, **self.sizes}, names)
        reactions = [self._reaction(each, names, parameters) for each in self.model.getListOfReactions()]
        return ReactionNetwork.from_reactions(names, initial, reactions)

    def _refuse(self) -> None:
        model = self.model
        for listed in (
            model.getListOfEvents(),
            model.getListOfRules(),
            model.getListOfInitialAssignments(),
            model.getListOfFunctionDefinitions(),
            model.getListOfConstraints(),
        ):
            for each in listed:
                raise ValueError(f"{_named(each)} is not supported: only constant-parameter reactions are")
        for each in (model, *self.species.values()):
            if each.isSetConversionFactor():
                raise ValueError(f"{_named(each)} has a conversionFactor, which is not supported")
            units = each.getSubstanceUnits()
            if self._in_moles(units):
                raise ValueError(f"{_named(each)} must count in items; got substance units {units!r}")

    def _in_moles(self, units: str) -> bool:
        definition = self.model.getUnitDefinition(units) if units else None
        kinds = [part.getKind() for part in definition.getListOfUnits()] if definition else []
        return units == "mole" or self.libsbml.UNIT_KIND_MOLE in kinds

    def _initial(self, species: Any) -> float:
        if species.isSetInitialAmount():
            return float(species.getInitialAmount())
        if species.isSetInitialConcentration():
            return float(species.getInitialConcentration()) * self._size(species)
        raise ValueError(f"{_named(species)} must have an initial amount or concentration")

    def _size(self, species: Any) -> float:
        compartment = species.getCompartment()
        if compartment not in self.sizes:
            raise ValueError(f"compartment {compartment!r} must have a size, which {_named(species)} needs")
        return float(self.sizes[compartment])

    def _reaction(self, reaction: Any, names: tuple[str, ...], parameters: dict[str, float]) -> Reaction:
        law = reaction.getKineticLaw()
        if law is None or law.getMath() is None:
            raise ValueError(f"{_named(reaction)} must have a kinetic law")
        if reaction.getFast():
            raise ValueError(f"{_named(reaction)} is fast, which is not supported")
        level3 = law.getListOfLocalParameters() or law.getListOfParameters()
        local = {each.getId(): float(each.getValue()) for each in level3}
        text = self.formulas.text(law.getMath(), local, _named(reaction))
        rate, program = rate_of(text, _named(reaction), names, parameters, law=True)
        reactants = self._side(reaction.getListOfReactants(), reaction)
        products = self._side(reaction.getListOfProducts(), reaction)
        return recognised(Reaction(reactants, products, rate, program), names)

    def _side(self, references: Any, reaction: Any) -> dict[str, int]:
        side: dict[str, int] = {}
        for each in references:
            species, coefficient = self.species[each.getSpecies()], each.getStoichiometry()
            if each.isSetStoichiometryMath() or not float(coefficient).is_integer() or coefficient < 0:
                raise ValueError(f"{_named(reaction)} must have whole stoichiometries; got {coefficient:g}")
            if not (species.getBoundaryCondition() or species.getConstant()):
                side[species.getId()] = side.get(species.getId(), 0) + int(coefficient)
        return side

    def _name(self, name: str) -> str:
        species = self.species.get(name)
        if species is None or species.getHasOnlySubstanceUnits():
            return name
        return f"({name} / {self._size(species)!r})"


def _named(element: Any) -> str:
    identity = element.getId() or getattr(element, "getVariable", str)()
    return f"{element.getElementName()} {identity!r}"
