"""The stem's examples and its command: they run, and the figures they print are those of the laws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kxfast as kx
from kxfast import cli

FOLDER = Path(__file__).parents[1] / "examples"
COMPILED = "native" in kx.available("gillespie.simulate")
EXAMPLES = {
    "gene_expression": (("--steps", "20000"), r"mean (4[0-9]|5[0-9])\.\d+ \(50\), variance (8|9|10|11|12|13|14)\d"),
    "enzyme": (("--runs", "50"), r"then nothing can react any more: \[0, 121, 0, 300\]\nthe last product comes after"),
    "toggle": (("--runs", "40"), r"U stays on for \d\d+ lifetimes"),
    "schloegl": (("--runs", "100"), r"at t = 10 \d+\.\d% of the trajectories"),
    "receptor": (("--runs", "2"), r"ReactionNetwork\(19 species, \d+ reactions\) read in 0\.\d+ s\n\d+ events"),
}


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not beside the tests")
@pytest.mark.skipif(not COMPILED, reason="the compiled module is not built")
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, tmp_path):
    pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")
    arguments, words = EXAMPLES[name]
    command = [sys.executable, str(FOLDER / f"plot_gillespie_{name}.py"), *arguments, "--output", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert re.search(words, answer.stdout), answer.stdout
    assert (tmp_path / f"gillespie_{name}.png").stat().st_size > 10_000


def test_command_prints_means(capsys):
    assert cli.main(["ssa", "birth_death", "--end", "20", "--points", "3", "-n", "400", "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    rows = [line.split(",") for line in out.splitlines()]
    assert rows[0] == ["t", "mean X", "sd X"]
    assert [row[0] for row in rows[1:]] == ["0", "10", "20"]
    assert abs(float(rows[-1][1]) - 100) < 3
    assert re.fullmatch(r"400 trajectories, \d+ events, method direct\n", err)


def test_command_writes_files(tmp_path, capsys):
    net = kx.gillespie.example("toggle")
    files = [str(tmp_path / name) for name in ("table.csv", "paths.npz", "picture.png")]
    common = ["ssa", "toggle", "--end", "3", "--points", "4", "-n", "9", "--seed", "5", "--threads", "1"]
    chosen = net.species[1]
    pytest.importorskip("matplotlib", reason="draws")
    assert cli.main([*common, "--species", chosen, "-o", files[0], "--trajectories", files[1], "--plot", files[2]]) == 0
    kept = np.load(files[1])
    expected = kx.gillespie.simulate(net, np.linspace(0, 3, 4), n=9, seed=5)
    np.testing.assert_array_equal(kept["counts"][:, :, 0], expected.counts[:, :, 1])
    assert kept["species"].tolist() == [chosen]
    assert Path(files[0]).read_text().startswith(f"t,mean {chosen},sd {chosen}\n0,")
    assert Path(files[2]).stat().st_size > 5000
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such", "--end", "1"], "name must be one of"),
        (["model.txt", "--end", "1"], "model must end in .xml, .sbml, .net, .json, or be an example; got 'model.txt'"),
        (["/nowhere/model.xml", "--end", "1"], "path must be an existing file"),
        (["birth_death", "--end", "1", "--points", "1"], "--points must be at least 2; got 1"),
        (["birth_death", "--end", "-3"], "--end must be above 0; got -3"),
        (["birth_death", "--end", "1", "--species", "Y"], "--species must be among X; got 'Y'"),
        (["birth_death", "--end", "1", "--trajectories", "a.csv"], "--trajectories must end in .npz"),
    ],
)
def test_wrong_commands(arguments, words, capsys):
    assert cli.main(["ssa", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
