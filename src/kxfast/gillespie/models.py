"""Networks in files: the neutral JSON form, and the examples that come with the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from os import PathLike
from typing import Any

from kxfast import checks
from kxfast.gillespie.network import ReactionNetwork
from kxfast.gillespie.notation import Reaction, check_counts, check_names, check_parameters, check_rate, rate_of

EXAMPLES = (
    "birth_death",
    "dimerisation",
    "lotka_volterra",
    "michaelis_menten",
    "multistate",
    "schlogl",
    "toggle",
    "vilar",
)


def read_json(path: str | PathLike[str]) -> ReactionNetwork:
    """Read a network in the neutral JSON form.

    The file holds ``{"species": [names], "x0": [counts], "params": {name: value}, "reactions": [...]}``; a reaction
    is ``{"r": {species: coefficient}, "p": {...}, "k": constant}`` or has ``"expr"``, an arithmetic expression of
    species and parameters that is the propensity itself, instead of ``"k"``. Other keys are not read.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    ReactionNetwork
        With binomial propensities: ``{"r": {"X": 2}, "k": c}`` fires at c X (X - 1) / 2.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If it does not hold a network; the message begins with the file's name.

    Notes
    -----
    Source: the form is this project's own.

    Examples
    --------
    >>> import json, pathlib, tempfile, kxfast as kx
    >>> model = {"species": ["X"], "x0": [0], "reactions": [{"r": {}, "p": {"X": 1}, "k": 5}]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "immigration.json"
    ...     _ = path.write_text(json.dumps(model))
    ...     print(kx.gillespie.read_json(path))
    ReactionNetwork(1 species, 1 reactions)

    """
    file = checks.readable_file("path", path)
    try:
        return _from_text(file.read_text(encoding="utf-8"))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{file.name}: {error}") from None


def example(name: str) -> ReactionNetwork:
    """Return one of the networks that come with the package.

    Parameters
    ----------
    name : str
        One of birth_death, dimerisation, lotka_volterra, michaelis_menten, multistate, schlogl, toggle, vilar.

    Returns
    -------
    ReactionNetwork

    Raises
    ------
    ValueError
        If there is no network of that name.

    Notes
    -----
    Source and licence of each: ``kxfast/data/ssa_models/README.md``.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.gillespie.example("toggle")
    ReactionNetwork(8 species, 12 reactions)

    """
    file = resources.files("kxfast") / "data" / "ssa_models" / f"{checks.choice('name', name, EXAMPLES)}.json"
    return _from_text(file.read_text(encoding="utf-8"))


def _from_text(text: str) -> ReactionNetwork:
    try:
        model = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the file must be JSON; got {error}") from None
    names = check_names("species", _get(model, "species", list, "the model"))
    initial = check_counts("x0", _get(model, "x0", list, "the model"), names)
    parameters = check_parameters(model.get("params"), names)
    listed = _get(model, "reactions", list, "the model")
    index = {each: i for i, each in enumerate(names)}
    reactions = [_reaction(each, f"reactions[{i}]", index, parameters) for i, each in enumerate(listed)]
    return ReactionNetwork.from_reactions(names, initial, reactions)


def _get(record: Any, key: str, kind: type, name: str) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get(key), kind):
        raise ValueError(f"{name} must have a {key!r} that is a {kind.__name__}")
    return record[key]


def _reaction(record: Any, name: str, species: Mapping[str, int], parameters: Mapping[str, float]) -> Reaction:
    reactants, products = (_side(_get(record, key, dict, name), f"{name}[{key!r}]", species) for key in ("r", "p"))
    if "expr" in record:
        law = _get(record, "expr", str, name)
        rate, program = rate_of(law, name, species, parameters, law=True)
        return Reaction(reactants, products, rate, program)
    return Reaction(reactants, products, check_rate(f"{name}['k']", record.get("k")))


def _side(side: dict[str, Any], name: str, species: Mapping[str, int]) -> dict[str, int]:
    for each in side:
        if each not in species:
            raise ValueError(f"{name} must name species of the network; got {each!r}")
    return {each: checks.integer(f"{name}[{each!r}]", k, low=0) for each, k in side.items()}
