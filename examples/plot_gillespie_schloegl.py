"""Schloegl's model: one species, two stable states, and an ensemble that ends in both.

python examples/plot_gillespie_schloegl.py [--runs 20000] [--output .]

Moments say little here: the mean lies where hardly any trajectory is. Histograms are collected without storing
trajectories. The stationary law is known: a chain of births and deaths is in detailed balance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import kxfast as kx


def stationary(most: int) -> np.ndarray:
    """Return the law of p(x + 1) / p(x) = birth(x) / death(x + 1)."""
    x = np.arange(most, dtype=float)
    birth = 3e-7 / 2 * 1e5 * x * (x - 1) + 1e-3 * 2e5
    death = 1e-4 / 6 * (x + 1) * x * (x - 1) + 3.5 * (x + 1)
    logs = np.concatenate([[0], np.cumsum(np.log(birth / death))])
    p = np.exp(logs - logs.max())
    return p / p.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--output", type=Path, default=Path())
    chosen = parser.parse_args()

    net = kx.gillespie.example("schlogl")
    fan = kx.gillespie.simulate(net, np.linspace(0, 10, 201), n=min(200, chosen.runs), seed=1)
    t = np.array([1.0, 3.0, 10.0])
    found = kx.gillespie.histograms(net, t, n=chosen.runs, width=10, bins=100, seed=2)
    upper = found.counts[-1, 0, 30:].sum() / chosen.runs
    print(f"at t = 10 {upper:.1%} of the trajectories are near the upper state")

    figure, (path, law) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    fan.plot(path)
    path.set_title("mean and deviation hide what trajectories do")
    for i, time in enumerate(t):
        law.stairs(found.counts[i, 0] / chosen.runs / 10, found.edges, label=f"t = {time:g}")
    law.plot(np.arange(1001), stationary(1000), "k:", label="stationary law")
    law.set(xlabel="X", ylabel="probability", title=f"{chosen.runs} trajectories")
    law.legend()
    figure.savefig(chosen.output / "gillespie_schloegl.png", dpi=120)


if __name__ == "__main__":
    main()
