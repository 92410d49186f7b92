"""Write the README's table of measured ratios, and its picture, from benchmarks/results/bench.json.

kxfast bench --quick --output benchmarks/results && python benchmarks/report.py
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]


def measured() -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the machine and, for each operation with real input, the speed-ups of its cases."""
    result = json.loads((ROOT / "benchmarks/results/bench.json").read_text())
    speedups: dict[str, list[float]] = {}
    for row in result["rows"]:
        if row["engine"] != "reference" and not row["label"].startswith("generated"):
            speedups.setdefault(row["operation"], []).append(row["speedup"])
    return result["machine"], speedups


def table() -> str:
    machine, speedups = measured()
    lines = [
        f"Times the speed of the NumPy reference, by `kxfast bench --quick` in one run on {machine['threads']} "
        f"threads of an {machine['processor']} ({machine['isa']}), small real inputs:",
        "",
        "| operation | inputs | median | from | to |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| `kx.{name}` | {len(each)} | {statistics.median(each):.3g} | {min(each):.3g} | {max(each):.3g} |"
            for name, each in speedups.items()
        ),
        "",
        "![speed-up over the reference](docs/speedup.png)",
    ]
    return "\n".join(lines)


def picture() -> None:
    machine, speedups = measured()
    names = list(speedups)
    figure = Figure(figsize=(8, 0.9 + 0.35 * len(names)), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        each = speedups[name]
        axes.plot([min(each), max(each)], [y, y], color="#4477aa", linewidth=3, solid_capstyle="round")
        axes.plot(statistics.median(each), y, "o", color="#4477aa", markersize=7)
    axes.set_yticks(range(len(names)), [f"kx.{name}" for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="#222", linewidth=1)
    axes.set_xlabel("times as fast as NumPy: median and range")
    axes.set_title(f"{machine['processor']}, {machine['threads']} threads, {machine['isa']}", fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(ROOT / "docs/speedup.png")


def main() -> None:
    picture()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin, end = "<!-- measured -->", "<!-- end -->"
    readme.write_text(re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{table()}\n\n{end}", text, flags=re.S))


if __name__ == "__main__":
    main()
