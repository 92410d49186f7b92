"""The command line as its user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kxfast import cases, cli, settings


def run(*arguments, text="", **environment):
    return subprocess.run(
        [sys.executable, "-m", "kxfast", *arguments],
        input=text if isinstance(text, bytes) else text.encode(),
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


def test_info(capsys):
    assert cli.main(["info"]) == 0
    assert "instruction set" in capsys.readouterr().out
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threads"] >= 1


def test_verify_agrees_and_tells_its_seed(capsys):
    assert cli.main(["verify", "--stem", "words", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "inputs from seed 7" in out
    assert "0 failed" in out


def test_verify_fails_where_a_backend_is_wrong(capsys, monkeypatch):
    from kxfast import dispatch

    right = dispatch.implementation("lipschitz", "power_iteration", "reference", "d")

    def wrong(*arguments):
        sigma, u, v = right(*arguments)
        return sigma * (1 + 1e-3), u, v

    for dtype in "fd":
        key = ("lipschitz", "power_iteration", "native", dtype)
        monkeypatch.setitem(dispatch._found, key, wrong)
    engines = cases.engines("lipschitz.power_iteration")
    if engines == ("reference",):
        pytest.skip("the compiled module is not installed")
    assert cli.main(["verify", "--stem", "lipschitz", "--seed", "1"]) == 1
    out = capsys.readouterr().out
    assert "lipschitz.power_iteration on native/baseline disagrees with the reference" in out
    assert "kxfast verify --seed 1" in out


def test_bench_writes_its_results(tmp_path, capsys):
    assert cli.main(["bench", "--quick", "--stem", "words", "--output", str(tmp_path)]) == 0
    assert "× reference" in capsys.readouterr().out
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert {row["engine"].split("/")[0] for row in rows} >= {"reference"}
    assert all(row["seconds"] > 0 and row["speedup"] > 0 for row in rows)
    page = (tmp_path / "bench.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "words.discover" in page


def test_bench_refuses_a_missing_folder(capsys):
    assert cli.main(["bench", "--data", "no/such/folder"]) == 2
    assert capsys.readouterr().err == "kxfast bench: --data must be an existing folder; got 'no/such/folder'\n"


def test_words_and_segment_work_in_a_pipe(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("天地玄黄，宇宙洪荒。天地人和\n宇宙天地\n", encoding="utf-8")
    lexicon = tmp_path / "words.txt"
    found = run("words", str(corpus), "-o", str(lexicon), "--min-count", "2", "--min-pmi", "0")
    assert (found.returncode, found.stdout) == (0, b"")
    assert lexicon.read_text(encoding="utf-8") == "天地 3\n宇宙 2\n"
    cut = run("segment", "--lexicon", str(lexicon), text="天地人\r\n\n天地天地\n")
    assert cut.stdout.decode() == "天地 人\n\n天地 天地\n"


def test_words_tells_where_the_bad_byte_is_and_writes_nothing(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_bytes("天地\n".encode() * 9 + b"\xe5\xa4\n")
    found = run("words", str(corpus), "-o", str(tmp_path / "words.txt"))
    assert found.returncode == 2
    assert found.stderr.decode() == f"kxfast words: corpus must be UTF-8; got byte 0xe5 at offset 63 of '{corpus}'\n"
    assert [each.name for each in tmp_path.iterdir()] == ["corpus.txt"]
    replaced = run("words", str(corpus), "--errors", "replace", "--min-count", "5", "--min-pmi", "0", "--report")
    assert replaced.stdout.decode() == "天地 9 0.6931 0.0000 0.0000\n"


def test_segment_tells_where_the_bad_byte_is(tmp_path):
    (tmp_path / "words.txt").write_text("天地 2\n", encoding="utf-8")
    bad = "天地\n天".encode() + b"\xff\n"
    found = run("segment", "--lexicon", str(tmp_path / "words.txt"), text=bad)
    assert found.returncode == 2
    assert found.stderr == b"kxfast segment: standard input must be UTF-8; got byte 0xff at offset 10\n"
    replaced = run("segment", "--lexicon", str(tmp_path / "words.txt"), "--errors", "replace", text=bad)
    assert replaced.stdout.decode() == "天地\n天 \ufffd\n"


def test_segment_stops_quietly_when_its_reader_goes(tmp_path):
    (tmp_path / "words.txt").write_text("天地 2\n", encoding="utf-8")
    command = f"{sys.executable} -m kxfast segment --lexicon {tmp_path}/words.txt | head -n 1"
    found = subprocess.run(["bash", "-c", command], input="天地\n".encode() * 200_000, capture_output=True, check=False)
    assert found.stdout.decode() == "天地\n"
    assert found.stderr == b""


def test_unknown_command():
    found = run("dance")
    assert found.returncode == 2
    assert b"invalid choice: 'dance'" in found.stderr


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("KXFAST_BACKEND", "gpu", "must be one of native, numba, cuda, reference; got 'gpu'"),
        ("KXFAST_ISA", "avx3", "must be one of baseline"),
        ("KXFAST_NUM_THREADS", "x", "must be a whole number of at least 1; got 'x'"),
    ],
)
def test_a_wrong_environment_is_one_line(variable, value, expected):
    if variable == "KXFAST_ISA" and settings.native() is None:
        pytest.skip("the compiled module is not installed")
    answer = run("info", **{variable: value})
    assert answer.returncode == 2
    assert answer.stderr.decode().startswith(f"kxfast info: {variable} {expected}")
    assert answer.stderr.count(b"\n") == 1
