"""Errors in half types beside those of torch's own kernels on the same arrays: at most twice as large is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kxfast as kx
from benchmarks.gpu.checks import TYPES, as_torch, distance, host, poisoned
from benchmarks.gpu.plan import Row
from kxfast import masks

TIMES = 2.0
Arrays = Sequence[Any]


def attention(kind: str, seed: int, shape: tuple[int, int, int, int] = (2, 4, 777, 64), where: str = "cuda") -> Row:
    """Compare results and gradients under a causal mask."""
    import torch

    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(TYPES[kind]) for _ in range(4)]
    serve, back = kx.attention.scaled_dot_product_attention, kx.attention.scaled_dot_product_attention_backward

    def ours(q: Any, k: Any, v: Any, grad: Any) -> Arrays:
        out, lse = serve(q, k, v, mask=masks.causal(), return_lse=True)
        return [out, *back(grad, q, k, v, out, lse, mask=masks.causal())[:3]]

    def theirs(q: Any, k: Any, v: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return _compared(arrays, ours, theirs, where, seed)


def conv(kind: str, seed: int, shape: tuple[int, int, int] = (8, 333, 128), where: str = "cuda") -> Row:
    """Compare results and gradients of variant A."""
    import torch

    rng, d = np.random.default_rng(seed), shape[2]
    x, grad = (rng.standard_normal(shape).astype(TYPES[kind]) for _ in range(2))
    weight = (rng.standard_normal((3, d, 2 * d)) / (3 * d) ** 0.5).astype(TYPES[kind])

    def ours(x: Any, weight: Any, grad: Any) -> Arrays:
        y = kx.conv.dilated_gated_conv1d(x, weight, dilation=2)
        return [y, *kx.conv.dilated_gated_conv1d_backward(grad, x, weight, dilation=2)[:2]]

    def theirs(x: Any, weight: Any) -> Any:
        turned = weight.permute(2, 1, 0)
        c, g = torch.nn.functional.conv1d(x.transpose(1, 2), turned, padding=2, dilation=2).transpose(1, 2).chunk(2, 2)
        s = torch.sigmoid(g)
        return x * (1 - s) + c * s

    return _compared([x, weight, grad], ours, theirs, where, seed)


def _compared(arrays: Arrays, ours: Callable[..., Arrays], theirs: Callable[..., Any], where: str, seed: int) -> Row:
    """Compare a run and its gradients, of which the last array is the one given, with the CPU's in double."""
    import torch

    expected = ours(*(x.astype(np.float64) for x in arrays))
    there = [as_torch(x).to(where) for x in arrays]
    with poisoned():
        found = ours(*there)
    leaves = [x.detach().clone().requires_grad_() for x in there[:-1]]
    out = theirs(*leaves)
    all_theirs = [out, *torch.autograd.grad(out, leaves, there[-1])]
    errors, others = (
        [distance(host(a), b) for a, b in zip(all_, expected, strict=True)] for all_ in (found, all_theirs)
    )
    most = float(np.max(np.divide(errors, others)))  # NaN, if there is one
    if not most <= TIMES:
        raise AssertionError(f"{most:.3g} times torch's error, at most {TIMES:g} is right; seed {seed}")
    return {"error": max(errors), "torch": max(others), "times_torchs": most}
