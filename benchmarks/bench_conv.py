"""Dilated gated convolutions beside PyTorch: ``python benchmarks/bench_conv.py [--json FILE]``.

Every peer gets its favourite layout for nothing and weights of the shape it wants; all use the same number of threads.
Candidates take turns in one process; a figure is the median over rounds of the median of a round. Where other work
shares the machine, ``quiet_ratio`` says more: it compares medians over rounds of the fastest call of a round.
"""

from __future__ import annotations

import argparse
import ctypes
import json
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

import kxfast as kx
from kxfast._native import core

SHAPES = ((1, 128, 128), (8, 256, 128), (16, 512, 256), (4, 2048, 512), (3, 77, 100))
RAGGED = (8, 256, 128)
KERNEL = 3
SECONDS = 0.15  # of one candidate in one round
Call = Callable[[], Any]


def peak(threads: int) -> float:
    """Return the measured rate of float multiply-adds of all threads together, in GFLOP/s; nan without a compiler."""
    source = Path(__file__).parent / "native" / "fma_peak.cpp"
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/fma_peak.so"
        options = ("-O3", "-march=native", "-mprefer-vector-width=512", "-shared", "-fPIC")
        try:
            subprocess.run(["g++", *options, source, "-o", library], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return float("nan")
        rate = ctypes.CDLL(library).fma_rate
        rate.restype, rate.argtypes = ctypes.c_double, [ctypes.c_double]
        with ThreadPoolExecutor(threads) as pool:
            return max(sum(pool.map(rate, [0.2] * threads)) for _ in range(5)) / 1e9


class Inputs:
    """One problem: arrays for us, tensors for the peers."""

    def __init__(self, shape: tuple[int, int, int], dilation: int, ragged: bool) -> None:
        batch, length, channels = shape
        rng = np.random.default_rng(7)
        self.shape, self.dilation = shape, dilation
        self.x = rng.standard_normal(shape, np.float32)
        self.grad = rng.standard_normal(shape, np.float32)
        scale = np.float32(1 / np.sqrt(KERNEL * channels))
        self.weight = rng.standard_normal((KERNEL, channels, 2 * channels), np.float32) * scale
        self.bias = rng.standard_normal(2 * channels, np.float32)
        lengths = np.linspace(length / 3, length, batch).astype(int)
        self.mask = np.arange(length) < lengths[:, None] if ragged else None

    @property
    def work(self) -> float:
        """Useful operations of one forward."""
        batch, length, channels = self.shape
        rows = batch * length if self.mask is None else int(self.mask.sum())
        return 2.0 * rows * KERNEL * channels * 2 * channels

    def forward(self) -> Any:
        return kx.conv.dilated_gated_conv1d(self.x, self.weight, self.bias, dilation=self.dilation, mask=self.mask)

    def both(self) -> Any:
        options = {"dilation": self.dilation, "mask": self.mask}
        y, parts = kx.conv.dilated_gated_conv1d(self.x, self.weight, self.bias, return_parts=True, **options)
        arguments = (self.grad, self.x, self.weight, self.bias)
        return y, kx.conv.dilated_gated_conv1d_backward(*arguments, parts=parts, **options)

    def error(self) -> float:
        """Return the largest error of the forward, relative to the largest value of a float64 one."""
        wide = [each.astype(np.float64) for each in (self.x, self.weight, self.bias)]
        options: dict[str, Any] = {"dilation": self.dilation, "mask": self.mask, "backend": "reference"}
        exact = kx.conv.dilated_gated_conv1d(*wide, **options)
        return float(np.abs(self.forward() - exact).max() / np.abs(exact).max())


def peers(inputs: Inputs) -> dict[str, tuple[Call, Call]]:
    """Return forward and forward with backward of every peer."""
    import torch
    from torch.nn import functional

    reach = (KERNEL - 1) * inputs.dilation // 2

    def pair(x: Any, weight: Any, mask: Any, grad: Any, convolve: Any) -> tuple[Call, Call]:
        bias = torch.from_numpy(inputs.bias)

        def run() -> Any:
            shown = x if mask is None else x * mask
            candidate, gate = convolve(shown, weight, bias).chunk(2, 1)
            y = x + torch.sigmoid(gate) * (candidate - x)
            return y if mask is None else y * mask

        def forward() -> Any:
            with torch.inference_mode():
                return run()

        def both() -> Any:
            leaves = [each.requires_grad_() for each in (x, weight, bias)]
            return torch.autograd.grad(run(), leaves, grad)

        return forward, both

    x, grad = (torch.from_numpy(each).transpose(1, 2).contiguous() for each in (inputs.x, inputs.grad))
    weight = torch.from_numpy(inputs.weight).permute(2, 1, 0).contiguous()
    mask = None if inputs.mask is None else torch.from_numpy(inputs.mask).float()[:, None]

    def narrow(x: Any, w: Any, b: Any) -> Any:
        return functional.conv1d(x, w, b, padding=reach, dilation=inputs.dilation)

    def flat(x: Any, w: Any, b: Any) -> Any:
        return functional.conv2d(x, w, b, padding=(0, reach), dilation=(1, inputs.dilation))

    last = {"memory_format": torch.channels_last}
    wide = [each.unsqueeze(2).contiguous(**last) for each in (x, weight, grad)]
    return {
        "torch": pair(x, weight, mask, grad, narrow),
        "torch channels last": pair(*wide[:2], None if mask is None else mask.unsqueeze(2), wide[2], flat),
    }


def compare(calls: dict[str, Call], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return usual and least seconds of every call; pauses let the threads of the one before go to sleep."""
    usual: dict[str, list[float]] = {name: [] for name in calls}
    least: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            time.sleep(0.01)
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


def measure(rounds: int, ceiling: float) -> list[dict[str, Any]]:
    rows = []
    cases = [(shape, dilation, False) for shape in SHAPES for dilation in (1, 5)]
    for shape, dilation, ragged in [*cases, (RAGGED, 1, True)]:
        inputs = Inputs(shape, dilation, ragged)
        others = peers(inputs)
        for which, factor in (("forward", 1), ("forward+backward", 3)):
            both = factor > 1
            ours = {"kxfast": inputs.both if both else inputs.forward}
            seconds, least = compare(ours | {name: each[both] for name, each in others.items()}, rounds)
            rate = inputs.work * factor / seconds["kxfast"] / 1e9
            best = min((seconds[name], name) for name in others)
            quiet = min(least[name] for name in others) / least["kxfast"]
            rows.append(
                {
                    "shape": list(shape),
                    "dilation": dilation,
                    "ragged": ragged,
                    "what": which,
                    "ms": {name: round(1e3 * each, 4) for name, each in seconds.items()},
                    "useful_gflops": round(rate, 1),
                    "percent_of_peak": round(100 * rate / ceiling, 1),
                    "error": inputs.error(),
                    "best_peer": best[1],
                    "ratio": round(best[0] / seconds["kxfast"], 3),
                    "quiet_ratio": round(quiet, 3),
                    "quiet_ms": {name: round(1e3 * each, 4) for name, each in least.items()},
                }
            )
            print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    label = f"{tuple(row['shape'])} r={row['dilation']}{' ragged' if row['ragged'] else ''}"
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
    options = parser.parse_args()
    core.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    ceiling = peak(options.threads)
    print(f"{processor()}, {core.isa()}, {options.threads} threads, {ceiling:.0f} GFLOP/s at most")
    result = {
        "processor": processor(),
        "isa": core.isa(),
        "threads": options.threads,
        "peak_gflops": round(ceiling, 1),
        "versions": {"kxfast": kx.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "rows": measure(options.rounds, ceiling),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
