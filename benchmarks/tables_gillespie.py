"""The measured tables of docs/kernels/gillespie.md."""

from __future__ import annotations

import math
from typing import Any

# A plain loop written for one model and compiled by Numba is shown, but is no program that a user could install.
LIBRARIES = ("rebop", "bngsim", "bioscrape", "copasi", "gillespy2", "roadrunner")
COLUMNS = (*LIBRARIES, "numba")


def tables(result: dict[str, Any]) -> str:
    """Return ensembles on two threads, single trajectories, and what it takes to begin."""
    machine, rows = result["machine"], result["rows"]
    jobs: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        jobs.setdefault(row["job"], {})[row["name"]] = row
    parts = [
        f"`python benchmarks/bench_gillespie.py --data DIR` on {machine['cores']} threads of an {machine['processor']} "
        f"({machine['isa']}), {machine['date']}; million events a second, all in one run of a model, alternately. The "
        "ratio is to the best library; numba is a plain loop with the model's propensities written out.",
        "",
        _heading("ensembles, 2 threads or processes", "1 thread"),
    ]
    ratios = []
    for job, found in jobs.items():
        if job.endswith("ensemble, threads 2"):
            one = jobs[job.replace("threads 2", "threads 1")]["lanes"]["rate"]
            ratios.append(_ratio(found, "lanes"))
            parts.append(_row(job.partition(",")[0], _millions(one), found, "lanes"))
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        parts += ["", f"Geometric mean {mean:.1f}, least {min(ratios):.1f}.", ""]
    parts.append(_heading("one trajectory", "method of auto"))
    for job, found in jobs.items():
        if ", long," in job:
            parts.append(_row(job.partition(",")[0], job.rpartition("auto ")[2], found, "auto"))
    parts += ["", "Milliseconds from a model's file to its first event, of a peer what it takes to get ready:", ""]
    parts += [f"| model | kxfast | {' | '.join(COLUMNS)} |", "|---|--:|" + "--:|" * len(COLUMNS)]
    for job, found in jobs.items():
        if job.endswith("first event"):
            model = job.partition(",")[0]
            ready = next((each for name, each in jobs.items() if name.startswith(f"{model}, long")), {})
            ready = ready or jobs.get(f"{model}, ensemble, threads 1", {})
            times = [f"{1e3 * ready[name]['ready_seconds']:.3g}" if name in ready else "-" for name in COLUMNS]
            parts.append(f"| {model} | {1e3 * found['auto']['seconds']:.3g} | {' | '.join(times)} |")
    return "\n".join([*parts, ""])


def _heading(first: str, second: str) -> str:
    return f"| {first} | {second} | kxfast | {' | '.join(COLUMNS)} | ratio |\n|---|--:|--:|{'--:|' * len(COLUMNS)}--:|"


def _row(model: str, second: str, found: dict[str, Any], ours: str) -> str:
    peers = [_millions(found[name]["rate"]) if name in found else "-" for name in COLUMNS]
    return (
        f"| {model} | {second} | {_millions(found[ours]['rate'])} | {' | '.join(peers)} | {_ratio(found, ours):.2f} |"
    )


def _ratio(found: dict[str, Any], ours: str) -> float:
    return float(found[ours]["rate"] / max(found[name]["rate"] for name in LIBRARIES if name in found))


def _millions(rate: float) -> str:
    return f"{rate / 1e6:.3g}"
