"""Arrays of more than 2**31 numbers: their ends are what they are alone, and sums over all are those of two halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import kxfast as kx
from benchmarks.gpu.checks import judged, poisoned
from benchmarks.gpu.plan import Row, Step
from kxfast import masks

MOST = {"bfloat16": 2e-2, "float32": 1e-4}  # relative difference
SHAPES = {"attention": (1025, 16, 2048, 64), "conv": (4097, 1024, 512), "lipschitz": (32_769, 65_537)}
ENDS = 2  # sequences at either end


def _normal(shape: tuple[int, ...], seed: int, where: str, kind: str) -> Any:
    import torch

    made = torch.Generator(device=where).manual_seed(seed)
    return torch.randn(shape, device=where, dtype=getattr(torch, kind), generator=made)


def _apart(a: Any, b: Any) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm())


def _at_the_ends(run: Callable[..., tuple[Any, ...]], arrays: list[Any], found: tuple[Any, ...]) -> list[float]:
    """Return how far both ends of results are from those of the ends of the arrays alone."""
    errors = []
    for end in slice(None, ENDS), slice(-ENDS, None):
        alone = run(*(x[end].clone() for x in arrays))
        errors += [_apart(all_of_it[end], part) for all_of_it, part in zip(found, alone, strict=True)]
    return errors


def attention(
    seed: int, shape: tuple[int, ...] = SHAPES["attention"], where: str = "cuda", kind: str = "bfloat16"
) -> Row:
    """Compare sequences of a window, with their gradients."""
    mask = masks.sliding_window(40)

    def both(q: Any, k: Any, v: Any, grad: Any) -> tuple[Any, ...]:
        out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
        return out, lse, *kx.attention.scaled_dot_product_attention_backward(grad, q, k, v, out, lse, mask=mask)[:3]

    arrays = [_normal(shape, seed + i, where, kind) for i in range(4)]
    with poisoned():
        found = both(*arrays)
    return judged(_at_the_ends(both, arrays, found), MOST[kind], seed)


def conv(seed: int, shape: tuple[int, ...] = SHAPES["conv"], where: str = "cuda", kind: str = "bfloat16") -> Row:
    """Compare sequences and their gradients; those of weights and biases with the sums of two halves."""
    channels = shape[-1]
    weight = _normal((3, channels, 2 * channels), seed + 2, where, kind) / (3 * channels) ** 0.5
    bias = _normal((2 * channels,), seed + 3, where, kind)

    def both(x: Any, grad: Any) -> tuple[Any, ...]:
        y = kx.conv.dilated_gated_conv1d(x, weight, bias, dilation=2)
        return y, *kx.conv.dilated_gated_conv1d_backward(grad, x, weight, bias, dilation=2)[:3]

    arrays = [_normal(shape, seed + i, where, kind) for i in range(2)]
    with poisoned():
        y, dx, *of_weights = both(*arrays)
    errors = _at_the_ends(lambda *ends: both(*ends)[:2], arrays, (y, dx))
    half = shape[0] // 2
    halves = [both(*(x[part].clone() for x in arrays))[2:] for part in (slice(None, half), slice(half, None))]
    errors += [_apart(a, b.double() + c.double()) for a, b, c in zip(of_weights, *halves, strict=True)]
    return judged(errors, MOST[kind], seed)


def lipschitz(seed: int, shape: tuple[int, ...] = SHAPES["lipschitz"], where: str = "cuda") -> Row:
    """Compare a training step of one layer with torch's products."""
    w, u, v = (_normal(size, seed + i, where, "float32") for i, size in enumerate((shape, shape[:1], shape[1:])))
    left = w @ v
    left /= left.norm()
    right = left @ w
    right /= right.norm()
    sigma = left.double() @ (w @ right).double()
    (scaled,), (found,) = kx.lipschitz.spectral_normalize([w], [u], [v])
    errors = [_apart(u, left), _apart(v, right), abs(float(found) / float(sigma) - 1)]
    errors += [_apart(scaled[end], w[end] * min(0.9 / float(sigma), 1.0)) for end in (slice(0, 2), slice(-2, None))]
    return judged(errors, MOST["float32"], seed)


def _with_room(run: Callable[[int], Row], gigabytes: int, seed: int) -> Row:
    import torch

    free = torch.cuda.mem_get_info()[0]
    return run(seed) if free >= gigabytes * 1e9 else {"missing": f"{gigabytes} GB of memory; {free / 1e9:.0f} are free"}


def steps() -> list[Step]:
    """Return the steps of this path."""
    room = {attention: 60, conv: 60, lipschitz: 30}
    return [Step("large", "check", run.__name__, partial(_with_room, run, most)) for run, most in room.items()]
