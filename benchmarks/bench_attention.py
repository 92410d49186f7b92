"""Masked attention beside other libraries: ``python benchmarks/bench_attention.py [--only forward] [--json FILE]``.

PyTorch's scaled_dot_product_attention in every form that takes the mask and compiled FlexAttention (forward, where it
walks blocks), OpenVINO, ONNX Runtime and JAX where they are installed, all on the same number of threads
and alternately; the best one is the peer. Rates count allowed pairs alone. --only runs "steps" (one query against a
cache), "forward", "gradients" or "bf16"; results of what is not run stay in the file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import torch
from harness import RESULTS, Calls, in_turn, processor, report, write
from peers.attention import Problem, peers

import kxfast as kx

SIZES = ((1, 12, 128, 64), (4, 12, 512, 64), (1, 12, 2048, 64))
LONG = (((1, 16, 4096, 128), ("none", "causal", "window 256")), ((2, 8, 8192, 64), ("window 256",)))
FLEX = ("UniLM half", "window 256", "documents", "block-sparse 75 %")
STEPS = (1, 128, 1024, 8192)
KINDS = ("steps", "forward", "gradients", "bf16")
THREADS, BUDGET = 2, 10.0  # seconds of one call in all rounds: slow ones have fewer
Size = tuple[int, int, int, int]


def masks(b: int, length: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    half = length // 2
    blocks = rng.random((-(-length // 64), -(-length // 64))) < 0.25
    np.fill_diagonal(blocks, True)
    return {
        "none": None,
        "causal": kx.masks.causal(),
        "UniLM half": kx.masks.unilm((np.arange(length) >= half).astype(int)),
        "padding half": kx.masks.padding(np.linspace(1, length, b + 2).astype(int)[1:-1]),
        "window 256": kx.masks.sliding_window(256),
        "documents": kx.masks.documents(np.sort(rng.integers(0, 6, length))),
        "block-sparse 75 %": kx.masks.block_sparse(blocks, 64),
        "permutation": kx.masks.permutation(rng.permutation(length)),
        "random boolean": kx.masks.dense(rng.random((length, length)) < 0.5),
    }


def ours(x: list[Any], grad: Any, mask: Any, backward: bool) -> tuple[Any, ...]:
    out, lse = kx.attention.scaled_dot_product_attention(*x, mask=mask, return_lse=True)
    if not backward:
        return (out,)
    return out, *kx.attention.scaled_dot_product_attention_backward(grad, *x, out, lse, mask=mask)


def error(arrays: list[Any], allowed: Any, backward: bool) -> float:
    """Return the largest error of two heads, relative to the largest value of a float64 result."""
    part = [np.ascontiguousarray(each[:1, :2]) for each in arrays]
    exact = [each.astype(np.float64) for each in part]
    mask = None if allowed is None else kx.masks.dense(allowed[:1])
    pairs = zip(ours(part[:3], part[3], mask, backward), ours(exact[:3], exact[3], mask, backward), strict=True)
    return float(max(np.abs(found.astype(np.float64) - right).max() / np.abs(right).max() for found, right in pairs))


def measure(size: Size, name: str, mask: Any, kind: str, backward: bool, chosen: argparse.Namespace) -> list[Any]:
    b, h, length, d = size
    half = kind == "bf16"
    arrays = list(np.random.default_rng(0).standard_normal((4, *size), np.float32))
    if half:
        arrays = [each.astype(ml_dtypes.bfloat16) for each in arrays]
    allowed = None if mask is None else mask.to_dense(b, 1, length, length)
    flexible = not chosen.no_flex and name in FLEX and not backward
    calls: Calls = {"kxfast": partial(ours, arrays[:3], arrays[3], mask, backward)}
    calls |= peers(Problem(arrays, name, allowed, backward=backward, flexible=flexible, threads=THREADS))
    density = 1.0 if mask is None else mask.density(b, h, length, length)
    flop = 4.0 * b * h * length * length * d * density * (3.5 if backward else 1)
    title = f"{size} {name}, {'bfloat16 ' * half}{'forward + backward' if backward else 'forward'}"
    rounds = chosen.rounds if b * h * length * length * d < 1e10 else min(chosen.rounds, 3)
    return told(title, calls, rounds, flop, error=error(arrays, allowed, backward), density=density)


def told(title: str, calls: Calls, rounds: int, flop: float, **more: Any) -> list[Any]:
    rows = report(title, in_turn(calls, rounds, BUDGET), "kxfast", flop, "flop")
    best = min(row["ratio"] for row in rows if row["name"] != "kxfast")
    print(f"  best peer / kxfast {best:.2f}" + "".join(f"; {name} {value:.2g}" for name, value in more.items()))
    return [{**row, "best_ratio": best, **more} if row["name"] == "kxfast" else row for row in rows]


def repeated(call: Callable[[], Any], times: range) -> None:
    for _ in times:
        call()


def steps(rounds: int) -> list[Any]:
    """One query against caches of several lengths."""
    rows = []
    for length in STEPS:
        q, (k, v) = np.ones((1, 12, 1, 64), "f"), np.random.default_rng(0).standard_normal((2, 1, 12, length, 64), "f")
        problem = Problem([q, k, v, q], "none", None, backward=False, flexible=False, threads=THREADS)
        once: Calls = {"kxfast": partial(ours, [q, k, v], None, None, False), **peers(problem)}
        repeats = range(max(1, 20_000 // (length + 100)))
        calls: Calls = {name: partial(repeated, call, repeats) for name, call in once.items()}
        title = f"step against {length} keys, 12 heads of 64, {len(repeats)} times"
        rows += told(title, calls, rounds, 4.0 * 12 * length * 64 * len(repeats))
    return rows


def cases(kind: str) -> Iterator[tuple[Size, str, Any, bool]]:
    """Return size, mask and whether gradients are asked for of the cases of a kind."""
    if kind == "bf16":
        for name, mask in masks(1, SIZES[-1][2]).items():
            for backward in (False, True) if name in ("none", "causal", "UniLM half") else (False,):
                yield SIZES[-1], name, mask, backward
        return
    for size in SIZES:
        yield from ((size, name, mask, kind == "gradients") for name, mask in masks(size[0], size[2]).items())
    for size, names in LONG:
        yield from ((size, name, masks(size[0], size[2])[name], kind == "gradients") for name in names)


def kind_of(row: dict[str, Any]) -> str:
    """Return the name in --only of a row."""
    words = {"step ": "steps", "bfloat16": "bf16", "backward": "gradients"}
    return next((kind for word, kind in words.items() if word in row["job"]), "forward")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time attention beside other libraries; all in one run, alternately.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS / f"attention_{processor()}.json")
    parser.add_argument("--only", choices=KINDS, help="default: all of them")
    parser.add_argument("--no-flex", action="store_true", help="without FlexAttention, which takes minutes to compile")
    chosen = parser.parse_args()
    torch.set_num_threads(THREADS)
    kx.set_num_threads(THREADS)
    kept = json.loads(chosen.json.read_text())["rows"] if chosen.json.exists() else []
    rows: list[Any] = []
    for kind in KINDS:
        if chosen.only not in (None, kind):
            rows += [row for row in kept if kind_of(row) == kind]
        elif kind == "steps":
            rows += steps(chosen.rounds)
        else:
            for size, name, mask, backward in cases(kind):
                rows += measure(size, name, mask, kind, backward, chosen)
    write(chosen.json, rows)


if __name__ == "__main__":
    main()
