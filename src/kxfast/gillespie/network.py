"""Reaction networks: species, initial counts, reactions and rates, and the arrays that backends simulate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import factorial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.gillespie.control import Event, control_arrays, flat
from kxfast.gillespie.expressions import Program
from kxfast.gillespie.notation import Reaction, check_counts, check_names, check_parameters, parse, write

_MAX_REACTANTS, _MAX_PRODUCTS = 100, 2**31 - 1
PROPENSITIES = ("binomial", "falling")


class ReactionNetwork:
    """A well-mixed reaction network: species with their initial counts, and reactions with their rates.

    A reaction is ``"2 A + B -> C @ rate"``, with ``0`` for an empty side. The rate is a number, a parameter, or an
    arithmetic expression of them: the constant c of the propensity ``c * prod C(n_i, l_i)`` over reactants, l_i
    molecules of species i. A rate that names a species is the propensity itself: ``"A -> 0 @ v * A / (K + A)"``
    (``+ - * / **``, exp, log, sqrt, abs, sin, cos, min, max, pow, comparisons, ``and or not``, ``a if condition else
    b``). It may depend on the time ``t``: between proven bounds candidates are thinned, which is exact.

    Parameters
    ----------
    species : mapping of str to int
        Names and initial counts, molecules, from 0 to 2**52.
    reactions : iterable of str
    parameters : mapping of str to float, optional
    propensity : {"binomial", "falling"}
        "binomial": ``2 A -> B @ c`` has propensity c A (A - 1) / 2. "falling": c A (A - 1), so that a rate constant
        stands for the binomial one divided by the product of l_i!. Third-order and higher reactions likewise.

    Attributes
    ----------
    species : tuple of str, (S,)
    initial : int64 array, (S,)
    reactants, products : int64 arrays, (R, S)
    parameters, variables : dict of str to float
        Constants, and parameters that events of an SBML model change.
    rates : float64 array, (R,)
        Constants in the convention of `propensity`; NaN where the rate is an expression.
    reactions : tuple of str, (R,)
        Each as ``"2 A + B -> C @ 0.5"``.

    Raises
    ------
    TypeError, ValueError
        If a name, a count, a reaction or a rate is not what it must be.

    Examples
    --------
    >>> import kxfast as kx
    >>> net = kx.gillespie.ReactionNetwork(
    ...     {"S": 300, "E": 120, "SE": 0, "P": 0},
    ...     ["S + E -> SE @ k1", "SE -> S + E @ k2", "SE -> E + P @ k3"],
    ...     {"k1": 1.66e-3, "k2": 1e-4, "k3": 0.1},
    ... )
    >>> net
    ReactionNetwork(4 species, 3 reactions)

    """

    parameters: dict[str, float]

    def __init__(
        self,
        species: Mapping[str, int],
        reactions: Iterable[str],
        parameters: Mapping[str, float] | None = None,
        propensity: str = "binomial",
    ) -> None:
        if not isinstance(species, Mapping):
            raise TypeError(f"species must be a mapping of names to initial counts; got {type(species).__name__}")
        if isinstance(reactions, str) or not isinstance(reactions, Iterable):
            raise TypeError(f"reactions must be a sequence of strings; got {type(reactions).__name__}")
        names = check_names("species", species)
        constants = check_parameters(parameters, names)
        parsed = [parse(text, f"reactions[{i}]", names, constants) for i, text in enumerate(reactions)]
        initial = check_counts("the counts of species", list(species.values()), names)
        self._set_reactions(names, initial, parsed, propensity)
        self.parameters = constants

    @classmethod
    def from_reactions(
        cls,
        names: Sequence[str],
        initial: NDArray[np.int64],
        reactions: Sequence[Reaction],
        *,
        parameters: Mapping[str, float] | None = None,
        variables: Mapping[str, float] | None = None,
        events: Sequence[Event] = (),
        rules: Mapping[str, Program] | None = None,
    ) -> ReactionNetwork:
        """Return a network of parts that are already parsed and checked (for readers of files)."""
        network = cls.__new__(cls)
        network._set_reactions(names, initial, reactions, "binomial")
        network.parameters, network.variables = dict(parameters or {}), dict(variables or {})
        network.events, network.rules = tuple(events), dict(rules or {})
        return network

    def _set_reactions(
        self, names: Sequence[str], initial: NDArray[np.int64], reactions: Sequence[Reaction], propensity: str
    ) -> None:
        index = {name: i for i, name in enumerate(names)}
        sides = np.zeros((2, len(reactions), len(names)), np.int64)
        for j, reaction in enumerate(reactions):
            for side, coefficients in enumerate((reaction.reactants, reaction.products)):
                for name, coefficient in coefficients.items():
                    sides[side, j, index[name]] = coefficient
        rates = np.array([reaction.rate for reaction in reactions], np.float64)
        programs = tuple(reaction.program for reaction in reactions)
        self._set(names, initial, sides, rates, programs, propensity=propensity)

    def _set(
        self,
        names: Sequence[str],
        initial: NDArray[np.int64],
        sides: Iterable[NDArray[np.int64]],
        rates: NDArray[np.float64],
        programs: tuple[Program, ...],
        *,
        propensity: str,
    ) -> None:
        reactants, products = sides
        self.species = tuple(names)
        self.initial = initial
        self.propensity = checks.choice("propensity", propensity, PROPENSITIES)
        for name, x, high in (("reactants", reactants, _MAX_REACTANTS), ("products", products, _MAX_PRODUCTS)):
            if x.size and int(x.max()) > high:
                raise ValueError(f"{name} must be at most {high}; got {int(x.max())}")
        self.reactants, self.products, self.rates, self._programs = reactants, products, rates, programs
        self.parameters = {}
        self.variables: dict[str, float] = {}  # parameters that events change, and their values at time 0
        self.events: tuple[Event, ...] = ()
        self.rules: dict[str, Program] = {}  # what is computed from samples
        self.chosen_methods: dict[tuple[str, bool], str] = {}  # what "auto" stands for, once it has been found out
        for each in self.initial, reactants, products, rates:
            each.flags.writeable = False

    def __repr__(self) -> str:
        """Return the sizes."""
        return f"ReactionNetwork({len(self.species)} species, {len(self.rates)} reactions)"

    @property
    def reactions(self) -> tuple[str, ...]:
        """The reactions as strings, (R,)."""
        rows = zip(self.reactants, self.products, self.rates, strict=True)
        return tuple(write(self.species, *row) for row in rows)

    @property
    def index(self) -> dict[str, int]:
        """Places of species and variables in the state."""
        return {name: i for i, name in enumerate((*self.species, *self.variables))}

    @property
    def has_expressions(self) -> bool:
        """Whether some reaction's propensity is an expression."""
        return any(self._programs)

    def program(self, j: int) -> Program:
        """The steps of the propensity's expression of reaction j; none if it is a constant times binomials."""
        return self._programs[j]

    @cached_property
    def binomial_rates(self) -> NDArray[np.float64]:
        """The constants c of the propensities ``c * prod C(n_i, l_i)``, (R,); 0 where there is an expression."""
        rates = np.nan_to_num(self.rates)
        if self.propensity == "falling":
            factorials = [np.prod([float(factorial(k)) for k in row[row > 1]]) for row in self.reactants]
            rates = rates * np.array(factorials, np.float64)
        return rates

    def to_sbml(self, path: str | PathLike[str]) -> None:
        """Write the network as SBML Level 3 Version 2.

        Parameters
        ----------
        path : str or path
            The file appears whole or not at all.

        Raises
        ------
        ImportError
            If libSBML is not installed (``pip install python-libsbml``).
        OSError
            If the file cannot be written.

        Notes
        -----
        Propensities are written as they stand, parameters as their values, species as amounts in a compartment
        ``cell`` of size 1. A name that cannot be an id, such as ``EGF(r)``, becomes the name of a species ``S1``.
        `read_sbml` reads it back to the same propensities. Source: SBML Level 3 Version 2 Core, 2018.

        Examples
        --------
        >>> import pathlib, tempfile, kxfast as kx
        >>> net = kx.gillespie.ReactionNetwork({"P": 9, "P2": 0}, ["2 P -> P2 @ 0.1", "P2 -> 2 P @ 0.6"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.to_sbml(pathlib.Path(folder) / "dimer.xml")
        ...     print(kx.gillespie.read_sbml(pathlib.Path(folder) / "dimer.xml").reactions)
        ('2 P -> P2 @ 0.1', 'P2 -> 2 P @ 0.6')

        """
        from kxfast.gillespie.sbml_write import write_sbml

        write_sbml(self, path)

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """What backends take: initial, reactants, products, binomial rates, all programs in one, and control.

        The program of reaction r is ``ops[begin[r]:begin[r + 1]]`` with as many ``numbers``; it is empty if the
        propensity is the rate times binomials. Control is what `control_arrays` returns.
        """
        return self.arrays_until(())

    def arrays_until(self, until: Program) -> tuple[Any, ...]:
        """The same with a condition that ends a trajectory."""
        control = control_arrays(self.variables, self.events, len(self.species), until)
        return self.initial, self.reactants, self.products, self.binomial_rates, *flat(self._programs), control


def from_arrays(
    species: Sequence[str], initial: Any, reactants: Any, products: Any, rates: Any, *, propensity: str = "binomial"
) -> ReactionNetwork:
    """Return a network of mass action reactions given as arrays.

    Parameters
    ----------
    species : sequence of str, (S,)
    initial : integers, (S,)
        Counts at time 0, molecules.
    reactants, products : integers, (R, S)
        Molecules of each species that a reaction takes and gives.
    rates : array, (R,)
        Rate constants per unit of time, at least 0.
    propensity : {"binomial", "falling"}
        See `ReactionNetwork`.

    Returns
    -------
    ReactionNetwork

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: D. T. Gillespie, J. Phys. Chem. 81 (1977) 2340; article 5607 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.gillespie.from_arrays(["A", "B"], [10, 3], [[2, 0], [0, 1]], [[0, 1], [2, 0]], [0.01, 0.2])
    ReactionNetwork(2 species, 2 reactions)

    """
    if isinstance(species, str):
        raise TypeError("species must be a sequence of names; got str")
    names = check_names("species", species)
    c = checks.floating("rates", rates, ndim=1).astype(np.float64)
    if c.size:
        checks.finite("rates", c)
        if c.min() < 0:
            raise ValueError(f"rates must be at least 0; got {c.min():g}")
    sizes = len(c), len(names)
    sides = []
    for name, value in ("reactants", reactants), ("products", products):
        x = checks.integers(name, value, low=0).copy()
        checks.shape(name, x, sizes, str(sizes), f"to match {sizes[0]} rates and {sizes[1]} species")
        sides.append(x)
    network = ReactionNetwork.__new__(ReactionNetwork)
    network._set(names, check_counts("initial", initial, names), sides, c, ((),) * len(c), propensity=propensity)
    return network
