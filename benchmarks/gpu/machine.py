"""The GPU at hand: what it is, and what it can do at most."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import repeated
from kxfast import __version__
from kxfast.backends.cuda import load, nvrtc

missing = load.missing
_GIB = 2**30
_EMPTY = '#include "common.cuh"\nextern "C" __global__ void empty() {}\nKX_ENTRY(empty)\n'


def facts() -> Row:
    """Return what results must say of their machine."""
    cp = load.cupy()
    properties = cp.cuda.runtime.getDeviceProperties(cp.cuda.Device().id)
    return {
        "gpu": properties["name"].decode(),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "driver": int(cp.cuda.runtime.driverGetVersion()),
        "clocks": clocks(),
        "nvrtc": ".".join(map(str, nvrtc.version())),
        "cupy": cp.__version__,
        "kxfast": __version__,
        "commit": _said("git", "rev-parse", "HEAD"),
        "date": datetime.now(UTC).date().isoformat(),
    }


def clocks() -> str:
    """Return the driver's version, the clocks of multiprocessors and memory, and the temperature, as they are now."""
    asked = "driver_version,clocks.sm,clocks.mem,temperature.gpu"
    return _said("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader")


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def default_file(found: Row) -> Path:
    """Return the file of a machine, a day and a commit."""
    name = re.sub(r"\W+", "_", found["gpu"]).strip("_").lower()
    return Path(__file__).parents[1] / "results" / f"{name}-{found['date']}-{found['commit'][:9]}.json"


def copy(seed: int) -> Row:
    """Time a copy of random numbers."""
    cp = load.cupy()
    source = cp.asarray(np.random.default_rng(seed).integers(2**63, size=_GIB // 8))
    target = cp.empty_like(source)
    times = repeated(lambda: cp.copyto(target, source))
    return {**times, "terabytes_per_second": 2 * _GIB / times["seconds"] / 1e12}


def _launch(seed: int) -> Row:
    kernel = load.device().kernel(_EMPTY, "empty")
    return repeated(lambda: kernel(1, 32, 0, []))


def product(kind: str) -> Any:
    """Return a step that multiplies large matrices of a type."""

    def run(seed: int) -> Row:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
        dtype = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32, "fp64": torch.float64}[kind]
        a, b = (torch.randn(8192, 8192, device="cuda").to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        times = repeated(lambda: torch.matmul(a, b, out=out), stream=torch.cuda.current_stream().cuda_stream)
        return {**times, "teraflops": 2 * 8192**3 / times["seconds"] / 1e12}

    return run


def steps() -> list[Step]:
    """Return the ceilings."""
    found = [Step("machine", "ceilings", "copy of 1 GiB", copy), Step("machine", "ceilings", "empty launch", _launch)]
    kinds = ("bf16", "tf32", "fp32", "fp64")
    return found + [Step("machine", "ceilings", f"matrix product {kind}", product(kind)) for kind in kinds]
