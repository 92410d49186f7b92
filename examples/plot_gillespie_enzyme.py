"""The article's enzyme: 300 substrates become products; one trajectory by `System`, and when the reaction is over.

python examples/plot_gillespie_enzyme.py [--runs 20000] [--output .]

The article asks for 100,000 events, but fewer than that are possible: its own program failed at the end, where all
propensities are 0. `until` ends each trajectory of an ensemble when the last product is there, and says when.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import kxfast as kx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--output", type=Path, default=Path())
    chosen = parser.parse_args()

    system = kx.gillespie.System(4)
    system.add_reaction(1.66e-3, [1, 1, 0, 0], [0, 0, 1, 0])
    system.add_reaction(1e-4, [0, 0, 1, 0], [1, 1, 0, 0])
    system.add_reaction(0.1, [0, 0, 1, 0], [0, 1, 0, 1])
    system.evolute(100_000, [300, 121, 0, 0], seed=1)
    print(f"{len(system.t) - 1} events, then nothing can react any more: {system.n[-1].tolist()}")

    net = kx.gillespie.ReactionNetwork(
        {"S": 300, "E": 121, "SE": 0, "P": 0},
        ["S + E -> SE @ 1.66e-3", "SE -> S + E @ 1e-4", "SE -> E + P @ 0.1"],
    )
    res = kx.gillespie.simulate(net, [1e4], n=chosen.runs, seed=2, until="P == 300")
    assert res.stopped is not None
    print(f"the last product comes after {res.stopped.mean():.1f} +- {res.stopped.std():.1f}")

    figure, (path, law) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, counts in zip(("S", "E", "SE", "P"), np.array(system.n).T, strict=True):
        path.step(system.t, counts, where="post", label=name)
    path.set(xlabel="t", ylabel="molecules", title="one trajectory")
    path.legend()
    law.hist(res.stopped, bins=80, density=True)
    law.set(xlabel="t", ylabel="density", title=f"when the last product is there, {chosen.runs} trajectories")
    figure.savefig(chosen.output / "gillespie_enzyme.png", dpi=120)


if __name__ == "__main__":
    main()
