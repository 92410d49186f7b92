"""Dilated gated convolutions beside other libraries: ``python benchmarks/bench_conv.py [--json FILE] [--only layers]``.

One layer in float32, one in bfloat16 ("bf16") and the nine layers of a reading network ("stack"), each forward and
forward with backward; results of what is not run stay in the file. Peers are PyTorch in two layouts, eager and
compiled, and in float32, where they are installed, OpenVINO, ONNX Runtime and Numba, all forward alone, and JAX. Every
peer gets its favourite layout for nothing and weights of the shape it wants; all use the same number of threads.
Candidates take turns in one process; a figure is the median over rounds of the median of a round. Where other work
shares the machine, ``quiet_ratio`` says more: it compares medians over rounds of the fastest call of a round.

KXFAST_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 XLA_FLAGS=--xla_cpu_max_isa=AVX2 in the environment
compare ours with peers on AVX2; OpenVINO, ONNX Runtime and Numba know no such limit and are left out then.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import settle
from peers.conv import Problem, peers
from peers.conv_others import others

import kxfast as kx
from kxfast._native import core

SHAPES = ((1, 128, 128), (8, 256, 128), (16, 512, 256), (4, 2048, 512), (3, 77, 100))
RAGGED = (8, 256, 128)
READING = (16, 256, 128)
NINE = (1, 2, 5, 1, 2, 5, 1, 2, 5)
SECONDS = 0.15  # of one candidate in one round
Call = Callable[[], Any]


def peak(threads: int) -> float:
    """Return the measured rate of float multiply-adds of all threads together, in GFLOP/s; nan without a compiler."""
    source = Path(__file__).parent / "native" / "fma_peak.cpp"
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/fma_peak.so"
        own = ("-mavx2", "-mfma") if core.isa() == "avx2" else ("-march=native", "-mprefer-vector-width=512")
        options = ("-O3", *own, "-shared", "-fPIC")
        try:
            subprocess.run(["g++", *options, source, "-o", library], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return float("nan")
        rate = ctypes.CDLL(library).fma_rate
        rate.restype, rate.argtypes = ctypes.c_double, [ctypes.c_double]
        with ThreadPoolExecutor(threads) as pool:
            return max(sum(pool.map(rate, [0.2] * threads)) for _ in range(5)) / 1e9


def compare(calls: dict[str, Call], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return usual and least seconds of every call; pauses let the threads of the one before go to sleep."""
    usual: dict[str, list[float]] = {name: [] for name in calls}
    least: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            settle()
            call()
            call()
            spent: list[float] = []
            while sum(spent) < SECONDS or len(spent) < 3:
                start = time.perf_counter()
                call()
                spent.append(time.perf_counter() - start)
            if turn:
                usual[name].append(median(spent))
                least[name].append(min(spent))
    return {name: median(each) for name, each in usual.items()}, {name: median(each) for name, each in least.items()}


def problems() -> dict[str, list[Problem]]:
    """Return what is measured, by the names of --only."""
    layers = [Problem(shape, (dilation,)) for shape in SHAPES for dilation in (1, 2, 5, 16)]
    return {
        "layers": [*layers, Problem(RAGGED, (1,), ragged=True)],
        "bf16": [Problem(shape, (1,), half=True) for shape in SHAPES[:4]] + [Problem(READING, NINE, half=True)],
        "stack": [Problem(READING, NINE), Problem(READING, NINE, ragged=True)],
    }


def measure(chosen: list[Problem], rounds: int, ceiling: float, threads: int) -> list[dict[str, Any]]:
    rows = []
    for problem in chosen:
        torch_calls, more = peers(problem), others(problem, threads, limited=limited())
        for which, factor in (("forward", 1), ("forward+backward", 3)):
            both = factor > 1
            ours = {"kxfast": problem.both if both else problem.forward}
            theirs = {name: each[both] for name, each in torch_calls.items()} | more[both]
            seconds, least = compare(ours | theirs, rounds)
            rate = problem.work * factor / seconds["kxfast"] / 1e9
            best = min((seconds[name], name) for name in theirs)
            quiet = min(least[name] for name in theirs) / least["kxfast"]
            rows.append(
                {
                    "shape": list(problem.shape),
                    "dilation": problem.dilations[0],
                    "layers": len(problem.dilations),
                    "ragged": problem.mask is not None,
                    "type": problem.x.dtype.name,
                    "what": which,
                    "ms": {name: round(1e3 * each, 4) for name, each in seconds.items()},
                    "useful_gflops": round(rate, 1),
                    "percent_of_peak": round(100 * rate / ceiling, 1),
                    "error": problem.error(),
                    "best_peer": best[1],
                    "ratio": round(best[0] / seconds["kxfast"], 3),
                    "quiet_ratio": round(quiet, 3),
                    "quiet_ms": {name: round(1e3 * each, 4) for name, each in least.items()},
                }
            )
            print(line(rows[-1]), flush=True)
    return rows


def limited() -> bool:
    """Tell whether the environment keeps a processor that has more to AVX2."""
    return os.environ.get("KXFAST_ISA") == "avx2"


def kind(row: dict[str, Any]) -> str:
    """Return the name in --only of a row."""
    return "bf16" if row.get("type", "float32") != "float32" else "layers" if row.get("layers", 1) == 1 else "stack"


def line(row: dict[str, Any]) -> str:
    which = f"r={row['dilation']}" if row["layers"] == 1 else f"{row['layers']} layers"
    label = f"{tuple(row['shape'])} {which}{' ragged' if row['ragged'] else ''}{' bf16' * (kind(row) == 'bf16')}"
    times = "  ".join(f"{name} {each:.3f}" for name, each in row["ms"].items())
    share = f"{row['useful_gflops']:6.0f} GFLOP/s {row['percent_of_peak']:5.1f} %"
    ratios = f"ratio {row['ratio']:.2f} quiet {row['quiet_ratio']:.2f}"
    return f"{label:28}{row['what']:18}{share}  error {row['error']:.0e}  {ratios}  ms: {times}"


def processor() -> str:
    for row in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if row.startswith("model name"):
            return row.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(problems()), help="default: all of them")
    options = parser.parse_args()
    core.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    ceiling = peak(options.threads)
    print(f"{processor()}, {core.isa()}, {options.threads} threads, {ceiling:.0f} GFLOP/s at most")
    kept = json.loads(options.json.read_text())["rows"] if options.json and options.json.exists() else []
    rows = []
    for name, chosen in problems().items():
        run = options.only in (None, name)
        rows += (
            measure(chosen, options.rounds, ceiling, options.threads)
            if run
            else [row for row in kept if kind(row) == name]
        )
    result = {
        "processor": processor(),
        "isa": core.isa(),
        "limited": limited(),
        "threads": options.threads,
        "peak_gflops": round(ceiling, 1),
        "versions": {"kxfast": kx.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "rows": rows,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
