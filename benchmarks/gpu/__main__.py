"""``python -m benchmarks.gpu all --budget 540 --out FILE``: what our kernels are on the GPU at hand.

Ceilings of the machine, conformance of instructions with their bodies on the host, correctness on fresh seeds, our
times, the times of peers, in this order; after an interruption, or when time was up, the same command goes on.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from benchmarks.gpu import machine, plan
from benchmarks.gpu.run import read, run, write


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("what", choices=("all", *plan.KINDS), help="which kind of steps")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds (default: %(default)g)")
    parser.add_argument("--out", type=Path, help="file of results; one that is there is completed")
    parser.add_argument("--only", choices=plan.PATHS, help="steps of one path")
    parser.add_argument("--seed", type=int, help="of random inputs (default: a fresh one, or that of the file)")
    parser.add_argument("--list", action="store_true", help="print the steps and end")
    chosen = parser.parse_args(arguments)
    planned = plan.steps(chosen.what, chosen.only)
    if chosen.list:
        print("\n".join(step.key for step in planned))
        return 0
    why = machine.missing()
    if why:
        print(f"python -m benchmarks.gpu needs an NVIDIA GPU: {why}", file=sys.stderr)
        return 1
    facts = machine.facts()
    out = chosen.out or machine.default_file(facts)
    seed = chosen.seed if chosen.seed is not None else read(out)["machine"].get("seed", secrets.randbelow(2**32))
    print(f"{facts['gpu']}, seed {seed}, results in {out}", flush=True)
    failed = run(planned, out, chosen.budget, seed, {**facts, "seed": seed})
    results = read(out)
    results["machine"]["clocks at the end"] = machine.clocks()
    write(out, results)
    if failed:
        print(f"{failed} steps have no result", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
