"""SBML models of the discrete stochastic models test suite: acceptance as the suite defines it, or refusal by name."""

from __future__ import annotations

import csv
import json
import os
from importlib import import_module

import numpy as np
import pytest

import kxfast as kx
from kxfast.backends.reference import gillespie as reference

pytest.importorskip("libsbml", reason="needs python-libsbml")
g = kx.gillespie
COMPILED = "native" in kx.available("gillespie.simulate")
METHODS = import_module(f"kxfast.backends.{'native' if COMPILED else 'reference'}.gillespie").METHODS
RUNS = int(os.environ.get("KXFAST_DSMTS_RUNS", "10000"))
IDS = [
    "00001", "00003", "00005", "00006", "00008", "00009", "00011", "00013", "00017", "00019",
    "00020", "00022", "00024", "00026", "00028", "00030", "00032", "00034", "00037", "00039",
]  # fmt: skip


def outside(counts, mean, sd, case):
    """How many of mean and spread are outside of their ranges; where sd is 0 the mean is exact."""
    exact = sd == 0
    assert np.all(counts[:, exact] == mean[exact])
    x, mean, sd, n = counts[:, ~exact], mean[~exact], sd[~exact], len(counts)
    d = x - x.mean(0)
    kurtosis = (d**4).mean(0) / (d**2).mean(0) ** 2
    z = np.sqrt(n) * (x.mean(0) - mean) / sd
    y = np.sqrt(n) * (x.var(0, ddof=1) / sd**2 - 1) / np.sqrt(np.maximum(2, kurtosis - 1))
    assert np.max(np.abs(z), initial=0) < 8
    return [
        np.sum((each < low) | (each > high)) for each, (low, high) in ((z, case["mean_range"]), (y, case["sd_range"]))
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", IDS)
def test_acceptance(shared_data, name, method):
    """10 000 runs (1000 of the largest); a case that fails runs once more with another seed, as the suite says.

    For the night: KXFAST_DSMTS_RUNS=100000 pytest tests/test_gillespie_sbml.py -k acceptance
    """
    folder = shared_data / "dsmts"
    case = next(each for each in json.loads((folder / "cases.json").read_text()) if each["id"] == name)
    net = g.read_sbml(folder / case["sbml"])
    t = np.linspace(case["start"], case["start"] + case["duration"], case["steps"] + 1)
    rows = list(csv.DictReader((folder / case["results"]).read_text().splitlines()))

    n = (RUNS if net.initial.max() <= 1000 else RUNS // 10) if COMPILED else 100

    def worst(seed):
        res = g.simulate(net, t, n=n, method=method, seed=seed)
        found = []
        for variable in case["variables"]:
            mean, sd = (np.array([float(row[f"{variable}-{kind}"]) for row in rows]) for kind in ("mean", "sd"))
            counts = res.assigned.get(variable)
            counts = counts if counts is not None else res.counts[:, :, net.species.index(variable)]
            found.append(max(outside(counts, mean, sd, case)))
        return max(found)

    assert worst(20) <= 3 or worst(21) <= 3


MODEL = """<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model {units}>
<listOfCompartments><compartment id="cell" size="2" constant="true"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="cell" {initial} hasOnlySubstanceUnits="false" boundaryCondition="false"
 constant="false"/></listOfSpecies>
<listOfReactions><reaction id="R" reversible="false" fast="false"><listOfReactants>
<speciesReference species="A" stoichiometry="{taken}" constant="true"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply>{law}</apply></math>
<listOfLocalParameters><localParameter id="k" value="-3"/></listOfLocalParameters></kineticLaw></reaction>
</listOfReactions></model></sbml>"""
TIME = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>'


def read(folder, *, units="", initial='initialAmount="6"', taken="1", law="<times/><ci>k</ci><ci>A</ci>"):
    path = folder / "model.xml"
    path.write_text(MODEL.format(units=units, initial=initial, taken=taken, law=law))
    return g.read_sbml(path)


def test_laws_are_read_as_they_stand(tmp_path):
    def propensity(law):
        net = read(tmp_path, law=law, initial='initialConcentration="3"')
        return reference.propensities(net.arrays, net.initial)[0]

    assert propensity("<times/><ci>k</ci><ci>A</ci>") == -3 * 6 / 2
    assert propensity("<power/><ci>k</ci><cn>2</cn>") == propensity("<power/><cn>-3</cn><cn>2</cn>") == 9
    assert propensity("<minus/><apply><minus/><ci>A</ci></apply><ci>cell</ci>") == -5
    assert propensity("<divide/><apply><exp/><ci>A</ci></apply><apply><exp/><cn>3</cn></apply>") == pytest.approx(1)
    assert propensity('<plus/><cn type="rational">1<sep/>4</cn><cn type="integer">2</cn><ci>A</ci>') == 5.25


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": 'substanceUnits="mole"'}, "model '' must count in items; got substance units 'mole'"),
        ({"initial": 'initialAmount="2.5"'}, "the initial amounts of species must be integers"),
        ({"initial": ""}, "species 'A' must have an initial amount or concentration"),
        ({"taken": "1.5"}, "reaction 'R' must have whole stoichiometries; got 1.5"),
        (
            {"law": "<times/><ci>k1</ci><ci>A</ci>"},
            r"the rate of reaction 'R' must name species and parameters \(A, cell\); got 'k1'",
        ),
        ({"law": "<tan/><ci>A</ci>"}, r"reaction 'R' has 'tan\(A\)' in its formula, which is not supported"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path, changes, words):
    with pytest.raises(ValueError, match=f"model.xml: {words}"):
        read(tmp_path, **changes)


def test_a_file_that_is_not_sbml(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("hello")
    with pytest.raises(ValueError, match="the file must be SBML; got Badly formed XML"):
        g.read_sbml(path)
