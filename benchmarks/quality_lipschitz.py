"""Count enclosures that fail on random operators: ``python benchmarks/quality_lipschitz.py [--count 10000]``.

Matrices of any scale, rank one, with ties and with close values, in float32 and float64; convolutions of any stride,
padding, dilation and grouping. The truth is LAPACK's, of the operator written out in float64; what LAPACK itself may be
wrong by, 1e-14 of the norm, is the only slack. Ends with status 1 if an enclosure fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS

import kxfast as kx

L = kx.lipschitz
SLACK = 1e-14
Array = Any


def matrix(rng: np.random.Generator) -> tuple[str, Array]:
    m, n = (int(x) for x in rng.integers(1, 100, 2))
    kind = str(rng.choice(["normal", "rank one", "ties", "close values", "zero"], p=[0.5, 0.15, 0.15, 0.18, 0.02]))
    k, dtype = min(m, n), rng.choice([np.float32, np.float64])
    left, right = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (m, n))
    a = {
        "normal": lambda: rng.standard_normal((m, n)),
        "rank one": lambda: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
        "ties": lambda: left @ right.T,
        "close values": lambda: left * (1 - 10.0 ** -rng.integers(3, 12) * np.arange(k)) @ right.T,
        "zero": lambda: np.zeros((m, n)),
    }[kind]()
    return f"matrix, {kind}", (a * 10.0 ** rng.integers(-20, 21)).astype(dtype)


def convolution(rng: np.random.Generator, large: bool) -> tuple[Array, tuple[int, ...], dict[str, Any]]:
    dimensions, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2]))

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(x) for x in rng.integers(low, high, dimensions))

    outputs, dtype = groups * int(rng.integers(1, 4)), rng.choice([np.float32, np.float64])
    w = rng.standard_normal((outputs, int(rng.integers(1, 4)), *some(1, 5))).astype(dtype)
    options: dict[str, Any] = {"stride": some(1, 3), "padding": some(0, 4), "dilation": some(1, 3), "groups": groups}
    options["padding_mode"] = str(rng.choice(["zeros", "circular"]))
    return w, some(14, 18) if large else some(7, 11), options


def written(w: Array, shape: tuple[int, ...], options: dict[str, Any]) -> Array:
    """Return the operator as a matrix, by the layer itself on unit inputs."""
    make = L.Conv1d if len(shape) == 1 else L.Conv2d
    layer, channels = make(w.astype(np.float64), **options), w.shape[1] * options["groups"]
    size = channels * int(np.prod(shape))
    return layer(np.eye(size).reshape(size, channels, *shape)).reshape(size, -1).T


def one(rng: np.random.Generator, number: int) -> tuple[str, bool, float]:
    """Return the kind, whether the enclosure holds, and its relative width."""
    tol, upper = float(10.0 ** -rng.integers(1, 8)), str(rng.choice(["proof", "proof", "random"]))
    if number % 5:
        kind, a = matrix(rng)
        truth = np.linalg.norm(a.astype(np.float64), 2)
        found = L.spectral_norm(a, tol=tol, upper=upper, seed=number)
    else:
        w, shape, options = convolution(rng, number % 50 == 0)  # large: not written out
        kind = f"convolution, {options['padding_mode']}"
        truth = np.linalg.norm(written(w, shape, options), 2)
        found = L.conv_spectral_norm(w, shape, tol=tol, upper=upper, seed=number, **options)
    holds = bool(found.lower <= truth * (1 + SLACK) and truth * (1 - SLACK) <= found.upper)
    return f"{kind}, {upper}", holds, float((found.upper - found.lower) / (truth or 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS / "lipschitz_enclosures.json")
    chosen = parser.parse_args()
    tally: dict[str, dict[str, float]] = {}
    for number in range(chosen.count):
        kind, holds, width = one(np.random.default_rng([chosen.seed, number]), number)
        row = tally.setdefault(kind, {"operators": 0, "failures": 0, "widest": 0.0})
        row["operators"] += 1
        row["failures"] += not holds
        row["widest"] = max(row["widest"], width)
        if not holds:
            print(f"operator {number} of seed {chosen.seed} is not enclosed: {kind}")
    for kind, row in sorted(tally.items()):
        print(
            f"{kind:<34} {row['operators']:6.0f} operators {row['failures']:4.0f} failures, widest {row['widest']:.1e}"
        )
    failures = sum(int(row["failures"]) for row in tally.values())
    print(f"{chosen.count} operators, {failures} failures")
    result = {"seed": chosen.seed, "count": chosen.count, "failures": failures, "kinds": tally}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
