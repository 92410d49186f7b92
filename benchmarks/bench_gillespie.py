"""Ensembles of small networks and one long trajectory of each, beside rebop.

python benchmarks/bench_gillespie.py --data DIR, where DIR/ssa_models has the networks; KXFAST_PEERS names the Python
that has rebop, by default this one.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import arguments, write
from peers.gillespie import Rebop

import kxfast as kx
from kxfast.backends.native import gillespie as native

MODELS = (
    "birth_death",
    "dimerisation",
    "lotka_volterra",
    "schlogl",
    "toggle",
    "michaelis_menten",
    "oregonator",
    "neg_feedback",
    "vilar",
    "multistate",
)
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


def ours(net: Any, t: Any, n: int, threads: int, lanes: int) -> Callable[[], float]:
    def call() -> float:
        start = time.perf_counter()
        native.simulate(net.arrays, t, "direct", 1, False, n, 0, threads, None, lanes)
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


def start_peers() -> dict[int, Rebop]:
    """Return rebop in one process and in two, or nothing."""
    try:
        return {processes: Rebop(os.environ.get("KXFAST_PEERS", sys.executable), processes) for processes in (1, 2)}
    except ImportError as error:
        print(f"(rebop is left out: {error})")
        return {}


def measure(file: Path, peers: dict[int, Rebop], rounds: int) -> list[dict[str, Any]]:
    """Return the rows of one network: its ensemble on one and two threads, and one long trajectory."""
    net, bench = kx.gillespie.read_json(file), json.loads(file.read_text(encoding="utf-8"))["bench"]
    points, rows = bench["n_points"], []
    jobs = [("ensemble", bench["n_ens"], bench["t_ens"], threads) for threads in (1, 2)]
    if bench["t_long"] is not None:
        jobs.append(("long", 1, bench["t_long"], 1))
    for kind, n, end, threads in jobs:
        t = np.linspace(0, end, points)
        events = int(kx.gillespie.simulate(net, t, n=n, seed=1).events.sum())
        calls: Timed = {"scalar": ours(net, t, n, threads, 0)}
        if n > 1:
            calls["lanes"] = ours(net, t, n, threads, 1)
        if peers:
            calls["rebop"] = partial(peers[threads].run, file, n, end, points)
        job = f"{file.stem}, {kind}, threads {threads}"
        rows += show(job, medians(calls, rounds), events, "rebop" if peers else "scalar")
    return rows


def main() -> None:
    chosen = arguments("gillespie")
    peers = start_peers()
    rows = []
    for name in MODELS:
        rows += measure(chosen.data / "ssa_models" / f"{name}.json", peers, chosen.rounds)
    for threads in (1, 2):
        found = [r["ratio"] for r in rows if r["name"] == "lanes" and r["job"].endswith(f"threads {threads}")]
        print(
            f"lanes, threads {threads}: geometric mean {math.exp(np.mean(np.log(found))):.2f}, least {min(found):.2f}"
        )
    for peer in peers.values():
        peer.close()
    write(chosen.json, rows)


if __name__ == "__main__":
    main()
