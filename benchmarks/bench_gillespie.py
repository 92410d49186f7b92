"""Ensembles of small networks and one long trajectory of small and large ones, beside seven peers.

python benchmarks/bench_gillespie.py --data DIR, where DIR/ssa_models has the networks; KXFAST_PEERS names the Pythons
that have peers (pip install '.[bench-peers]'), separated by colons, by default this one; KXFAST_MODELS the networks,
all by default, separated by colons: results of others stay in the file.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, write
from peers.gillespie import MODULES, Peer

import kxfast as kx
from kxfast.backends.native import gillespie as native

MODELS = (
    "birth_death",
    "dimerisation",
    "lotka_volterra",
    "schlogl",
    "toggle",
    "toggle_hill",
    "michaelis_menten",
    "oregonator",
    "neg_feedback",
    "vilar",
    "multistate",
)
# Of these one trajectory, the part of its "t_long" that the slowest peer walks in seconds.
LARGE = {"multisite2": 0.5, "egfr": 1, "diffusion_100": 0.5, "diffusion_256_sciml": 0.3, "diffusion_1000": 0.3}
# Slow peers are given a part of the work, and their seconds are scaled up.
PART = {"gillespy2": 0.2, "bioscrape": 0.2, "copasi": 0.1, "roadrunner": 0.05}
# On large networks these take minutes to get ready, or set the length of the run.
ON_LARGE = ("rebop", "bngsim")
SLOW = {("egfr", "rebop")}  # a fourteenth of the speed of bngsim
MANY = ("birth_death", "schlogl", "toggle")  # also 100,000 trajectories, a tenth as long
ON_MANY = ("rebop", "bngsim", "numba")
Timed = dict[str, Callable[[], float]]  # each call returns its own seconds


def medians(calls: Timed, rounds: int) -> dict[str, float]:
    """Call all in turn, after one round that does not count."""
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = call()
            if number:
                seen[name].append(seconds)
    return {name: statistics.median(each) for name, each in seen.items()}


def ours(net: Any, t: Any, n: int, threads: int, lanes: int, method: str = "direct") -> Callable[[], float]:
    def call() -> float:
        start = time.perf_counter()
        native.simulate(net.arrays, t, method, 1, False, n, 0, threads, None, lanes)
        return time.perf_counter() - start

    return call


def show(job: str, seconds: dict[str, float], events: int, base: str) -> list[dict[str, Any]]:
    """Print and return one row for each call; the ratio is its speed over that of `base`."""
    print(
        f"{job:<36}", *(f"{name} {events / s / 1e6:7.1f} M/s {seconds[base] / s:5.2f}x " for name, s in seconds.items())
    )
    return [
        {"job": job, "name": name, "seconds": s, "rate": events / s, "unit": "event", "ratio": seconds[base] / s}
        for name, s in seconds.items()
    ]


def start_peers() -> dict[int, dict[str, Peer]]:
    """Return the peers that are found, by name, in one process and in two."""
    found: dict[int, dict[str, Peer]] = {1: {}, 2: {}}
    for name in MODULES:
        for python in os.environ.get("KXFAST_PEERS", sys.executable).split(":"):
            try:
                found[1][name], found[2][name] = Peer(name, python, 1), Peer(name, python, 2)
                break
            except ImportError:
                continue
        else:
            print(f"({name} is left out: not installed)")
    return found


def measure(file: Path, folder: Path, peers: dict[int, dict[str, Peer]], rounds: int) -> list[dict[str, Any]]:
    """Return the rows of one network: its ensemble on one and two threads, and one long trajectory."""
    net, bench = kx.gillespie.read_json(file), json.loads(file.read_text(encoding="utf-8"))["bench"]
    sbml = folder / f"{file.stem}.xml"
    net.to_sbml(sbml)
    points, rows = bench["n_points"], []
    jobs = []
    if file.stem not in LARGE:
        jobs += [("ensemble", bench["n_ens"], bench["t_ens"], threads) for threads in (1, 2)]
    if file.stem in MANY:
        jobs.append(("ensemble of 100000", 100_000, bench["t_ens"] / 10, 2))
    if bench["t_long"] is not None:
        jobs.append(("long", 1, bench["t_long"] * LARGE.get(file.stem, 1), 1))
    for kind, n, end, threads in jobs:
        t = np.linspace(0, end, points)
        result = kx.gillespie.simulate(net, t, n=n, seed=1)
        calls: Timed = {"scalar": ours(net, t, n, threads, 0)}
        if n > 1:
            calls["lanes"] = ours(net, t, n, threads, 1)
        else:
            calls["auto"] = ours(net, t, n, threads, 0, result.method)
        for name, peer in peers[threads].items():
            if n == 100_000 and name not in ON_MANY:
                continue
            if (file.stem, name) not in SLOW and (file.stem not in LARGE or name in ON_LARGE):
                calls[name] = partial(part_of, peer, PART.get(name, 1), file, sbml, n, end, points)
        job = f"{file.stem}, {kind}, threads {threads}" + (f", auto {result.method}" if n == 1 else "")
        seconds = medians(calls, rounds)
        failed = [name for name, taken in seconds.items() if not math.isfinite(taken)]
        for name in failed:
            del seconds[name]
        best = min(set(peers[threads]) & set(seconds), key=seconds.__getitem__, default="scalar")
        rows += show(job, seconds, int(result.events.sum()), best)
        for row in rows:
            if row["job"] == job and row["name"] in peers[threads]:
                row["ready_seconds"] = peers[threads][row["name"]].ready
    return [*rows, first_event(file, net)]


def part_of(peer: Peer, part: float, file: Path, sbml: Path, n: int, end: float, points: int) -> float:
    """Return the seconds of a peer's part of the work over the part; infinite where the peer cannot do it."""
    many, until = (max(2, round(n * part)), end) if n > 1 else (n, end * part)
    try:
        return peer.run(file, sbml, many, until, points) * (n * end) / (many * until)
    except (RuntimeError, BrokenPipeError, ValueError):
        return math.inf


def first_event(file: Path, net: Any) -> dict[str, Any]:
    """Return a row of the time from a file to the first event; of reactions of mass action from a .net too."""
    start = time.perf_counter()
    log = kx.gillespie.simulate_events(kx.gillespie.read_json(file), max_events=1, seed=1)
    taken = time.perf_counter() - start
    print(f"{file.stem}: {1e3 * taken:.1f} ms from the file to the first event")
    return {"job": f"{file.stem}, first event", "name": "auto", "seconds": taken, "rate": len(log) / taken,
            "unit": "event", "ratio": 1.0}  # fmt: skip


def main() -> None:
    chosen = arguments("gillespie")
    peers = start_peers()
    models = os.environ.get("KXFAST_MODELS", ":".join((*MODELS, *LARGE))).split(":")
    rows = json.loads(chosen.json.read_text())["rows"] if chosen.json.exists() else []
    rows = [row for row in rows if row["job"].partition(",")[0] not in models]
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            rows += measure(chosen.data / "ssa_models" / f"{name}.json", Path(folder), peers, chosen.rounds)
    for threads in (1, 2):
        found = [r["ratio"] for r in rows if r["name"] == "lanes" and r["job"].endswith(f"threads {threads}")]
        if found:
            mean = math.exp(np.mean(np.log(found)))
            print(f"lanes, threads {threads}: geometric mean {mean:.2f}, least {min(found):.2f}")
    for processes in peers.values():
        for peer in processes.values():
            peer.close()
    write(chosen.json, rows)


if __name__ == "__main__":
    main()
