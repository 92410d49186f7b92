"""Runs steps in processes of their own within a budget; the file of results is whole after each of them."""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu.plan import TIME_IS_UP, Row, Step, in_processes, remaining

_MOST = {"peers": 60.0}  # seconds of one step
_NAMES = ("key", "job", "who", "seed")  # a row's own
Command = Callable[[Sequence[Step], int], list[str]]


def child(steps: Sequence[Step], seed: int) -> list[str]:
    """Return the command of a process for some steps."""
    return [sys.executable, "-m", "benchmarks.gpu.child", str(seed), *(step.key for step in steps)]


def read(path: Path) -> Row:
    """Return a file of results, or an empty one."""
    if not path.exists():
        return {"machine": {}, "rows": []}
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, results: Row) -> None:
    """Write results so that the file is the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(new, path)


def run(planned: list[Step], out: Path, budget: float, seed: int, machine: Row, command: Command = child) -> int:
    """Do what is left to do of a plan; return how many steps have failed."""
    results, end = read(out), time.monotonic() + budget
    results["machine"] = machine
    left = remaining(planned, results["rows"])
    names = {step.key for step in left}
    results["rows"] = [row for row in results["rows"] if row["key"] not in names]

    def keep(row: Row) -> None:
        results["rows"].append(row)
        write(out, results)
        print(_line(row), flush=True)

    for each in in_processes(left):
        part = each
        while part:
            done = _process(part, command(part, seed), end, keep) if end > time.monotonic() else 0
            if done == len(part):
                break
            if end - time.monotonic() <= 0:
                for step in part[done:]:
                    keep({"key": step.key, "failed": TIME_IS_UP})
                break
            part = part[done + 1 :]  # the one that ended its process has its row
    write(out, results)
    return sum("failed" in row for row in results["rows"])


def _process(part: list[Step], command: list[str], end: float, keep: Callable[[Row], None]) -> int:
    """Return how many steps a process has finished; the one in which it ended or overran gets a row that says so."""
    most, done = _MOST.get(part[0].kind, math.inf), 0
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        threading.Thread(target=listen, daemon=True).start()
        try:
            while (line := lines.get(timeout=max(0.0, min(most, end - time.monotonic())))) is not None:
                keep(json.loads(line))
                done += 1
        except queue.Empty:
            process.kill()
            if done < len(part) and time.monotonic() < end:
                keep({"key": part[done].key, "failed": f"took more than {most:.0f} s"})
            return done
        code = process.wait()
        said.seek(0)
        if done < len(part):
            last = " ".join(said.read().split())[-300:]
            keep({"key": part[done].key, "failed": f"its process ended with {code}: {last}"})
    return done


def _line(row: Row) -> str:
    if "failed" in row:
        return f"{row['key']:<60} FAILED: {row['failed']}"
    facts = ", ".join(f"{name} {_number(value)}" for name, value in row.items() if name not in _NAMES)
    return f"{row['key']:<60} {facts}"


def _number(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
