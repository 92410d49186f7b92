"""An i-ResNet density of points in the plane in PyTorch, twice: plain layers and kxfast's blocks, on the same batches.

python examples/plot_torch_density.py [--steps 1000] [--output .]

Plain is torch's own spectral normalisation and the series of the log-determinant, differentiated as it stands. The
blocks of kxfast take the Neumann gradient, carry a proof that they are contractions, and can be inverted: samples are
drawn at the end.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from comparing import draw_both, train_both
from torch import Tensor, nn

import kxfast.torch as kt

BLOCKS, WIDTH, TERMS, COEFF, ROWS = 8, 64, 8, 0.9, 512


def pinwheel(rng: np.random.Generator, count: int) -> Tensor:
    """Draw points of five bent arms."""
    arm = rng.integers(0, 5, count)
    radius, across = 1 + 0.3 * rng.standard_normal(count), 0.1 * rng.standard_normal(count)
    angle = 2 * np.pi * arm / 5 + 0.25 * np.exp(radius)
    points = np.stack(
        [radius * np.cos(angle) - across * np.sin(angle), radius * np.sin(angle) + across * np.cos(angle)]
    )
    return torch.from_numpy(2 * points.T.astype("f"))


def layers() -> list[nn.Module]:
    return [nn.Linear(2, WIDTH), nn.ELU(), nn.Linear(WIDTH, WIDTH), nn.ELU(), nn.Linear(WIDTH, 2)]


class PlainBlock(nn.Module):
    """x + g(x) with torch's own normalisation; every term of the series stays in the graph."""

    def __init__(self) -> None:
        super().__init__()
        members = layers()
        for i in (0, 2, 4):
            nn.utils.parametrizations.spectral_norm(members[i])
        self.members = nn.ModuleList(members)

    def g(self, x: Tensor) -> Tensor:
        for member in self.members:
            if isinstance(member, nn.Linear):
                unit, weight = member.weight, member.parametrizations.weight.original
                sigma = weight.norm() / unit.norm()
                x = nn.functional.linear(x, unit * sigma.clamp(max=COEFF), member.bias)
            else:
                x = member(x)
        return x

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and the log-determinant."""
        x = x if x.requires_grad else x.detach().requires_grad_()
        value = self.g(x)
        probe = torch.randint(2, x.shape).float() * 2 - 1
        v, logdet = probe, torch.zeros(len(x))
        for k in range(1, TERMS + 1):
            (v,) = torch.autograd.grad(value, x, v, create_graph=True)
            logdet = logdet - (-1) ** k / k * (v * probe).sum(1)
        return x + value, logdet


class Flow(nn.ModuleList):
    """Blocks one after another."""

    def surprise(self, x: Tensor) -> Tensor:
        """Return the mean of -log density, in nats."""
        total = torch.zeros(len(x))
        for block in self:
            x, logdet = block(x)
            total = total + logdet
        return (0.5 * (x * x).sum(1) + math.log(2 * math.pi) - total).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    torch.manual_seed(0)
    ours = Flow(kt.InvertibleResidualBlock(layers(), (2,), coeff=COEFF, terms=TERMS) for _ in range(BLOCKS))
    torch.manual_seed(0)
    plain = Flow(PlainBlock() for _ in range(BLOCKS))
    rng = np.random.default_rng(0)
    nets = {"kxfast": ours, "torch": plain}
    losses, seconds = train_both(
        {name: net.surprise for name, net in nets.items()}, nets, lambda _: pinwheel(rng, ROWS), options.steps, 2e-3
    )
    draw_both(losses, seconds, "i-ResNet density of a pinwheel", "nats a point", options.output / "torch_density.png")
    print("proven Lipschitz constants:", " ".join(f"{float(block.certificate().upper):.3f}" for block in ours))
    y = torch.randn(2000, 2)
    with torch.no_grad():
        x = y
        for block in reversed(ours):
            x = block.inverse(x, tol=1e-5)
        back = x
        ours.eval()
        for block in ours:
            back = back + block.g(back)
    print(f"largest error of x -> y after y -> x: {float((back - y).abs().max()):.1e}")
    scatter(pinwheel(rng, 2000), x, options.output / "torch_density_samples.png")


def scatter(points: Tensor, samples: Tensor, path: Path) -> None:
    """Write data and samples side by side as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.3), layout="compressed", dpi=110)
    for axes, each, title in zip(figure.subplots(1, 2), (points, samples), ("data", "samples"), strict=True):
        axes.scatter(*each.T.numpy(), s=3, color="#0055aa", linewidths=0)
        axes.set(title=title, xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    figure.savefig(path)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
