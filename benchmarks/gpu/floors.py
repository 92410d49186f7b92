"""What a call takes at least: the time of its products, or that of its bytes, at the most this process has reached."""

from __future__ import annotations

from functools import cache

from benchmarks.gpu import machine
from benchmarks.gpu.plan import Row


@cache
def teraflops(kind: str) -> float:
    """Return those of a large product of matrices of a type."""
    return float(machine.product(kind)(0)["teraflops"])


@cache
def terabytes_per_second() -> float:
    """Return those of a large copy, read and written."""
    return float(machine.copy(0)["terabytes_per_second"])


def told(found: Row, *, operations: float = 0.0, moved: float = 0.0, kind: str = "bf16") -> Row:
    """Add rates, the floor, what sets it, and how much of a call's time it is.

    `moved` are the bytes of arguments and results, each once; `kind` is the type of the products.
    """
    row, floors = dict(found), {}
    if operations:
        row["teraflops"] = operations / found["seconds"] / 1e12
        floors["products"] = operations / teraflops(kind) / 1e12
    if moved:
        row["terabytes_per_second"] = moved / found["seconds"] / 1e12
        floors["memory"] = moved / terabytes_per_second() / 1e12
    bound = max(floors, key=floors.__getitem__)
    return row | {"floor": floors[bound], "bound": bound, "percent_of_floor": 100 * floors[bound] / found["seconds"]}
