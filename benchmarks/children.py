"""Benchmarks whose calls run in processes of their own, all of a job in turn: seconds, peak memory, a figure.

A module gives its jobs (name of a call -> what it does with a text and an empty folder); `run` is its command line. A
job's rows take the place of its rows in the file of results.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import RESULTS, processor, write

Found = dict[str, float]
Call = Callable[[Path, Path], Found]
BUDGET = 20.0  # seconds after which a call is not repeated


def timed(work: Callable[[], Any], figure: Callable[[Any], float] = float) -> Found:
    """Time a call; the figure of what it returns is reckoned afterwards."""
    start = time.perf_counter()
    result = work()
    return {"seconds": time.perf_counter() - start, "figure": figure(result)}


def peak() -> int:
    """Return the kilobytes this process or a program it ran has had at most.

    Not ru_maxrss of this process: where a process is started, Linux counts what its parent had.
    """
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


@dataclass(frozen=True)
class Suite:
    """The jobs of a stem, and what they read."""

    stem: str
    jobs: dict[str, dict[str, Call]]
    prepare: Callable[[Path, Path], None]  # development data, folder: writes text.txt and what else is needed
    text_of: Callable[[str, Path], Path]  # job, the text -> the text that the job reads
    amount: Callable[[Path], float]  # of a text
    unit: str

    def run(self, script: str, description: str) -> None:
        """Serve the command line."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--data", type=Path, required=True, help="folder with the development data")
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--job", choices=list(self.jobs), action="append", help="these jobs only")
        parser.add_argument("--json", type=Path, default=RESULTS / f"{self.stem}_{processor()}.json")
        parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
        chosen = parser.parse_args()
        if chosen.child:
            job, name, text, folder = chosen.child
            print(json.dumps({**self.jobs[job][name](Path(text), Path(folder)), "peak": peak() << 10}))
            return
        rows = [] if not chosen.json.exists() else json.loads(chosen.json.read_text())["rows"]
        with tempfile.TemporaryDirectory(prefix="kxfast-bench-") as folder:
            self.prepare(chosen.data / "text", Path(folder))
            for job in chosen.job or self.jobs:
                text = self.text_of(job, Path(folder) / "text.txt")
                command = [sys.executable, script, "--data", str(chosen.data), "--child", job]
                rows = [row for row in rows if row["job"] != job] + self.measure(job, text, command, chosen.rounds)
                write(chosen.json, rows)

    def measure(self, job: str, text: Path, command: list[str], rounds: int) -> list[dict[str, Any]]:
        """Measure one job."""
        amount = self.amount(text)
        found: dict[str, list[Found]] = {}
        for _ in range(rounds):
            for name in self.jobs[job]:
                if sum(each["seconds"] for each in found.get(name, [])) > BUDGET:
                    continue
                with tempfile.TemporaryDirectory(dir=text.parent) as folder:
                    child = [*command, name, str(text), folder]
                    done = subprocess.run(child, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"({name} is left out: {done.stderr.strip().splitlines()[-1]})")
                    continue
                found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
        print(f"\n{job}, {amount:.0f} {self.unit}")
        rows = []
        ours = statistics.median(each["seconds"] for each in found["kxfast"])
        for name, runs in found.items():
            seconds = statistics.median(each["seconds"] for each in runs)
            most = max(each["peak"] for each in runs)
            rate, ratio, figure = amount / seconds, seconds / ours, runs[0]["figure"]
            shown = f"{seconds:8.4f} s {rate / 1e6:8.2f} M{self.unit}/s {int(most) >> 20:6d} MiB {ratio:7.2f}"
            print(f"  {name:<36} {shown}  {figure:.10g}")
            row = {"job": job, "name": name, "seconds": seconds, "rate": rate, "unit": self.unit, "ratio": ratio}
            keys = [key for key in runs[0] if key not in ("seconds", "peak")]
            more = {key: statistics.median(each[key] for each in runs) for key in keys}
            rows.append({**row, "peak_bytes": most, **more})
        return rows
