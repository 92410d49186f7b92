"""The command that runs where there is a GPU: its plan, its file of results, and its checks on the emulated device."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from cuda_emulation import GpuArray, emulated, play_gpu

import kxfast as kx
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import (
    attention,
    beside,
    child,
    conformance,
    conv,
    cooccurrence,
    gillespie,
    large,
    lipschitz,
    plan,
    timing,
)
from benchmarks.gpu import run as runner
from benchmarks.gpu.checks import HALVES
from kxfast import cases
from kxfast.gillespie import example

STEPS = [plan.Step("a", "check", str(i), lambda seed: {}) for i in range(3)] + [
    plan.Step("b", "check", "0", lambda seed: {}),
    plan.Step("b", "peers", "1", lambda seed: {}),
]

CHILD = """
import json, os, sys, time
for key in sys.argv[1:]:
    if key == "a check 1" and {crash}: os._exit(9)
    if key == "b check 0" and {hang}: time.sleep(60)
    if key[0] == "a" and {slow}: time.sleep(1.2)
    print(json.dumps({{"key": key, "seed": 5, "value": 1.0, "error": 0.5}}), flush=True)
"""


def play(tmp_path, budget=30.0, **faults):
    """Run the steps with processes that do as they are told; return failures, rows, and what was started."""
    started = []

    def fake(steps, seed):
        started.append([step.key for step in steps])
        return [
            sys.executable,
            "-c",
            CHILD.format(**{"crash": False, "hang": False, "slow": False, **faults}),
            *started[-1],
        ]

    failed = runner.run(STEPS, tmp_path / "out.json", budget, 5, {"gpu": "none", "seed": 5}, fake)
    results = json.loads((tmp_path / "out.json").read_text())
    assert results["machine"] == {"gpu": "none", "seed": 5}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    return failed, {row["key"]: row for row in results["rows"]}, started


def test_all_steps_have_rows_and_paths_have_processes_of_their_own(tmp_path):
    failed, rows, started = play(tmp_path)
    assert failed == 0
    assert list(rows) == [step.key for step in STEPS]
    assert started == [["a check 0", "a check 1", "a check 2"], ["b check 0"], ["b peers 1"]]


def test_a_process_that_ends_loses_one_step(tmp_path):
    failed, rows, started = play(tmp_path, crash=True)
    assert failed == 1
    assert rows["a check 1"]["failed"].startswith("its process ended with 9")
    assert started[:2] == [["a check 0", "a check 1", "a check 2"], ["a check 2"]]
    assert "failed" not in rows["a check 2"]
    failed, rows, started = play(tmp_path)
    assert (failed, started) == (1, [])  # what has failed has failed


def test_an_end_of_time_is_no_result(tmp_path):
    failed, rows, _ = play(tmp_path, budget=3.0, hang=True)
    assert failed == 2
    assert {key for key, row in rows.items() if row.get("failed") == plan.TIME_IS_UP} == {"b check 0", "b peers 1"}
    failed, rows, started = play(tmp_path)
    assert (failed, started) == (0, [["b check 0"], ["b peers 1"]])
    assert len(rows) == len(STEPS)


def test_one_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setitem(runner._MOST, "check", 3.0)
    failed, rows, _ = play(tmp_path, hang=True)
    assert failed == 1
    assert rows["b check 0"]["failed"] == "took more than 3 s"
    assert "failed" not in rows["b peers 1"]


def test_a_limit_is_that_of_a_step_not_of_its_process(tmp_path, monkeypatch):
    monkeypatch.setitem(runner._MOST, "check", 3.0)
    failed, rows, started = play(tmp_path, slow=True)
    assert failed == 0
    assert started[0] == ["a check 0", "a check 1", "a check 2"]
    assert len(rows) == len(STEPS)


def test_steps_have_names_of_their_own_and_an_order():
    planned = plan.steps()
    assert len({step.key for step in planned}) == len(planned)
    assert list(dict.fromkeys(step.kind for step in planned)) == list(plan.KINDS)
    assert {step.path for step in plan.steps("bench", "lipschitz")} == {"lipschitz"}


def test_a_step_that_raises_is_a_row():
    def wrong(seed):
        raise AssertionError(f"not\nright: {seed}")

    row = child.one(plan.Step("a", "check", "x", wrong), 3)
    assert row == {"key": "a check x", "seed": 3, "failed": "AssertionError: not right: 3"}


def test_a_peer_that_is_not_installed_is_no_failure():
    def absent(seed):
        import a_peer_that_nobody_has  # noqa: F401

    said = "No module named 'a_peer_that_nobody_has'"
    row = child.one(plan.Step("a", "peers", "x", absent, "who"), 3)
    assert row == {"key": "a peers x who", "seed": 3, "missing": said}
    assert child.one(plan.Step("a", "check", "x", absent), 3) == {"key": "a check x", "seed": 3, "failed": said}


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.machine, "missing", lambda: "there is no GPU")
    assert command.main(["all", "--out", str(tmp_path / "x.json")]) == 1
    assert capsys.readouterr().err == "python -m benchmarks.gpu needs an NVIDIA GPU: there is no GPU\n"
    assert not list(tmp_path.iterdir())
    code = [sys.executable, "-m", "benchmarks.gpu", "all", "--list"]
    assert "lipschitz bench ResNet-50" in subprocess.run(code, capture_output=True, text=True, check=True).stdout


def test_a_child_is_a_process_that_prints_rows():
    code = runner.child([plan.Step("machine", "ceilings", "matrix product bf16", lambda seed: {})], 7)
    rows = subprocess.run(code, capture_output=True, text=True, check=True).stdout.splitlines()
    (row,) = map(json.loads, rows)
    assert row["key"] == "machine ceilings matrix product bf16"
    assert row["seed"] == 7
    assert ("failed" in row) != ("teraflops" in row)


def test_checks_pass_on_the_emulated_device():
    with emulated(orders=[0]):
        found = gillespie.same_as_cpu("dimerisation", 3, n=60, events=100)
        assert found["trajectories"] == 60
        assert found["compared"] > 60
        assert gillespie.in_law("immigration-death", 3)["error"] > 0
        assert gillespie.large_in_law(3, n=40)["error"] > 0
        assert cooccurrence.check(50, "harmonic", "symmetric", 3, tokens=500)["cells"] > 50
        put = lambda x: GpuArray(x.copy())
        assert attention.check("odd heads", "float64", "unilm", 3, put)["error"] < 1e-13
        assert attention.check("odd heads", "float64", "function", 3, put)["error"] < 1e-13
        assert conv.check("odd sizes and a shortcut", "float64", 3, put)["error"] < 1e-13
        assert conv.check("D", "float64", 3, put)["error"] < 1e-13
        assert lipschitz.check_convolution("odd sizes", "d", 3, put)["error"] < 1e-13
        assert lipschitz.check_convolution("groups", "f", 3, put)["error"] < 1e-5
        assert lipschitz.check("odd shapes", "f", 3, put=lambda x: GpuArray(x.copy()))["error"] < 1e-4
        assert lipschitz.check_circular("odd sizes", "f", 3, put)["width"] < 1e-4
        assert lipschitz.check_circular("strides and groups", "d", 3, put)["width"] < 1e-4


@pytest.mark.parametrize("kind", HALVES)
def test_errors_in_half_types_are_held_against_torchs(kind, monkeypatch):
    play_gpu(monkeypatch)
    with emulated(orders=[0]):
        for run, shape in (beside.attention, (1, 2, 70, 64)), (beside.conv, (2, 35, 24)):
            assert 0 < run(kind, 3, shape, "cpu")["times_torchs"] < 2
        monkeypatch.setattr(beside, "TIMES", 0.1)
        with pytest.raises(AssertionError, match=r"times torch's error, at most 0\.1 is right; seed 3"):
            beside.conv(kind, 3, (2, 35, 24), "cpu")


def test_ends_of_large_arrays_are_compared(monkeypatch):
    play_gpu(monkeypatch)
    with emulated(orders=[0]):
        assert large.attention(3, (5, 2, 35, 64), "cpu")["error"] < 1e-3
        assert large.conv(3, (5, 35, 20), "cpu", "float32")["error"] < 1e-5
        assert large.lipschitz(3, (70, 130), "cpu")["error"] < 1e-5
    serve = kx.attention.scaled_dot_product_attention_backward

    def spoilt(grad, *arrays, **options):
        found = serve(grad, *arrays, **options)
        found[1][-1] *= 1.1 if len(grad) > large.ENDS else 1.0
        return found

    monkeypatch.setattr(kx.attention, "scaled_dot_product_attention_backward", spoilt)
    with emulated(orders=[0]), pytest.raises(AssertionError, match=r"an error of 0\.\d+, at most 0\.02 is right"):
        large.attention(3, (5, 2, 35, 64), "cpu")


VERIFIED = [case for stem in ("gillespie", "cooccurrence") for case in cases.random_cases(7, stem)]


@pytest.mark.parametrize("case", VERIFIED, ids=lambda case: f"{case.operation}-{case.label}")
def test_what_verify_compares_on_a_gpu_agrees(case):
    with emulated(orders=[0]) as device:
        if "cuda" not in cases.backends(case):
            assert case.operation not in ("gillespie.simulate", "gillespie.moments", "cooccurrence.count")
            return
        with cases.engine("cuda"):
            result = case.run()
        assert device.launches or case.operation == "cooccurrence.count"  # one without a pair needs none
    with cases.engine("reference"):
        assert case.compare(result, case.run()) <= case.tolerance


def test_arrays_of_the_host_are_not_verified_on_a_gpu():
    with emulated():
        for case in cases.random_cases(7, "lipschitz"):
            assert "cuda" not in cases.backends(case)


def test_checks_fail_where_something_is_wrong(monkeypatch):
    text = conformance.SOURCE.read_text().replace("mine, 3)", "mine, 2)")
    with emulated() as device, pytest.raises(AssertionError, match="lanes differs by"):
        conformance.check(next(case for case in conformance.CASES if case.name == "lanes"), device, 1, text)
    with emulated(orders=[0]), pytest.raises(AssertionError, match="is right; seed 3"):
        attention.check("odd heads", "float64", "causal", 3, put=lambda x: GpuArray(x * (1 + 1e-6)))
    with emulated(orders=[0]), pytest.raises(AssertionError, match="is right; seed 3"):
        conv.check("odd sizes and a shortcut", "float64", 3, lambda x: GpuArray(x if x.ndim != 3 else x * (1 + 1e-6)))
    with emulated(orders=[0]), pytest.raises(AssertionError, match=r"beside .*; seed 3"):
        lipschitz.check_circular("odd sizes", "d", 3, lambda x: GpuArray(x * (1 + 2e-4)))
    spoiled = partial(lipschitz.check, "odd shapes", "f", 3, put=lambda x: GpuArray(x + (x.ndim == 2)))
    with emulated(orders=[0]), pytest.raises(AssertionError, match="is right; seed 3"):
        spoiled()


def test_networks_that_must_agree_have_no_functions_of_cudas_library():
    for name in gillespie.EXACT:
        ops = example(name).arrays[5]
        assert not set(ops.tolist()) & {6, 8, 9, 21, 22}, name


def test_summaries_are_medians():
    assert timing.summary([3.0, 1.0, 2.0, 5.0, 4.0]) == {"seconds": 3.0, "p10": 1.0, "p90": 5.0}
    assert np.isclose(timing.on_the_clock(lambda: None)["seconds"], 0, atol=0.1)
