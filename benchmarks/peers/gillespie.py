"""Peer of the stem gillespie: rebop, in processes of its own, so that it may live in another environment.

Run as a program it answers requests, a line of JSON each: ``{"model": path, "n", "end", "points", "seed"}`` gives the
seconds that n trajectories took. It imports neither kxfast nor anything but the peer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Rebop:
    """Processes that run rebop; an ensemble is divided among them."""

    def __init__(self, python: str, processes: int) -> None:
        """Start them; ImportError if rebop is not there."""
        found = subprocess.run([python, "-c", "import rebop"], capture_output=True, check=False)
        if found.returncode:
            raise ImportError(f"no rebop in {python}")
        command = [python, __file__]
        pipe = subprocess.PIPE
        self._workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]

    def run(self, model: Path, n: int, end: float, points: int) -> float:
        """Return the seconds that n trajectories took, the longest of the processes."""
        edges = [n * k // len(self._workers) for k in range(len(self._workers) + 1)]
        for k, worker in enumerate(self._workers):
            request = {
                "model": str(model),
                "n": edges[k + 1] - edges[k],
                "end": end,
                "points": points,
                "seed": edges[k],
            }
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
        return max(float(worker.stdout.readline()) for worker in self._workers if worker.stdout)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.communicate()


def _prepare(model: dict[str, Any]) -> Any:
    from rebop import Gillespie

    solver = Gillespie()
    for reaction in model["reactions"]:
        sides = [[s for s, count in reaction[side].items() for _ in range(count)] for side in "rp"]
        repeats = 1.0  # rebop's propensities are falling factorials
        for count in reaction["r"].values():
            for k in range(2, count + 1):
                repeats *= k
        solver.add_reaction(reaction["k"] / repeats, *sides)
    solver.gillespie.set_init(dict(zip(model["species"], model["x0"], strict=True)))
    return solver.gillespie  # the compiled object: without the xarray around each result


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        model = json.loads(Path(request["model"]).read_text(encoding="utf-8"))
        solver, end, steps, sparse = _prepare(model), request["end"], request["points"] - 1, len(model["species"]) > 2
        start = time.perf_counter()
        for i in range(request["n"]):
            solver.run(end, steps, params={}, seed=request["seed"] + i, sparse=sparse, var_names=None)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    _serve()
