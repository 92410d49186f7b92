"""Gene expression, the article's demonstration: bursts of protein, and what an average over events gets wrong.

python examples/plot_gillespie_gene_expression.py [--steps 200000] [--output .]

0 -> m at 20, m -> m + n at 2.5, m -> 0 and n -> 0 at 1: the protein's mean is 50 and its variance 112.5, which is 2.25
times that of a Poisson law. A histogram over events, as the article draws it, shows states that end quickly too often;
each state must count by how long it holds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import kxfast as kx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000, help="events of the article's System")
    parser.add_argument("--output", type=Path, default=Path())
    chosen = parser.parse_args()

    system = kx.gillespie.System(2)
    system.add_reaction(20, [0, 0], [1, 0])
    system.add_reaction(2.5, [1, 0], [1, 1])
    system.add_reaction(1, [1, 0], [0, 0])
    system.add_reaction(1, [0, 1], [0, 0])
    system.evolute(chosen.steps, [20, 50], seed=1)
    t, protein = np.array(system.t), np.array(system.n)[:, 1]

    held = np.diff(t)
    by_time = np.bincount(protein[:-1], held) / t[-1]
    by_event = np.bincount(protein) / len(protein)
    counts = np.arange(len(by_time))
    mean = by_time @ counts
    variance = by_time @ counts**2 - mean**2
    print(f"protein over {t[-1]:.0f} units of time: mean {mean:.2f} (50), variance {variance:.1f} (112.5)")

    figure, (path, law) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    shown = t < 40
    path.step(t[shown], protein[shown], where="post")
    path.set(xlabel="t (lifetimes of a protein)", ylabel="proteins", title="the first 40 lifetimes")
    law.plot(counts, by_time, label="by time")
    law.plot(np.arange(len(by_event)), by_event, label="by event, as the article counts")
    law.plot(counts, stats.nbinom.pmf(counts, 40, 40 / 90), "k:", label="negative binomial of that mean and variance")
    law.plot(counts, stats.poisson.pmf(counts, 50), "0.7", label="Poisson of the same mean")
    law.set(xlabel="proteins", ylabel="share", title="stationary law")
    law.set_ylim(top=1.4 * stats.poisson.pmf(50, 50))  # room for the legend
    law.legend(fontsize=8)
    figure.savefig(chosen.output / "gillespie_gene_expression.png", dpi=120)


if __name__ == "__main__":
    main()
