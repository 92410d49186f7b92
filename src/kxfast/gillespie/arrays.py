"""Networks given as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from kxfast import checks
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.notation import check_counts, check_names
from kxfast.gillespie.sides import Side, in_volume, side_of_entries


def from_arrays(
    species: Sequence[str],
    initial: Any,
    reactants: Any,
    products: Any,
    rates: Any,
    *,
    propensity: str = "binomial",
    volume: float = 1.0,
) -> ReactionNetwork:
    """Return a network of mass action reactions given as arrays.

    Parameters
    ----------
    species : sequence of str, (S,)
    initial : integers, (S,)
        Counts at time 0, molecules.
    reactants, products : integers, (R, S)
        Molecules of each species that a reaction takes and gives; arrays, or sparse arrays of SciPy.
    rates : array, (R,)
        Rate constants per unit of time, at least 0.
    propensity : {"binomial", "falling"}
    volume : float
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
    sides = (_side("reactants", reactants, len(c), len(names)), _side("products", products, len(c), len(names)))
    c = in_volume(c, sides[0], volume)
    return ReactionNetwork.from_sides(names, check_counts("initial", initial, names), sides, c, propensity=propensity)


def _side(name: str, value: Any, reactions: int, species: int) -> Side:
    if sparse.issparse(value):
        entries = value.tocoo()
        entries.sum_duplicates()
        shape, (rows, places), counts = entries.shape, entries.coords, checks.integers(name, entries.data, low=0)
    else:
        x = checks.integers(name, value, low=0)
        shape, (rows, places), counts = x.shape, np.nonzero(x) if x.ndim == 2 else ((), ()), x[x != 0]
    if shape != (reactions, species):
        wanted = f"{(reactions, species)} to match {reactions} rates and {species} species"
        raise ValueError(f"{name} must have shape {wanted}; got {shape}")
    return side_of_entries(np.asarray(rows), np.asarray(places), counts)
