"""Masked attention beside torch's scaled_dot_product_attention and FlexAttention, on the same number of threads.

python benchmarks/bench_attention.py [--rounds 9] [--json FILE] [--no-flex]. Rates count allowed pairs alone. torch gets
each mask in every form it takes: is_causal, booleans, added floats, and compiled FlexAttention (forward, where it walks
blocks and float32); the best one is the peer. bfloat16 rows are forward alone; "step" is one query against a cache.
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
LONG = ((1, 16, 4096, 128), ("none", "causal", "window 256"))
FLEX = ("UniLM half", "window 256", "block-sparse 75 %")
STEPS = (1, 128, 1024, 8192)
THREADS = 2
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


def flex(x: list[Any], pattern: Any) -> Any:
    """Return a call of compiled FlexAttention, whose block mask is made beforehand."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    allowed, length = torch.from_numpy(pattern[0, 0]), pattern.shape[-1]
    blocks = create_block_mask(lambda b, h, i, j: allowed[i, j], None, None, length, length, device="cpu")
    compiled = torch.compile(flex_attention, dynamic=False)

    def run() -> Any:
        with torch.no_grad():
            return compiled(*x, block_mask=blocks)

    run()
    return run


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


def measure(size: Size, name: str, mask: Any, backward: bool, rounds: int, flexible: bool) -> list[Any]:
    b, h, length, d = size
    rng = np.random.default_rng(0)
    *x, grad = rng.standard_normal((4, *size), np.float32)
    tensors, torch_grad = [torch.from_numpy(each).requires_grad_(backward) for each in x], torch.from_numpy(grad)
    pattern = None if mask is None else mask.to_dense(b, 1, length, length)
    calls: Calls = {"kxfast": partial(ours, x, grad, mask, backward)}
    for form, options in peers(name, pattern).items():
        calls[form] = partial(peer, tensors, torch_grad, options, backward)
    if flexible and name in FLEX and not backward:
        calls["FlexAttention, compiled"] = flex(tensors, pattern)
    density = 1.0 if mask is None else mask.density(b, h, length, length)
    flop = 4.0 * b * h * length * length * d * density * (3.5 if backward else 1)
    title = f"{size} {name}, {'forward + backward' if backward else 'forward'}"
    wide = [each[:1, :2].astype(np.float64) for each in (*x, grad)]
    part = [np.ascontiguousarray(each[:1, :2]) for each in (*x, grad)]
    first = None if pattern is None else kx.masks.dense(pattern[:1])
    wrong = error(ours(part[:3], part[3], first, backward), ours(wide[:3], wide[3], first, backward))
    return told(title, calls, rounds, flop, error=wrong, density=density)


def told(title: str, calls: Calls, rounds: int, flop: float, **more: Any) -> list[Any]:
    rows = report(title, in_turn(calls, rounds), "kxfast", flop, "flop")
    best = min(row["ratio"] for row in rows if row["name"] != "kxfast")
    print(f"  best peer / kxfast {best:.2f}" + "".join(f"; {name} {value:.2g}" for name, value in more.items()))
    return [{**row, "best_ratio": best, **more} if row["name"] == "kxfast" else row for row in rows]


def half(rounds: int) -> list[Any]:
    """Forward in bfloat16."""
    import ml_dtypes

    size, rows = SIZES[-1], []
    b, h, length, d = size
    x = list(np.random.default_rng(0).standard_normal((3, *size), np.float32))
    ours_x = [each.astype(ml_dtypes.bfloat16) for each in x]
    tensors = [torch.from_numpy(each).bfloat16() for each in x]
    wide = [each.astype(np.float64) for each in x]
    for name, mask in masks(b, length).items():
        pattern = None if mask is None else mask.to_dense(b, 1, length, length)
        calls: Calls = {"kxfast": partial(ours, ours_x, None, mask, False)}
        for form, options in peers(name, pattern).items():
            calls[form] = partial(peer, tensors, None, options, False)
        density = 1.0 if mask is None else mask.density(b, h, length, length)
        found = tuple(each.astype(np.float64) for each in calls["kxfast"]())
        wrong = error(found, ours(wide, None, mask, False))
        flop = 4.0 * b * h * length * length * d * density
        rows += told(f"{size} {name}, bfloat16 forward", calls, rounds, flop, error=wrong)
    return rows


def steps(rounds: int) -> list[Any]:
    """One query against caches of several lengths."""
    rows = []
    for length in STEPS:
        q, (k, v) = np.ones((1, 12, 1, 64), "f"), np.random.default_rng(0).standard_normal((2, 1, 12, length, 64), "f")
        tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in (q, k, v)]
        repeats = range(max(1, 20_000 // (length + 100)))
        calls: Calls = {
            "kxfast": lambda q=q, k=k, v=v, n=repeats: [ours([q, k, v], None, None, False) for _ in n],
            "torch": lambda x=tensors, n=repeats: [peer(x, None, {}, False) for _ in n],
        }
        title = f"step against {length} keys, 12 heads of 64, {len(repeats)} times"
        rows += told(title, calls, rounds, 4.0 * 12 * length * 64 * len(repeats))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Time attention beside torch; all in one run, alternately.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=RESULTS / f"attention_{processor()}.json")
    parser.add_argument("--no-flex", action="store_true", help="without FlexAttention, which takes minutes to compile")
    chosen = parser.parse_args()
    torch.set_num_threads(THREADS)
    kx.set_num_threads(THREADS)
    rows = steps(chosen.rounds)
    for backward in False, True:
        for size in SIZES:
            for name, mask in masks(size[0], size[2]).items():
                rows += measure(size, name, mask, backward, chosen.rounds, not chosen.no_flex)
        for name in LONG[1]:
            rows += measure(LONG[0], name, masks(1, LONG[0][2])[name], backward, min(chosen.rounds, 3), False)
    rows += half(min(chosen.rounds, 5))
    write(chosen.json, rows)


if __name__ == "__main__":
    main()
