"""A process of the command: does the steps that it is told, with a line of JSON for each, failed or not."""

from __future__ import annotations

import json
import sys

from benchmarks.gpu.plan import Row, steps


def one(step_of: dict[str, object], key: str, seed: int) -> Row:
    """Do a step and return its row."""
    step = step_of[key]
    try:
        return {"key": key, "seed": seed, **step.run(seed)}  # type: ignore[attr-defined]  # steps are found by name
    except ImportError as error:
        why = " ".join(str(error).split())
        return {"key": key, "seed": seed, "missing" if step.kind == "peers" else "error": why}  # type: ignore[attr-defined]
    except Exception as error:  # a wrong result: the next step may do better
        return {"key": key, "seed": seed, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def main(arguments: list[str]) -> None:
    seed, keys = int(arguments[0]), arguments[1:]
    known: dict[str, object] = {step.key: step for step in steps()}
    for key in keys:
        print(json.dumps(one(known, key, seed)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
