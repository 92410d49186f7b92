"""Reaction networks: species, initial counts, reactions and rates, and the arrays that backends simulate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import factorial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kxfast import checks
from kxfast.gillespie.control import Event, control_arrays, flat
from kxfast.gillespie.expressions import Program
from kxfast.gillespie.functions import numbered
from kxfast.gillespie.notation import Reaction, check_counts, check_names, check_parameters, parse, write
from kxfast.gillespie.sides import Side, in_volume, side_of

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
    reactions : iterable of str or (str, function)
        ``("A -> 0", f)`` has the propensity ``f(A, k)``, a Python function whose arguments are named after species and
        parameters. Numba compiles it, so it runs without the interpreter, in all threads.
    parameters : mapping of str to float, optional
    propensity : {"binomial", "falling"}
        "binomial": ``2 A -> B @ c`` has propensity c A (A - 1) / 2. "falling": c A (A - 1), so that a rate constant
        stands for the binomial one divided by the product of l_i!. Third-order and higher reactions likewise.
    volume : float
        V above 0 for rate constants per concentration, molecules per unit of volume: a reaction of order m has the
        constant c V^(1 - m), so that macroscopic ones go with "falling". Expressions stand as they are.

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
    functions: tuple[Callable[..., Any], ...]  # that programs call

    def __init__(
        self,
        species: Mapping[str, int],
        reactions: Iterable[str | tuple[str, Callable[..., Any]]],
        parameters: Mapping[str, float] | None = None,
        propensity: str = "binomial",
        *,
        volume: float = 1.0,
    ) -> None:
        if not isinstance(species, Mapping):
            raise TypeError(f"species must be a mapping of names to initial counts; got {type(species).__name__}")
        if isinstance(reactions, str) or not isinstance(reactions, Iterable):
            raise TypeError(f"reactions must be a sequence of strings; got {type(reactions).__name__}")
        names = check_names("species", species)
        constants = check_parameters(parameters, names)
        index = {name: i for i, name in enumerate(names)}
        parsed = [parse(text, f"reactions[{i}]", index, constants) for i, text in enumerate(reactions)]
        initial = check_counts("the counts of species", list(species.values()), names)
        self._set_reactions(names, initial, parsed, propensity, volume)
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
        self,
        names: Sequence[str],
        initial: NDArray[np.int64],
        reactions: Sequence[Reaction],
        propensity: str,
        volume: float = 1.0,
    ) -> None:
        sides = (
            side_of((each.reactants for each in reactions), names),
            side_of((each.products for each in reactions), names),
        )
        rates = in_volume(np.array([reaction.rate for reaction in reactions], np.float64), sides[0], volume)
        functions = tuple(dict.fromkeys(each.function for each in reactions if each.function))
        programs = tuple(
            numbered(each.program, functions.index(each.function)) if each.function else each.program
            for each in reactions
        )
        self._set(names, initial, sides, rates, programs, propensity=propensity)
        self.functions = functions

    @classmethod
    def from_sides(
        cls,
        names: Sequence[str],
        initial: NDArray[np.int64],
        sides: tuple[Side, Side],
        rates: NDArray[np.float64],
        *,
        propensity: str,
    ) -> ReactionNetwork:
        """Return a network of mass action of checked arrays."""
        network = cls.__new__(cls)
        network._set(names, initial, sides, rates, ((),) * len(rates), propensity=propensity)
        return network

    def _set(
        self,
        names: Sequence[str],
        initial: NDArray[np.int64],
        sides: tuple[Side, Side],
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
            if x.counts.size and int(x.counts.max()) > high:
                raise ValueError(f"{name} must be at most {high}; got {int(x.counts.max())}")
        self.sides, self.rates, self._programs = sides, rates, programs
        self.functions = ()
        self.parameters = {}
        self.variables: dict[str, float] = {}  # parameters that events change, and their values at time 0
        self.events: tuple[Event, ...] = ()
        self.rules: dict[str, Program] = {}  # what is computed from samples
        self.chosen_methods: dict[tuple[str, bool], str] = {}  # what "auto" stands for, once it has been found out
        for each in self.initial, *reactants, *products, rates:
            each.flags.writeable = False

    def __repr__(self) -> str:
        """Return the sizes."""
        return f"ReactionNetwork({len(self.species)} species, {len(self.rates)} reactions)"

    @property
    def reactions(self) -> tuple[str, ...]:
        """The reactions as strings, (R,)."""
        count = len(self.rates)
        rows = zip(*(side.by_reaction(count) for side in self.sides), self.rates.tolist(), strict=True)
        return tuple(write(self.species, *row) for row in rows)

    @property
    def reactants(self) -> NDArray[np.int64]:
        """Molecules that each reaction takes, dense, (R, S)."""
        return self.sides[0].dense(len(self.rates), len(self.species))

    @property
    def products(self) -> NDArray[np.int64]:
        """Molecules that each reaction gives, dense, (R, S)."""
        return self.sides[1].dense(len(self.rates), len(self.species))

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
    def changes(self) -> sparse.csr_array:
        """What each reaction adds to the counts, sparse, (R, S)."""
        taken, given = self.sides
        entries = np.concatenate([given.counts, -taken.counts])
        where = [np.concatenate(each) for each in zip(given[:2], taken[:2], strict=True)]
        return sparse.csr_array((entries, where), shape=(len(self.rates), len(self.species)))

    @cached_property
    def binomial_rates(self) -> NDArray[np.float64]:
        """The constants c of the propensities ``c * prod C(n_i, l_i)``, (R,); 0 where there is an expression."""
        rates = np.nan_to_num(self.rates)
        if self.propensity == "falling":
            rows, _, counts = self.sides[0]
            np.multiply.at(rates, rows, [float(factorial(k)) for k in counts.tolist()])
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
        ``cell`` of size 1, events and what rules assign as they were read. A name that cannot be an id, such as
        ``EGF(r)``, becomes the name of a species ``S1``.
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
        """What backends take: initial, reactants, products, binomial rates, all programs in one, control and functions.

        A side is (reactions, species, counts), an entry for each species of a reaction, in order. The program of
        reaction r is ``ops[begin[r]:begin[r + 1]]`` with as many ``numbers``; it is empty if the propensity is the rate
        times binomials. Control is what `control_arrays` returns.
        """
        return self.arrays_until(())

    def arrays_until(self, until: Program) -> tuple[Any, ...]:
        """The same with a condition that ends a trajectory."""
        control = control_arrays(self.variables, self.events, len(self.species), until)
        sides = (tuple(side) for side in self.sides)  # plain: processes that get them need not know this module
        return self.initial, *sides, self.binomial_rates, *flat(self._programs), control, self.functions
