"""An i-ResNet density of points in the plane, trained with `kx.lipschitz` alone.

python examples/plot_lipschitz_iresnet_2d.py [--steps 1200] [--output .]

The log-determinant is summed with the two probes that make its traces exact in the plane. Drawn are the points, the
density, samples, and the errors of the inverse; printed are the constants that are proven for the blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from iresnet import Flow
from training import train

ROWS, RANGE = 400, 4.0


def moons(rng: np.random.Generator, count: int) -> Any:
    """Draw points of two moons that reach into each other."""
    angle, side = np.pi * rng.random(count), 1.0 - 2.0 * rng.integers(0, 2, count)
    points = side[:, None] * np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return (2 * points + 0.16 * rng.standard_normal((count, 2))).astype("f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    flow = Flow((2,), blocks=8, width=64)
    flow.start(moons(rng, 2000))
    both = np.broadcast_to(np.array([[1.0, 1.0], [1.0, -1.0]])[:, None], (2, ROWS, 2))
    losses = train(flow.weights, lambda x: flow.loss(x, both), lambda: (moons(rng, ROWS),), options.steps, 1e-2)
    constants = flow.certify()
    print("proven Lipschitz constants:", " ".join(f"{each:.3f}" for each in constants))
    data = moons(rng, 2000)
    pair = np.broadcast_to(both[:, :1], (2, len(data), 2))
    print(f"data kept aside: {flow.surprise(data, pair).mean():.3f} nats a point")
    back, bound = flow.decode(flow.encode(data)[0])
    errors = np.linalg.norm(back - data, axis=1)
    samples, _ = flow.decode(rng.standard_normal((2000, 2)).astype("f"))
    print(f"inverse: at most {bound:.1e} proven for a block, found {np.median(errors):.1e}, largest {errors.max():.1e}")
    draw(flow, losses, (data, samples), errors, constants, options.output / "lipschitz_iresnet_2d.png")


def draw(flow: Flow, losses: list[float], clouds: Any, errors: Any, constants: list[float], path: Path) -> None:
    """Write data, density, samples, errors of the inverse and constants as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained", dpi=110)
    (top, density, drawn), (curve, wrong, proven) = figure.subplots(2, 3)
    for each, points, title in (top, clouds[0], "data"), (drawn, clouds[1], "samples"):
        each.scatter(*points.T, s=2, color="#0055aa", linewidths=0)
        each.set(title=title, xlim=(-RANGE, RANGE), ylim=(-RANGE, RANGE), aspect="equal")
    side = np.linspace(-RANGE, RANGE, 120)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype("f")
    pair = np.broadcast_to(np.array([[1.0, 1.0], [1.0, -1.0]])[:, None], (2, len(grid), 2))
    heights = np.exp(-flow.surprise(grid, pair)).reshape(120, 120)
    density.imshow(heights, origin="lower", extent=(-RANGE, RANGE, -RANGE, RANGE), cmap="Blues")
    density.set(title="density")
    curve.plot(losses, color="#4477aa", linewidth=0.8)
    curve.set(title="training", xlabel="step", ylabel="nats a point")
    wrong.hist(np.log10(errors + 1e-12), bins=40, color="#4477aa")
    wrong.set(title="error of x after x -> z -> x", xlabel="log10 of the distance")
    proven.bar(range(len(constants)), constants, color="#4477aa")
    proven.axhline(1, color="#cc3311", linewidth=1)
    proven.set(title="proven Lipschitz constants", xlabel="block", ylim=(0, 1.1))
    figure.savefig(path)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
