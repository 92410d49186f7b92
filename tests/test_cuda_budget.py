"""Registers and shared memory of every kernel, read from machine code and held against cuda_budget.json.

Numbers there are the most that a kernel may take, and the fewest blocks that a multiprocessor must have room for. Where
a change is meant, KXFAST_BUDGET_RECORD=1 writes down what kernels take now, registers in the eights they are given in.
The compiler does not say the same every time: of 86 compilations of one text 78 took 186 registers, others 203 to 220.
A kernel keeps its budget if one of a few compilations does.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from cuda_compile import compile_by_nvcc, compile_for_gpu, nvcc_release
from cuda_cubin import Resources, resources
from cuda_variants import BOTH, variants

from kxfast.backends.cuda import nvrtc

FILE = Path(__file__).with_name("cuda_budget.json")
BUDGET = json.loads(FILE.read_text()) if FILE.exists() else {}
VARIANTS = variants()
ALL = [(name, target) for name, variant in VARIANTS.items() for target in variant.targets]
SHARED = {"sm_90a": 228 * 1024, "sm_80": 164 * 1024}  # bytes of a multiprocessor; a block takes 1024 more
REGISTERS, THREADS, BLOCKS = 2**16, 2048, 32
AGAIN = 4  # compilations beyond the first, at most
LONGEST = 9000  # instructions of a kernel, some 140 KB: a copy too many of what is inlined shows here first


def resident(found: Resources, shared: int, target: str) -> int:
    """Return how many blocks a multiprocessor has room for."""
    warps = -(-found.threads // 32)
    registers = -(-found.registers // 8) * 8 * 32 * warps
    return min(REGISTERS // registers, THREADS // (32 * warps), SHARED[target] // (shared + 1024), BLOCKS)


def record(name: str, target: str, taken: dict[str, Resources]) -> None:
    kept = BUDGET.setdefault(name, {})
    for kernel in set(kept) - set(taken):
        del kept[kernel]
    for kernel, found in taken.items():
        row, shared = kept.setdefault(kernel, {}), VARIANTS[name].bytes_of(kernel)
        row |= {target: -(-found.registers // 8) * 8, "shared": shared}
        row[f"blocks {target}"] = resident(found, shared, target)
    lines = [
        f'"{each}": {{\n'
        + ",\n".join(f'  "{kernel}": {json.dumps(row)}' for kernel, row in sorted(rows.items()))
        + "\n}"
        for each, rows in sorted(BUDGET.items())
        if each in VARIANTS
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def judge(name: str, target: str, text: str) -> None:
    missed = []
    for compile_text in (compile_for_gpu, *[compile_again] * AGAIN):
        try:
            judge_code(name, target, *compile_text(text, target))
        except AssertionError as error:
            missed.append(str(error))
        else:
            return
    raise AssertionError("; ".join(missed))


def compile_again(text: str, target: str) -> tuple[bytes, str]:
    return nvrtc.compile_text(text, target, "--ptxas-options=-v")


def judge_code(name: str, target: str, code: bytes, log: str, *, shipped: bool = True) -> None:
    """Hold code against the budget; of registers, that of NVRTC's code alone, which is what is shipped."""
    taken = resources(code)
    if os.environ.get("KXFAST_BUDGET_RECORD") and shipped:
        record(name, target, taken)
    assert set(taken) == set(BUDGET[name])
    for kernel, found in taken.items():
        budget, shared = BUDGET[name][kernel], VARIANTS[name].bytes_of(kernel)
        assert found.local == 0, f"{kernel}: {found.local} bytes of a thread's own memory"
        assert found.shared == 0, f"{kernel}: shared memory that the emulation does not know of"
        assert found.instructions <= LONGEST, f"{kernel}: {found.instructions} instructions"
        assert found.registers <= budget[target] or not shipped, f"{kernel}: {found.registers} registers"
        assert shared <= budget["shared"], f"{kernel}: {shared} bytes of shared memory"
        assert resident(found, shared, target) >= budget[f"blocks {target}"], kernel
    assert re.findall(r"[1-9]\d* bytes spill|C75\d\d|Performance Loss", log) == []


@pytest.mark.parametrize(("name", "target"), ALL)
def test_kernels_keep_their_budget(name, target):
    judge(name, target, VARIANTS[name].text)


@pytest.mark.parametrize(("name", "target"), ALL)
def test_nvcc_spills_nothing_and_leaves_room_for_as_many_blocks(name, target):
    release = nvcc_release()
    if release is None or not release.startswith("13."):
        pytest.skip(f"budgets are of CUDA 13, and nvcc is {release or 'not installed'}")
    judge_code(name, target, *compile_by_nvcc(VARIANTS[name].text, target), shipped=False)


@pytest.mark.parametrize("name", [name for name, each in VARIANTS.items() if each.targets == BOTH and " " not in name])
def test_they_compile_for_every_chip(name):
    code, _ = compile_for_gpu(VARIANTS[name].text, "compute_80")
    assert b".target sm_80" in code


def test_the_budget_is_of_kernels_that_are_there():
    assert set(BUDGET) == set(VARIANTS)
    for kind, columns in ("E", 64), ("f", 64), ("d", 32):
        for file, kernel in ("conv", "conv_gated"), ("conv_plain", "conv_turned"), ("conv_backward", "conv_weights"):
            row = BUDGET[f"{file} {kind} {columns}"][kernel]
            assert resident(Resources(row["sm_90a"], 0, 0, 128, 0), row["shared"], "sm_80") >= 2  # on an A100


GREEDY = """#include "common.cuh"
extern "C" __global__ void __launch_bounds__({threads}) greedy(double* x, int n) {{
  double all[64];
  for (int i = 0; i < 64; ++i) all[i] = x[i];
  for (int j = 0; j < n; ++j)
#pragma unroll
    for (int i = 0; i < 64; ++i) all[i] = all[i] * all[(i + 1) % 64] + x[j];
  for (int i = 0; i < 64; ++i) x[i] = all[i];
}}
"""
STATIC = """
extern "C" __global__ void __launch_bounds__(96) static_memory(int* x) {
  __shared__ int all[300];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[95 - threadIdx.x];
}
"""


@pytest.mark.parametrize("target", SHARED)
def test_what_is_read_from_machine_code_is_what_the_compiler_says(target):
    code, log = compile_for_gpu(GREEDY.format(threads=1024) + STATIC, target)
    taken = resources(code)
    told = re.findall(r"function '(\w+)'(?s:.)*?(\d+) bytes stack frame(?s:.)*?Used (\d+) registers", log)
    assert {(name, each.local, each.registers) for name, each in taken.items()} == {
        (name, int(local), int(registers)) for name, local, registers in told
    }
    assert taken["greedy"].local > 0
    assert (taken["greedy"].threads, taken["greedy"].shared) == (1024, 0)
    assert (taken["static_memory"].threads, taken["static_memory"].shared) == (96, 1200)
    with pytest.raises(ValueError, match="must be an ELF file"):
        resources(b".version 8.0")


FOUND = {
    "bytes of a thread's own memory": GREEDY.format(threads=1024),
    "greedy: .* registers": GREEDY.format(threads=128),
    "shared memory that the emulation does not know": STATIC,
}


@pytest.mark.parametrize("words", FOUND)
def test_spills_and_greed_are_found(monkeypatch, words):
    row = {"sm_90a": 64, "shared": 0, "blocks sm_90a": 1}
    monkeypatch.setitem(BUDGET, "cooccurrence", {"static_memory" if FOUND[words] is STATIC else "greedy": row})
    monkeypatch.delenv("KXFAST_BUDGET_RECORD", raising=False)
    with pytest.raises(AssertionError, match=words):
        judge("cooccurrence", "sm_90a", FOUND[words])


def test_long_kernels_are_found(monkeypatch):
    text = STATIC.replace("__shared__ int all[300];", "int* const all = x + 96;")
    monkeypatch.setitem(BUDGET, "cooccurrence", {"static_memory": {"sm_90a": 64, "shared": 0, "blocks sm_90a": 1}})
    judge("cooccurrence", "sm_90a", text)
    monkeypatch.setitem(globals(), "LONGEST", 10)
    with pytest.raises(AssertionError, match=r"static_memory: \d+ instructions"):
        judge("cooccurrence", "sm_90a", text)
