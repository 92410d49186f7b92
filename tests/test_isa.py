"""Instruction sets: what is forced is used, what cannot be is refused in one line, and all give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases, settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not installed")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("isa", core.isas() if core else [])
def test_environment_forces_an_instruction_set(isa):
    assert run("import kxfast as kx; print(kx.info().isa)", KXFAST_ISA=isa).stdout.strip() == isa


def test_wrong_instruction_set_is_refused():
    found = run("import kxfast as kx; kx.info()", KXFAST_ISA="sse9")
    assert found.returncode == 1
    accepted = ", ".join(core.isas())
    assert found.stderr.splitlines()[-1] == f"ValueError: KXFAST_ISA must be one of {accepted}; got 'sse9'"


@pytest.mark.skipif(core is not None and "amx" in core.isas(), reason="this processor has every instruction set")
def test_instruction_set_the_processor_lacks_is_refused():
    found = run("import kxfast as kx; kx.info()", KXFAST_ISA="amx")
    assert "KXFAST_ISA must be an instruction set this processor has" in found.stderr.splitlines()[-1]


def test_unknown_name_changes_nothing():
    before = core.isa()
    with pytest.raises(ValueError, match="isa must be one of"):
        core.use_isa("avx9")
    assert core.isa() == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_instruction_set_gives_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    w, u, v = (rng.standard_normal(shape).astype(dtype) for shape in ((301, 517), 301, 517))
    results = []
    for isa in core.isas():
        with cases.engine(f"native/{isa}"):
            results.append(kx.lipschitz.power_iteration(w, u, v, 4))
    for result in results[1:]:
        assert cases.largest_difference(result, results[0]) == 0


def test_baseline_was_compiled_for_other_processors_too():
    assert core.isas()[0] == "baseline"
