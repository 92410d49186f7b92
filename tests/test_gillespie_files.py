"""BioNetGen's .net files, SBML written and read back, and mass action found in expressions."""

from __future__ import annotations

import numpy as np
import pytest

import kxfast as kx
from kxfast.backends.reference import gillespie as reference
from kxfast.gillespie.mass_action import recognised
from kxfast.gillespie.notation import parse

g = kx.gillespie
NET = """# Created by BioNetGen 2.9.3
begin parameters
    1 NA        6.02e23  # Constant
    2 V         1e-15
    3 kon       1.5e6/(NA*V)*1e9
    4 koff      2^3/10
    5 n0        10.4*2
    6 vmax      5
end parameters
begin functions
    1 half() A_tot/2
    2 fdeg() vmax/(1+ln(1+half()))
end functions
begin species
    1 A(b) n0
    2 B(a) 30
    3 A(b!1).B(a!1) 0
    4 A(b!1).A(b!1) 1
    5 $Src() 7
end species
begin reactions
    1 1,2 3 kon #_R1
    2 3 1,2 koff #_reverse__R1
    3 1,1 4 0.5*kon #dimer
    4 1 0 fdeg() #loss
    5 5 1,5 0.1 #source
    6 0 2 2 #birth
    7 1,1 1 fdeg #pairs
    8 5 1 1 #from the source, which stays
end reactions
begin groups
    1 A_tot 1,3,2*4
end groups
"""


def read(folder, text):
    path = folder / "model.net"
    path.write_text(text)
    return g.read_bngl_net(path)


def propensities(net):
    return reference.propensities(net.arrays, net.initial)


def test_net_file(tmp_path):
    net = read(tmp_path, NET)
    assert net.species == ("A(b)", "B(a)", "A(b!1).B(a!1)", "A(b!1).A(b!1)", "Src()")
    assert net.initial.tolist() == [21, 30, 0, 1, 7]
    kon, loss = 1.5e6 / (6.02e23 * 1e-15) * 1e9, 5 / (1 + np.log(1 + (21 + 2) / 2))
    expected = [kon * 21 * 30, 0, 0.5 * kon * 21 * 20, loss * 21, 0.7, 2, loss * 21 * 20, 7]
    np.testing.assert_allclose(propensities(net), expected, rtol=1e-14)
    changes = (net.products - net.reactants).tolist()
    assert changes[0] == [-1, -1, 1, 0, 0]
    assert changes[2] == [-2, 0, 0, 1, 0]
    assert changes[4] == changes[7] == [1, 0, 0, 0, 0]
    assert net.reactions[0] == f"A(b) + B(a) -> A(b!1).B(a!1) @ {kon:g}"
    assert g.simulate(net, [0.01], n=3, seed=1).counts[:, 0, 4].tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("begin species", "begin things", "the file must have a block of species; got parameters, functions, things,"),
        ("    2 B(a) 30", "    2 B(a)", r"line 16 must have an index and 2 fields; got '2 B\(a\)'"),
        ("    2 B(a) 30", "    2 A(b) 30", r"species must be different; got 'A\(b\)' twice"),
        ("    1 1,2 3 kon", "    1 1,9 3 kon", "line 22 must name species by number; got '9'"),
        ("    2 3 1,2 koff", "    2 3 1,2 kof", r"line 23 must name species and parameters \(S1, .*\); got 'kof'"),
        ("    2 3 1,2 koff", "    2 3 1,2 MM koff kon", "line 23 must have a substrate and an enzyme that differ for"),
        (
            "    2 3 1,2 koff",
            "    2 1,1 4 Sat koff kon",
            "line 23 must have reactants that differ for the rate law Sat",
        ),
        ("    2 3 1,2 koff", "    2 3 1,2 Hill koff kon", "line 23 must give Hill 3 parameters; got 2"),
        ("    6 0 2 2", "    6 0 2 -2", "line 27 must have a rate that is finite and at least 0; got -2"),
        ("1,3,2*4", "1,x", "line 32 must name species by number; got 'x'"),
        ("vmax/(1+ln", "floor(vmax)/(1+ln", "line 25 must call one of .*; got 'floor'"),
        ("    6 vmax      5", "    6 vmax", "line 8 must have an index and 2 fields; got '6 vmax'"),
    ],
)
def test_net_files_that_are_not_understood(tmp_path, old, new, words):
    with pytest.raises(ValueError, match=f"model.net: {words}"):
        read(tmp_path, NET.replace(old, new))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("1 3 Sat k K", 3 * 100 / 140),
        ("1,2 2,3 Sat k K", 3 * 30 * 100 / 140),
        ("1 3 Hill k K h", 3 * 100**2 / (40**2 + 100**2)),
        ("1,2 2,3 Hill k K h", 30 * 3 * 100**2 / (40**2 + 100**2)),
        ("1,2 2,3 MM k 0.5*2*K", 60.0),  # 80 of 100 are free: (100 - 80) (40 + 80) = 30 * 80
    ],
)
def test_rate_laws_of_net_files(tmp_path, rule, expected):
    text = f"""begin parameters
    1 k 3
    2 K 40
    3 h 2
end parameters
begin species
    1 S() 100
    2 E() 30
    3 P() 0
end species
begin reactions
    1 {rule} #r
end reactions"""
    net = read(tmp_path, text)
    np.testing.assert_allclose(propensities(net), [expected], rtol=1e-14)
    assert g.simulate(net, [1e4], n=20, seed=1).counts[:, 0].tolist() == [[0, 30, 100]] * 20
    assert reference.propensities(net.arrays, np.array([0, 30, 0])).tolist() == [0]


def net_text(net):
    """A network in BioNetGen's form; rates there are those of falling factorials."""
    rows = [f"{j + 1} k{j} {rate!r}" for j, rate in enumerate((net.rates / 2 ** (net.reactants == 2).sum(1)).tolist())]
    sides = [
        [",".join(str(i + 1) for i in np.repeat(np.arange(len(row)), row)) or "0" for row in side]
        for side in (net.reactants, net.products)
    ]
    reactions = [f"{j + 1} {left} {right} k{j} #r{j}" for j, (left, right) in enumerate(zip(*sides, strict=True))]
    species = [f"{i + 1} M(s~{i}) {x}" for i, x in enumerate(net.initial)]
    blocks = {"parameters": rows, "species": species, "reactions": reactions}
    return "\n".join(f"begin {name}\n{chr(10).join(lines)}\nend {name}" for name, lines in blocks.items())


@pytest.mark.parametrize("name", ["multisite2", "egfr"])
def test_large_net_files(shared_data, tmp_path, name):
    net = g.read_json(shared_data / "ssa_models" / f"{name}.json")
    again = read(tmp_path, net_text(net))
    np.testing.assert_array_equal(again.reactants, net.reactants)
    np.testing.assert_array_equal(again.products, net.products)
    np.testing.assert_allclose(again.rates, net.rates, rtol=1e-15)


MODELS = {
    "toggle": g.example("toggle"),
    "schlogl": g.example("schlogl"),
    "falling": g.ReactionNetwork(
        {"time": 9, "S1": 3, "cell": 4},
        ["2 time + S1 -> cell @ 0.3", "3 cell -> 0 @ 1", "0 -> S1 @ 2"],
        propensity="falling",
    ),
    "expressions": g.ReactionNetwork(
        {"U": 5, "V": 6, "W": 1},
        ["0 -> U @ 30 / (1 + (V / 8) ** 2.5)", "U -> W @ 3 * exp(-U / 9) + log(1 + W)",
         "V -> 0 @ min(V, sqrt(V) * 3) + abs(max(U, V) - 2)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_sbml_written_and_read_back(tmp_path, name):
    libsbml = pytest.importorskip("libsbml", reason="needs python-libsbml")
    net, path = MODELS[name], tmp_path / "model.xml"
    net.to_sbml(path)
    document = libsbml.readSBML(str(path))
    document.setConsistencyChecks(libsbml.LIBSBML_CAT_UNITS_CONSISTENCY, False)
    assert document.checkConsistency() == 0, document.getErrorLog().toString()
    again = g.read_sbml(path)
    assert len(again.species) == len(net.species)
    rng = np.random.default_rng(1)
    for _ in range(20):
        counts = rng.integers(0, 12, len(net.species))
        a, b = (reference.propensities(each.arrays, counts) for each in (net, again))
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-300)
    np.testing.assert_array_equal(again.products - again.reactants, net.products - net.reactants)
    if not net.has_expressions:
        np.testing.assert_array_equal(again.reactants, net.reactants)
        assert not again.has_expressions


def test_patterns_become_names_in_sbml(tmp_path):
    pytest.importorskip("libsbml", reason="needs python-libsbml")
    net = read(tmp_path, NET)
    net.to_sbml(tmp_path / "model.xml")
    again = g.read_sbml(tmp_path / "model.xml")
    assert again.species == ("S1", "S2", "S3", "S4", "S5")
    np.testing.assert_allclose(propensities(again), propensities(net), rtol=1e-13)


def test_a_folder_that_is_not_there_leaves_nothing(tmp_path):
    pytest.importorskip("libsbml", reason="needs python-libsbml")
    with pytest.raises(FileNotFoundError, match=r"path must be in an existing folder; got '.*none/model.xml'"):
        MODELS["toggle"].to_sbml(tmp_path / "none" / "model.xml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        ("A -> 0 @ 2 * A", "A -> 0 @ 2"),
        ("A -> 0 @ A * 3 / 4 + A / 4", "A -> 0 @ 1"),
        ("2 A -> B @ 0.1 * A * (A - 1) / 2", "2 A -> B @ 0.1"),
        ("2 A -> B @ 0.5 * (A ** 2 - A)", "2 A -> B @ 1"),
        ("3 A + B -> 0 @ B * A * (A - 1) * (A - 2)", "3 A + B -> 0 @ 6"),
        ("A -> 0 @ 0.2 * A * B", "A + B -> B @ 0.2"),
        ("A -> B @ 0.2 * A * B", "A + B -> 2 B @ 0.2"),
        ("0 -> A @ 0.2 * B", "B -> A + B @ 0.2"),
        ("2 A -> B @ 0.1 * A ** 2", None),
        ("2 A -> B @ 0.1 * A", None),
        ("A -> 0 @ 3 + 0 * A", None),
        ("A -> 0 @ A / (1 + A)", None),
        ("A -> 0 @ exp(A)", None),
        ("A -> 0 @ 2 * A + 1", None),
        ("A -> 0 @ 0 - A", None),
        ("A -> 0 @ (1 + A + B) ** 8 * (1 + A) ** 8", None),
    ],
)
def test_mass_action_is_recognised(law, expected):
    names = ("A", "B")
    found = recognised(parse(law, "law", {"A": 0, "B": 1}, {}), names)
    net = g.ReactionNetwork.from_reactions(names, np.array([5, 4]), [found])
    if expected is None:
        assert net.has_expressions
    else:
        assert net.reactions == (expected,)
