"""The measured table of docs/cuda.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NOTHING = "**Nothing here has been measured on a GPU yet**, and no figure is claimed."
# What a call does in a second, its unit in the table, and how many make one.
RATES = {
    "teraflops": ("TFLOP/s", 1.0),
    "terabytes_per_second": ("TB/s", 1.0),
    "events_per_second": ("G events/s", 1e9),
    "pairs_per_second": ("G pairs/s", 1e9),
    "characters_per_second": ("G characters/s", 1e9),
}


def tables(results: list[dict[str, Any]]) -> str:
    """Return what there is of each machine, or that nothing is."""
    return "\n".join(map(_table, results)) or NOTHING


def _table(result: dict[str, Any]) -> str:
    machine, rows = result["machine"], result["rows"]
    failed = [row for row in rows if "failed" in row]
    lines = [
        f"`python -m benchmarks.gpu all` on an {machine['gpu']}, NVRTC {machine['nvrtc']}, {machine['date']}, at "
        f"{machine['commit'][:9]}; arrays come from memory, not the cache, but in JAX's ten calls in a row. "
        "A floor is the time of as many operations in the largest of torch's products, or of as many bytes in a copy. "
        "The last column is how many times faster ours is; of ours, the first one counts.",
        "",
        f"{sum(_is_right(row) for row in rows)} checks passed; {len(failed)} steps failed"
        + ("." if not failed else ": " + "; ".join(f"{row['key']} ({row['failed']})" for row in failed) + "."),
        "",
        "| what | who | ms | rate | % of the floor | ratio |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for job, each in _jobs(rows).items():
        ours = next((row for row in each if row["key"].split()[1] == "bench"), None)
        for row in each:
            mine = row["key"].split()[1] == "bench"
            who = row["who"] or "kxfast"
            who = f"**kxfast {row['who']}**".replace(" **", "**") if mine else who
            share = f"{row['percent_of_floor']:.0f} ({row['bound']})" if "floor" in row else ""
            ratio = f"{_faster(ours, row):.2f}" if ours and not mine else ""
            lines.append(f"| {job} | {who} | {1e3 * row['seconds']:.4g} | {_rate(row)} | {share} | {ratio} |")
    over = [f"{row['job']} {row['over_density']:.2f}" for row in rows if "over_density" in row and not row["who"]]
    if over:
        lines += ["", "Time with a mask, over its share of pairs of the time without one: " + "; ".join(over) + "."]
    return "\n".join([*lines, ""])


def _jobs(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    jobs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if "seconds" in row:
            jobs.setdefault(row["job"], []).append(row)
    return jobs


def _is_right(row: dict[str, Any]) -> bool:
    return row["key"].split()[1] in ("check", "conformance") and "failed" not in row


def _rate(row: dict[str, Any]) -> str:
    for name, (unit, one) in RATES.items():
        if name in row:
            return f"{row[name] / one:.3g} {unit}"
    return ""


def _faster(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Return how many times as fast ours is: by work done, where inputs are of different sizes."""
    for name in RATES:
        if name in ours and name in theirs:
            return float(ours[name] / theirs[name])
    return float(theirs["seconds"] / ours["seconds"])
