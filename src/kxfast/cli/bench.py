"""``kxfast bench``."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module, resources
from pathlib import Path

from kxfast import about, cases, checks, settings
from kxfast.cli.report import write_page
from kxfast.cli.table import Table, progress, seconds, short
from kxfast.files import whole_file


@dataclass(frozen=True)
class Row:
    """The time of one case on one engine."""

    operation: str
    label: str
    engine: str
    seconds: float  # median
    rounds: int
    rate: float  # amount a second; 0 where the case has no amount
    unit: str
    speedup: float  # time of the reference over this one's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--quick", action="store_true", help="small inputs, under 3 minutes in all")
    parser.add_argument("--data", type=Path, help="folder with text/*.txt.xz and ssa_models/*.json to use instead")
    parser.add_argument("--stem", choices=cases.stems(), help="one stem only")
    parser.add_argument("--engines", action="store_true", help="time every instruction set, not only the best")
    parser.add_argument("--threads", type=int, help="number of threads")
    parser.add_argument("--output", type=Path, default=Path("kxfast-bench"), help="folder for bench.json, bench.html")


def run(chosen: argparse.Namespace) -> int:
    """Time all cases, print a table, write JSON and a page with a plot."""
    data = data_folder(chosen.data)
    settings.set_num_threads(None if chosen.threads is None else checks.integer("--threads", chosen.threads, low=1))
    machine = about.info()
    print(f"{machine.processor}, {machine.isa}, {machine.threads} threads; median times, engines in turn\n")
    table = Table(("operation", "input", "engine", "time", "rate", "× reference"), (36, 40, 14, 9, 14, 11), left=3)
    rows = []
    for row in measure(data, chosen.quick, chosen.stem, chosen.engines):
        rate = short(row.rate, f"{row.unit}/s") if row.rate else ""
        table.row((row.operation, row.label, row.engine, seconds(row.seconds), rate, f"{row.speedup:.3g}"))
        rows.append(row)
    chosen.output.mkdir(parents=True, exist_ok=True)
    result = {"machine": asdict(machine), "quick": chosen.quick, "rows": [asdict(row) for row in rows]}
    with whole_file(chosen.output / "bench.json") as stream:
        stream.write((json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    page = write_page(result)
    with whole_file(chosen.output / "bench.html") as stream:
        stream.write(page.encode())
    print(f"\nwritten: {chosen.output / 'bench.json'}, {chosen.output / 'bench.html'}")
    return 0


def data_folder(chosen: Path | None) -> Path:
    """Return the folder to read from: the one asked for, or the one in the package."""
    if chosen is None:
        return Path(str(resources.files("kxfast"))) / "data"
    if not chosen.is_dir():
        raise FileNotFoundError(f"--data must be an existing folder; got '{chosen}'")
    return chosen


def measure(data: Path, quick: bool, stem: str | None, every_isa: bool) -> Iterator[Row]:
    """Yield a row for each case and engine."""
    for each in cases.stems() if stem is None else (stem,):
        for case in inputs(each, data, quick):
            engines = [e for e in cases.engines(case) if every_isa or "/" not in e or e == best_native(case)]
            times = in_turn(case, engines, 1.0 if quick else 10.0)
            reference = statistics.median(times["reference"])
            for engine in engines:
                median = statistics.median(times[engine])
                yield Row(
                    operation=case.operation,
                    label=case.label,
                    engine=engine,
                    seconds=median,
                    rounds=len(times[engine]),
                    rate=case.amount / median,
                    unit=case.unit,
                    speedup=reference / median,
                )


def inputs(stem: str, data: Path, quick: bool) -> Iterator[cases.Case]:
    """Yield the real cases of a stem, then the largest generated case of each operation that has no real one."""
    seen = set()
    for case in import_module(f"kxfast.cases.{stem}").real(data, quick):
        seen.add(case.operation)
        yield case
    generated = {case.operation: case for case in cases.random_cases(0, stem)}  # the last case is the largest
    for operation, case in generated.items():
        if operation not in seen and cases.engines(case):  # plain Python is left out: there is nothing to choose
            yield replace(case, label=f"generated: {case.label}"[:40])


def best_native(case: cases.Case) -> str:
    """Return the native engine that runs when nothing is forced."""
    core = settings.native()
    return f"native/{core.isa()}" if core else ""


def in_turn(case: cases.Case, engines: list[str], budget: float) -> dict[str, list[float]]:
    """Time a case on all engines alternately until the budget (seconds an engine) or 21 rounds are used up."""
    times: dict[str, list[float]] = {engine: [] for engine in engines}
    for round_number in range(22):
        for engine, taken in times.items():
            if sum(taken) > budget:
                continue
            progress(f"{case.operation} {case.label} on {engine}, round {round_number}")
            with cases.engine(engine):
                start = time.perf_counter()
                case.run()
                elapsed = time.perf_counter() - start
            if round_number or elapsed > budget:  # the first round warms up, unless one is all there will be
                taken.append(elapsed)
    progress("")
    return times
