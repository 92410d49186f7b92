"""Masked attention beside torch's scaled_dot_product_attention; float32, forward and forward + backward.

python benchmarks/bench_attention.py [--rounds 9] [--json FILE]. Rates count allowed pairs alone. torch gets each mask
in every form it takes: is_causal, booleans, added floats; the best one is the peer.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import RESULTS, Calls, in_turn, processor, report, write

import kxfast as kx

SIZES = ((1, 12, 128, 64), (4, 12, 512, 64), (1, 12, 2048, 64))
THREADS = 2


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
        "block-sparse 75 %": kx.masks.block_sparse(blocks, 64),
        "permutation": kx.masks.permutation(rng.permutation(length)),
        "random boolean": kx.masks.dense(rng.random((length, length)) < 0.5),
    }


def ours(x: list[Any], grad: Any, mask: Any, backward: bool) -> tuple[Any, ...]:
    out, lse = kx.attention.scaled_dot_product_attention(*x, mask=mask, return_lse=True)
    if not backward:
        return (out,)
    return out, *kx.attention.scaled_dot_product_attention_backward(grad, *x, out, lse, mask=mask)


def peer(x: list[Any], grad: Any, options: dict[str, Any], backward: bool) -> tuple[Any, ...]:
    with torch.set_grad_enabled(backward):
        out = torch.nn.functional.scaled_dot_product_attention(*x, **options)
        return (out, *torch.autograd.grad(out, x, grad)) if backward else (out,)


def peers(name: str, pattern: Any) -> dict[str, dict[str, Any]]:
    if pattern is None:
        return {"torch": {}}
    allowed = torch.from_numpy(pattern)
    forms: dict[str, dict[str, Any]] = {"torch, boolean mask": {"attn_mask": allowed}}
    added = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)
    forms["torch, added mask"] = {"attn_mask": added}
    if name == "causal":
        forms["torch, is_causal"] = {"is_causal": True}
    return forms


def error(results: tuple[Any, ...], exact: tuple[Any, ...]) -> float:
    differences = (np.abs(np.asarray(a) - b).max() / np.abs(b).max() for a, b in zip(results, exact, strict=True))
    return float(max(differences))


def measure(size: tuple[int, int, int, int], name: str, mask: Any, backward: bool, rounds: int) -> list[Any]:
    b, h, length, d = size
    rng = np.random.default_rng(0)
    *x, grad = rng.standard_normal((4, *size), np.float32)
    tensors, torch_grad = [torch.from_numpy(each).requires_grad_(backward) for each in x], torch.from_numpy(grad)
    pattern = None if mask is None else mask.to_dense(b, 1, length, length)
    calls: Calls = {"kxfast": partial(ours, x, grad, mask, backward)}
    for form, options in peers(name, pattern).items():
        calls[form] = partial(peer, tensors, torch_grad, options, backward)
    density = 1.0 if mask is None else mask.density(b, h, length, length)
    flop = 4.0 * b * h * length * length * d * density * (3.5 if backward else 1)
    title = f"{size} {name}, {'forward + backward' if backward else 'forward'}"
    rows = report(title, in_turn(calls, rounds), "kxfast", flop, "flop")
    best = min(row["ratio"] for row in rows if row["name"] != "kxfast")
    wide = [each[:1, :2].astype(np.float64) for each in (*x, grad)]
    part = [np.ascontiguousarray(each[:1, :2]) for each in (*x, grad)]
    first = None if pattern is None else kx.masks.dense(pattern[:1])
    wrong = error(ours(part[:3], part[3], first, backward), ours(wide[:3], wide[3], first, backward))
    print(f"  best peer / kxfast {best:.2f}; error against float64 {wrong:.1e}")
    return [{**row, "best_ratio": best, "error": wrong} if row["name"] == "kxfast" else row for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time attention beside torch; all in one run, alternately.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=RESULTS / f"attention_{processor()}.json")
    chosen = parser.parse_args()
    torch.set_num_threads(THREADS)
    kx.set_num_threads(THREADS)
    rows = []
    for backward in False, True:
        for size in SIZES:
            for name, mask in masks(size[0], size[2]).items():
                rows += measure(size, name, mask, backward, chosen.rounds)
    write(chosen.json, rows)


if __name__ == "__main__":
    main()
