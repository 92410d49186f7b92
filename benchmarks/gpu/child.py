"""A process of the command: does the steps that it is told, with a line of JSON for each, failed or not."""

from __future__ import annotations

import json
import sys

from benchmarks.gpu.plan import Row, Step, steps


def one(step: Step, seed: int) -> Row:
    """Do a step and return its row."""
    key = step.key
    try:
        return {"key": key, "job": f"{step.path}, {step.name}", "who": step.who, "seed": seed, **step.run(seed)}
    except ImportError as error:
        why = " ".join(str(error).split())
        return {"key": key, "seed": seed, "missing" if step.kind == "peers" else "failed": why}
    except Exception as error:  # a wrong result: the next step may do better
        return {"key": key, "seed": seed, "failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(arguments: list[str]) -> None:
    seed, keys = int(arguments[0]), arguments[1:]
    known = {step.key: step for step in steps()}
    for key in keys:
        print(json.dumps(one(known[key], seed)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
