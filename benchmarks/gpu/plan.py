"""What the command does, in which order: steps, and which of them a file of results has already."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

PATHS = ("machine", "conformance", "gillespie", "lipschitz", "attention", "conv", "cooccurrence", "words", "large")
KINDS = {"ceilings": 0, "conformance": 1, "check": 2, "bench": 3, "peers": 4}  # in the order of their worth
Row = dict[str, Any]


class Step(NamedTuple):
    """One case; `run` gets a seed and returns what is to be kept of it; peers have the name of ours."""

    path: str
    kind: str
    name: str
    run: Callable[[int], Row]
    who: str = ""

    @property
    def key(self) -> str:
        return f"{self.path} {self.kind} {self.name} {self.who}".rstrip()


def steps(what: str = "all", only: str | None = None) -> list[Step]:
    """Return the steps of a kind, or of all, ordered by kind; those of a path stay together."""
    found = [
        step
        for path in PATHS
        if only in (None, path)
        for step in import_module(f"benchmarks.gpu.{path}").steps()
        if what in ("all", step.kind)
    ]
    return sorted(found, key=lambda step: KINDS[step.kind])


def remaining(planned: Iterable[Step], rows: Iterable[Row]) -> list[Step]:
    """Return the steps without a row; one that only says that time was up is no row."""
    done = {row["key"] for row in rows if row.get("failed") != TIME_IS_UP}
    return [step for step in planned if step.key not in done]


TIME_IS_UP = "time was up"


def in_processes(planned: list[Step]) -> list[list[Step]]:
    """Return runs of neighbouring steps of one path and kind: a process for each, so that a fault loses no more."""
    parts: list[list[Step]] = []
    for step in planned:
        if parts and parts[-1][0].path == step.path and parts[-1][0].kind == step.kind:
            parts[-1].append(step)
        else:
            parts.append([step])
    return parts
