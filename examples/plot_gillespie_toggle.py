"""A genetic toggle switch: two genes that repress each other, and how long one of them stays on.

python examples/plot_gillespie_toggle.py [--runs 1500] [--output .]

Rates are Hill functions, written as they stand in a paper; they run in vector lanes. Of an ensemble that starts with U
on, `until` gives the times of the first switch to V: an exponential law, but for the time that a switch itself takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import kxfast as kx

NET = kx.gillespie.ReactionNetwork(
    {"U": 30, "V": 0},
    ["0 -> U @ a / (1 + (V / K) ** n)", "0 -> V @ a / (1 + (U / K) ** n)", "U -> 0 @ 1", "V -> 0 @ 1"],
    {"a": 30.0, "K": 8.0, "n": 2.5},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--output", type=Path, default=Path())
    chosen = parser.parse_args()

    one = kx.gillespie.simulate(NET, np.linspace(0, 2000, 4001), seed=3)
    first = kx.gillespie.simulate(NET, [1e5], n=chosen.runs, seed=4, until="V >= 20 and U <= 5")
    assert first.stopped is not None
    mean = first.stopped.mean()
    print(f"U stays on for {mean:.0f} lifetimes of a protein on average")
    law = kx.gillespie.histograms(NET, [5 * mean], n=chosen.runs, bins=60, seed=5)

    figure, (path, density, times) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    one.plot(path)
    path.set(title="one trajectory", xlabel="t (lifetimes of a protein)")
    density.stairs(law.counts[0, 0] / chosen.runs, law.edges - 0.5, fill=True)
    density.set(xlabel="U (molecules)", ylabel="share of trajectories", title="in the long run")
    times.hist(first.stopped, bins=60, density=True)
    x = np.linspace(0, first.stopped.max(), 200)
    times.plot(x, np.exp(-x / mean) / mean, "k:", label="exponential of the same mean")
    times.set(xlabel="t (lifetimes of a protein)", ylabel="density", title=f"time of the first switch, mean {mean:.0f}")
    times.legend()
    figure.savefig(chosen.output / "gillespie_toggle.png", dpi=120)


if __name__ == "__main__":
    main()
