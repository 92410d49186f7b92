"""Training steps inside PyTorch, ours beside its own: ``python benchmarks/bench_torch.py [--json FILE]``.

The same network twice, with the same weights: once of torch's own layers, eager and compiled, once with ours in place
of them. A step is forward and backward. All take turns in one process with the same number of threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import torch
from torch import Tensor, nn
from torch.nn import functional

import kxfast as kx
import kxfast.torch as kt

DILATIONS = (1, 2, 4, 8, 16, 1)  # of the passage in the reading-comprehension net of article 6906
Step = Callable[[], Any]


class PlainLayer(nn.Module):
    """The gated layer of torch's operators, over (B, C, L)."""

    def __init__(self, layer: kt.DilatedGatedConv1d) -> None:
        super().__init__()
        self.dilation = layer.dilation
        self.weight = nn.Parameter(layer.weight.detach().permute(2, 1, 0).contiguous())
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        shown = x if mask is None else x * mask
        c, g = functional.conv1d(shown, self.weight, self.bias, padding=self.dilation, dilation=self.dilation).chunk(
            2, 1
        )
        y = x + torch.sigmoid(g) * (c - x)
        return y if mask is None else y * mask


class PlainStack(nn.ModuleList):
    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self:
            x = layer(x, mask)
        return x


class PlainHeads(nn.MultiheadAttention):
    """The module's weights by torch's operators, without what it does around them."""

    def __init__(self, width: int, heads: int, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__(width, heads)
        self.attend = attend

    def forward(self, x: Tensor) -> Tensor:
        projected = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        q, k, v = (y.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for y in projected)
        return self.out_proj(self.attend(q, k, v).transpose(1, 2).flatten(2))


class Heads(kt.MultiHeadAttention):
    """The module under one mask."""

    def __init__(self, width: int, heads: int, mask: kx.masks.Mask) -> None:
        super().__init__(width, heads)
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, mask=self.mask)


class Block(nn.Module):
    """A pre-normalised transformer block."""

    def __init__(self, width: int, attention: nn.Module, linear: type[nn.Linear]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = attention
        self.wide, self.narrow = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        return x + self.narrow(functional.gelu(self.wide(self.norms[1](x))))


def step(net: nn.Module, *inputs: Any) -> Step:
    """Return forward and backward of the sum of squares."""

    def run() -> None:
        for parameter in net.parameters():
            parameter.grad = None
        net(*inputs).square().sum().backward()

    return run


def stack(batch: int, length: int, channels: int, ragged: bool) -> dict[str, Step]:
    torch.manual_seed(0)
    ours = kt.DGCNN(channels, DILATIONS)
    plain = PlainStack(PlainLayer(layer) for layer in ours)
    x = torch.randn(batch, length, channels)
    lengths = torch.linspace(length / 3, length, batch).long()
    mask = (torch.arange(length) < lengths[:, None]).float() if ragged else None
    first = x.mT.contiguous(), None if mask is None else mask[:, None]
    torch.testing.assert_close(ours(x, mask), plain(*first).mT, rtol=1e-3, atol=1e-4)
    return {
        "kxfast": step(ours, x, mask),
        "torch": step(plain, *first),
        "torch compiled": step(torch.compile(plain), *first),
    }


def block(batch: int, length: int, width: int, heads: int) -> dict[str, Step]:
    torch.manual_seed(0)
    segments = torch.arange(length) >= length // 2
    counts = segments.cumsum(0)
    dense = counts[None] <= counts[:, None]
    mask = kx.masks.unilm(segments.long())
    ours = Block(width, Heads(width, heads, mask), kt.Linear)
    attends: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "kxfast, products torch's": lambda q, k, v: kt.scaled_dot_product_attention(q, k, v, mask=mask),
        "torch": lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, dense),
    }
    nets = {"kxfast": ours} | {
        who: Block(width, PlainHeads(width, heads, attend), nn.Linear) for who, attend in attends.items()
    }
    x = torch.randn(batch, length, width)
    for net in nets.values():
        net.load_state_dict(ours.state_dict())
        torch.testing.assert_close(net(x), ours(x), rtol=1e-3, atol=1e-4)
    return {who: step(net, x) for who, net in nets.items()} | {
        "torch compiled": step(torch.compile(nets["torch"]), x),
    }


def spectral(layers: int, size: int) -> dict[str, Step]:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(size, size)) for _ in range(layers)]
    us, vs = ([torch.randn(size) for _ in range(layers)] for _ in range(2))
    plain, ours_each = (nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(layers)) for _ in range(2))
    for layer in plain:
        nn.utils.parametrizations.spectral_norm(layer)
    for layer in ours_each:
        kt.spectral_norm(layer)

    def together() -> None:
        scaled, _ = kt.spectral_normalize(weights, us, vs, coeff=1.0, mode="hard")
        torch.autograd.backward(scaled, [torch.ones_like(w) for w in scaled])

    def one_by_one(net: nn.ModuleList) -> Step:
        def run() -> None:
            scaled = [layer.weight for layer in net]
            torch.autograd.backward(scaled, [torch.ones_like(w) for w in scaled])

        return run

    return {
        "kxfast": together,
        "kxfast, a parametrization each": one_by_one(ours_each),
        "torch parametrizations": one_by_one(plain),
    }


def attention(length: int) -> dict[str, Step]:
    q, k, v = (torch.randn(1, 12, length, 64) for _ in range(3))
    return {
        "kxfast": lambda: kt.scaled_dot_product_attention(q, k, v),
        "torch": lambda: functional.scaled_dot_product_attention(q, k, v),
    }


def smallest() -> dict[str, Step]:
    """One token of one channel: what a call costs beside its work."""
    x, weight = torch.randn(1, 4, 8), torch.randn(3, 8, 16)
    leaf, a, b = x.clone().requires_grad_(), x.numpy(), weight.numpy()
    return {
        "kxfast": lambda: kt.dilated_gated_conv1d(x, weight),
        "kxfast with a graph": lambda: kt.dilated_gated_conv1d(leaf, weight),
        "kxfast of arrays": lambda: kx.conv.dilated_gated_conv1d(a, b),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=harness.RESULTS / f"torch_{harness.processor()}.json")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(kx.get_num_threads())
    work = 2 * 16 * 256 * 3 * 128 * 256 * len(DILATIONS) * 3
    jobs: list[tuple[str, dict[str, Step], float, str]] = [
        ("step of a DGCNN stack, B=16 L=256 C=128", stack(16, 256, 128, False), work, "flop"),
        ("the same, two thirds filled", stack(16, 256, 128, True), work * 2 / 3, "flop"),
        *(
            (
                f"step of a UniLM block, B=2 L=1024, {heads} heads of 64",
                block(2, 1024, 64 * heads, heads),
                2048,
                "token",
            )
            for heads in (4, 8)
        ),
        ("spectral normalisation of 64 layers 64x64 with gradients", spectral(64, 64), 64, "layer"),
        *((f"attention, 12 heads of 64, L={n}", attention(n), n, "token") for n in (16, 32, 64, 128, 256)),
        ("a call on 4 tokens of 8 channels", smallest(), 1, "call"),
    ]
    rows = []
    for title, calls, amount, unit in jobs:
        rows += harness.report(title, harness.in_turn(calls, options.rounds), "kxfast", amount, unit)
    harness.write(options.json, rows)


if __name__ == "__main__":
    main()
