"""Peers of the stem gillespie, rebop and bngsim, in processes of their own: they may live in another environment.

Run as a program with a peer's name it answers requests, a line of JSON each: ``{"model": path, "n", "end", "points",
"seed"}`` gives the seconds that n trajectories took. It imports neither kxfast nor anything but the peer.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[int, float, int], Any]  # seed, end, points


class Peer:
    """Processes that run one peer; an ensemble is divided among them."""

    def __init__(self, name: str, python: str, processes: int) -> None:
        """Start them; ImportError if the peer is not there."""
        found = subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False)
        if found.returncode:
            raise ImportError(f"no {name} in {python}")
        command = [python, __file__, name]
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


def _rebop(model: dict[str, Any]) -> Run:
    from rebop import Gillespie

    solver = Gillespie()
    for reaction in model["reactions"]:
        sides = [[s for s, count in reaction[side].items() for _ in range(count)] for side in "rp"]
        solver.add_reaction(_falling(reaction), *sides)
    solver.gillespie.set_init(dict(zip(model["species"], model["x0"], strict=True)))
    compiled, sparse = solver.gillespie, len(model["species"]) > 2  # without the xarray around each result

    def run(seed: int, end: float, points: int) -> Any:
        return compiled.run(end, points - 1, params={}, seed=seed, sparse=sparse, var_names=None)

    return run


def _bngsim(model: dict[str, Any]) -> Run:
    import bngsim

    place = {name: str(i + 1) for i, name in enumerate(model["species"])}
    parameters = [f"{j + 1} k{j} {_falling(each)!r}" for j, each in enumerate(model["reactions"])]
    species = [f"{i + 1} M(s~{i}) {count}" for i, count in enumerate(model["x0"])]
    reactions = []
    for j, each in enumerate(model["reactions"]):
        sides = [",".join(place[s] for s, count in each[side].items() for _ in range(count)) or "0" for side in "rp"]
        reactions.append(f"{j + 1} {sides[0]} {sides[1]} k{j}")
    blocks = {"parameters": parameters, "species": species, "reactions": reactions}
    lines = [line for name, block in blocks.items() for line in (f"begin {name}", *block, f"end {name}")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.net"
        path.write_text("\n".join(lines))
        network = bngsim.Model.from_net(str(path))

    def run(seed: int, end: float, points: int) -> Any:
        network.reset()
        return bngsim.Simulator(network, method="ssa").run(t_span=(0, end), n_points=points, seed=seed + 1)

    return run


def _falling(reaction: dict[str, Any]) -> float:
    """Return the rate constant for falling factorials, which both peers multiply."""
    return float(reaction["k"]) / math.prod(math.factorial(count) for count in reaction["r"].values())


def _serve(name: str) -> None:
    prepare, models = {"rebop": _rebop, "bngsim": _bngsim}[name], {}
    for line in sys.stdin:
        request = json.loads(line)
        path = request["model"]
        if path not in models:
            models[path] = prepare(json.loads(Path(path).read_text(encoding="utf-8")))
        run, end, points = models[path], request["end"], request["points"]
        start = time.perf_counter()
        for i in range(request["n"]):
            run(request["seed"] + i, end, points)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
