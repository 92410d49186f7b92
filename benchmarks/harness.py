"""What all benchmarks share: rounds in turn, medians, the file of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kxfast import about

LONG, MIN_CALLS = 0.05, 3  # seconds
RESULTS = Path(__file__).parent / "results"
Calls = dict[str, Callable[[], Any]]


class Medians(dict[str, float]):
    """Seconds of each call: medians over rounds."""

    def __init__(self, times: dict[str, list[float]]) -> None:
        super().__init__({name: statistics.median(taken) for name, taken in times.items()})
        self.times = times

    def ratio(self, name: str, ours: str) -> float:
        """Return the median over rounds of the ratio in a round: what slows a round slows both."""
        return statistics.median(a / b for a, b in zip(self.times[name], self.times[ours], strict=False))


def in_turn(calls: Calls, rounds: int, budget: float = 60.0) -> Medians:
    """Time the calls alternately, after one round that does not count.

    A call that has used up its budget (seconds) is left out of later rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            if sum(times[name]) > budget:
                continue
            taken = turn(call)
            if number or taken > budget:
                times[name].append(taken)
    return Medians(times)


def turn(call: Callable[[], Any]) -> float:
    """Return seconds of one call; of a short one the median of many, after one that fills caches and wakes threads."""
    settle()
    taken = seconds(call)
    if taken > LONG:
        return taken
    each: list[float] = []
    spent = 0.0
    while spent < LONG or len(each) < MIN_CALLS:
        each.append(seconds(call))
        spent += each[-1]
    return statistics.median(each)


def settle(step: float = 0.01, longest: float = 1.0) -> None:
    """Wait until the threads of the call before are asleep; one library frees its memory for a tenth of a second."""
    for _ in range(round(longest / step)):
        before = time.process_time()
        time.sleep(step)
        if time.process_time() - before < step / 10:
            return


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def available(peers: dict[str, Callable[[], Callable[..., Any]]]) -> dict[str, Callable[..., Any]]:
    """Make the peers that are installed; say which are not."""
    made = {}
    for name, make in peers.items():
        try:
            made[name] = make()
        except ImportError as error:
            print(f"({name} is left out: {error})")
    return made


def report(title: str, medians: Medians, ours: str, amount: float, unit: str) -> list[dict[str, Any]]:
    """Print and return one row for each call; the ratio is its time over ours, the median over rounds."""
    print(f"\n{title}")
    rows = []
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        ratio = medians.ratio(name, ours)
        print(f"  {name:<34} {seconds * 1e3:10.2f} ms  {amount / seconds / 1e6:10.2f} M{unit}/s  {ratio:8.2f}")
        row = {"job": title, "name": name, "seconds": seconds, "rate": amount / seconds, "unit": unit, "ratio": ratio}
        rows.append(row)
    return rows


def arguments(stem: str) -> argparse.Namespace:
    """Return the arguments all benchmarks take."""
    parser = argparse.ArgumentParser(description=f"Time {stem} beside its peers; all in one run, alternately.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the development data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the results; default: benchmarks/results")
    chosen = parser.parse_args()
    if chosen.json is None:
        chosen.json = RESULTS / f"{stem}_{processor()}.json"
    return chosen


def processor() -> str:
    """Return the processor's name as part of a file's name."""
    short = re.sub(r"\((R|TM)\)| Processor| CPU.*", "", about.info().processor)
    return re.sub(r"\W+", "_", short).strip("_").lower()


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the results with what they were measured on."""
    info = about.info()
    machine = {
        "processor": info.processor,
        "cores": len(os.sched_getaffinity(0)),
        "isa": info.isa,
        "threads": info.threads,
        "python": platform.python_version(),
        "kxfast": info.version,
        "date": datetime.now(UTC).date().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwritten: {path}")
