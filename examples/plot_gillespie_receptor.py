"""Signalling by a receptor: an ensemble of a BioNetGen network.

python examples/plot_gillespie_receptor.py [--net egfr.net] [--end 10] [--runs 40] [--output .]

Any .net file will do, such as egfr_net.net of the Catalyst paper (Loman and others 2023: 356 species, 3749 reactions).
Without one a small network of the same make is written and read: ligand binds receptor, pairs of receptors form, and
each of them is phosphorylated and dephosphorylated. Drawn are the species that change most.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import kxfast as kx


def small_net() -> str:
    """Return the .net of a receptor with two phosphorylation sites, bound or not, alone or in pairs."""
    monomers = [f"R(l{'!1' * bound},a~{a},b~{b})" for bound, a, b in product((0, 1), "UP", "UP")]
    names = ["L(r)", *monomers]
    rates, reactions = {"kon": 2e-4, "koff": 0.05, "pair": 2e-4, "part": 0.02, "kp": 0.6, "kd": 0.2}, []
    place = {name: i + 1 for i, name in enumerate(names)}
    for a, b in product("UP", "UP"):
        free, bound = (place[f"R(l{'!1' * k},a~{a},b~{b})"] for k in (0, 1))
        reactions += [f"1,{free} {bound} kon", f"{bound} 1,{free} koff"]
    pairs = {}
    for first, second in product(monomers[4:], monomers[4:]):
        if first <= second:
            pairs[first, second] = len(names) + 1
            names.append(f"{first}.{second}")
    for (first, second), number in pairs.items():
        reactions += [f"{place[first]},{place[second]} {number} pair", f"{number} {place[first]},{place[second]} part"]
        for site in "ab":
            for i, each in enumerate((first, second)):
                other = (first, second)[1 - i]
                for before, after, rate in (("U", "P", "kp"), ("P", "U", "kd")):
                    if f"{site}~{before}" in each:
                        changed = each.replace(f"{site}~{before}", f"{site}~{after}")
                        reactions.append(f"{number} {pairs[tuple(sorted((changed, other)))]} {rate}")
    counts = {names[0]: 6000, monomers[0]: 4000}
    lines = ["begin parameters", *(f"{i} {k} {v}" for i, (k, v) in enumerate(rates.items(), 1)), "end parameters"]
    lines += ["begin species", *(f"{i} {n} {counts.get(n, 0)}" for i, n in enumerate(names, 1)), "end species"]
    lines += ["begin reactions", *(f"{i} {r}" for i, r in enumerate(reactions, 1)), "end reactions"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", type=Path, help="a BioNetGen network; default: a small one, made here")
    parser.add_argument("--end", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path())
    chosen = parser.parse_args()

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.net
        if path is None:
            path = Path(folder) / "receptor.net"
            path.write_text(small_net())
        net = kx.gillespie.read_bngl_net(path)
    print(f"{net} read in {time.perf_counter() - start:.2f} s")

    start = time.perf_counter()
    res = kx.gillespie.simulate(net, np.linspace(0, chosen.end, 101), n=chosen.runs, seed=1)
    seconds = time.perf_counter() - start
    events = int(res.events.sum())
    print(f"{events} events in {seconds:.1f} s, {events / seconds / 1e6:.1f} million a second, by {res.method}")

    mean = res.mean()
    busiest = np.argsort(-np.ptp(mean, axis=0))[:6]
    figure, (fan, spread) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    res.plot(fan, species=[res.species[s] for s in busiest])
    fan.legend(fontsize=7)
    fan.set_title(f"{len(net.species)} species, {len(net.rates)} reactions")
    last = res.counts[:, -1]
    present = last.mean(axis=0) > 0
    spread.loglog(last.mean(axis=0)[present], last.var(axis=0, ddof=1)[present], ".")
    x = np.array([last.mean(axis=0)[present].min(), last.mean(axis=0).max()])
    spread.loglog(x, x, "k:", label="Poisson")
    spread.set(xlabel="mean (molecules)", ylabel="variance", title=f"every species at t = {chosen.end:g}")
    spread.legend()
    figure.savefig(chosen.output / "gillespie_receptor.png", dpi=120)


if __name__ == "__main__":
    main()
