"""``kxfast ssa``."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np

from kxfast import gillespie
from kxfast.cli.words import show_progress
from kxfast.files import whole_file

_READERS = {
    ".xml": gillespie.read_sbml,
    ".sbml": gillespie.read_sbml,
    ".net": gillespie.read_bngl_net,
    ".json": gillespie.read_json,
}
_METHODS = ("auto", "direct", "sorting_direct", "next_reaction", "composition_rejection", "rssa", "tau_leaping")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", help="SBML (.xml, .sbml), BioNetGen .net, .json, or the name of an example")
    parser.add_argument("--end", type=float, required=True, help="time of the last sample")
    parser.add_argument("--points", type=int, default=101, help="samples from time 0 on; default: 101")
    parser.add_argument("-n", type=int, default=1000, help="trajectories; default: 1000")
    parser.add_argument("--method", choices=_METHODS, default="auto", help="default: auto")
    parser.add_argument("--seed", type=int, help="the same seed gives the same result on any number of threads")
    parser.add_argument("--threads", type=int, help="number of threads")
    parser.add_argument("--species", nargs="+", help="species to write; default: all")
    parser.add_argument("-o", "--output", type=Path, help="table of means and standard deviations; default: print it")
    parser.add_argument("--trajectories", type=Path, help=".npz with t (T,), counts (n, T, S), species and events (n,)")
    parser.add_argument("--plot", type=Path, help="picture of trajectories, mean and standard deviation")


def run(chosen: argparse.Namespace) -> int:
    """Simulate an ensemble, and write what was asked for."""
    net = read(chosen.model)
    if not 0 < chosen.end < float("inf"):
        raise ValueError(f"--end must be above 0; got {chosen.end:g}")
    if chosen.points < 2:
        raise ValueError(f"--points must be at least 2; got {chosen.points}")
    for name in chosen.species or ():
        if name not in net.species:
            raise ValueError(f"--species must be among {', '.join(net.species)}; got {name!r}")
    if chosen.trajectories is not None and chosen.trajectories.suffix != ".npz":
        raise ValueError(f"--trajectories must end in .npz; got '{chosen.trajectories}'")
    places = [net.species.index(name) for name in chosen.species or net.species]
    t = np.linspace(0, chosen.end, chosen.points)
    how = {"n": chosen.n, "method": chosen.method, "seed": chosen.seed, "threads": chosen.threads}
    shown = show_progress if sys.stderr.isatty() else False
    if chosen.trajectories is None and chosen.plot is None:
        found = gillespie.moments(net, t, progress=shown, **how)
        mean, deviation, events, method = found.mean, np.sqrt(found.variance), found.events, found.method
    else:
        res = gillespie.simulate(net, t, progress=shown, **how)
        mean, deviation = res.mean(), res.std() if chosen.n > 1 else np.zeros_like(res.mean())
        events, method = int(res.events.sum()), res.method
        if chosen.trajectories is not None:
            with whole_file(chosen.trajectories) as stream:
                names = np.array([net.species[s] for s in places])
                np.savez_compressed(stream, t=t, counts=res.counts[:, :, places], species=names, events=res.events)
        if chosen.plot is not None:
            axes = res.plot(species=[net.species[s] for s in places])
            with whole_file(chosen.plot) as stream:
                axes.figure.savefig(stream, format=chosen.plot.suffix.lstrip(".") or "png")
    write(chosen.output, table(t, [net.species[s] for s in places], mean[:, places], deviation[:, places]))
    print(f"{chosen.n} trajectories, {events} events, method {method}", file=sys.stderr)
    return 0


def read(model: str) -> gillespie.ReactionNetwork:
    """Return the network of a file, or of an example's name."""
    suffix = Path(model).suffix.lower()
    if suffix in _READERS:
        return _READERS[suffix](model)
    if suffix or "/" in model:
        raise ValueError(f"model must end in {', '.join(_READERS)}, or be an example; got {model!r}")
    return gillespie.example(model)


def table(t: np.ndarray, names: list[str], mean: np.ndarray, deviation: np.ndarray) -> str:
    """Return rows of time, means and standard deviations, separated by commas."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(["t", *(f"{kind} {name}" for name in names for kind in ("mean", "sd"))])
    for time, m, sd in zip(t.tolist(), mean.tolist(), deviation.tolist(), strict=True):
        rows.writerow([f"{time:.10g}", *(f"{x:.10g}" for pair in zip(m, sd, strict=True) for x in pair)])
    return stream.getvalue()


def write(path: Path | None, text: str) -> None:
    """Write a file, whole or not at all, or print."""
    if path is None:
        sys.stdout.write(text)
        return
    with whole_file(path) as stream:
        stream.write(text.encode())
