"""``kxfast verify``."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass

from kxfast import cases, checks
from kxfast.cli.table import Table, progress


@dataclass
class Tally:
    """What became of the cases of one operation on one engine."""

    count: int = 0
    largest: float = 0.0
    used: float = 0.0  # largest share of a tolerance that was used; above 1 is a failure
    failed: str = ""

    def add(self, case: cases.Case, error: float) -> None:
        """Count one case."""
        self.count += 1
        self.largest = max(self.largest, error)
        self.used = max(self.used, error / case.tolerance if case.tolerance else float(error > 0) * 2)
        if not error <= case.tolerance and not self.failed:
            self.failed = f"{case.label}: {error:.2g}, at most {case.tolerance:.2g} is right"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--seed", type=int, help="seed of the inputs; fresh by default")
    parser.add_argument("--stem", choices=cases.stems(), help="one stem only")


def run(chosen: argparse.Namespace) -> int:
    """Print a row for each operation and engine; return 1 if one disagrees with the reference."""
    seed = secrets.randbelow(2**32) if chosen.seed is None else checks.integer("--seed", chosen.seed, low=0)
    print(f"inputs from seed {seed}; the reference is NumPy, errors are relative to its largest value\n")
    tallies = compare(seed, chosen.stem)
    table = Table(("operation", "engine", "cases", "largest error", ""), (46, 16, 6, 14, 8), left=2)
    for (operation, engine), tally in sorted(tallies.items()):
        verdict = "FAILED" if tally.failed else "defines" if engine == "reference" else "agrees"
        table.row((operation, engine, str(tally.count), f"{tally.largest:.1e}", verdict))
    failures = [(key, tally) for key, tally in sorted(tallies.items()) if tally.failed]
    for (operation, engine), tally in failures:
        print(f"\n{operation} on {engine} disagrees with the reference\n  {tally.failed}")
    if failures:
        print(f"\nrun again with: kxfast verify --seed {seed}")
    checked = sum(tally.count for (_, engine), tally in tallies.items() if engine != "reference")
    defined = len({operation for operation, _ in tallies})
    print(f"\n{defined} operations; {checked} comparisons, {len(failures)} failed")
    return 1 if failures else 0


def compare(seed: int, stem: str | None) -> dict[tuple[str, str], Tally]:
    """Run every case on every engine and compare with the reference."""
    tallies: dict[tuple[str, str], Tally] = {}
    for number, case in enumerate(cases.random_cases(seed, stem), 1):
        progress(f"case {number}: {case.operation} {case.label}")
        with cases.engine("reference"):
            expected = case.run()
        for engine in cases.engines(case):
            tally = tallies.setdefault((case.operation, engine), Tally())
            if engine == "reference":
                tally.count += 1
                continue
            with cases.engine(engine):
                tally.add(case, case.compare(case.run(), expected))
    progress("")
    return tallies
