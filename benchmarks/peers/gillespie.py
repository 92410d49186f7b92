"""Peers of the stem gillespie in processes of their own: they may live in another environment.

Run as a program with a peer's name it answers requests, a line of JSON each: ``{"model": path, "sbml": path, "n",
"end", "points", "seed"}`` gives the seconds that n trajectories took, and those that it took to make the model ready.
It imports neither kxfast nor anything but the peer.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[int, int, float, int], Any]  # trajectories, seed, end, points
MODULES = {
    "rebop": "rebop",
    "bngsim": "bngsim",
    "gillespy2": "gillespy2",
    "bioscrape": "bioscrape",
    "roadrunner": "roadrunner",
    "copasi": "basico",
    "numba": "numba",
}


class Peer:
    """Processes that run one peer; an ensemble is divided among them."""

    def __init__(self, name: str, python: str, processes: int) -> None:
        """Start them; ImportError if the peer is not there."""
        found = subprocess.run([python, "-c", f"import {MODULES[name]}"], capture_output=True, check=False)
        if found.returncode:
            raise ImportError(f"no {name} in {python}")
        self._command, self._processes = [python, __file__, name], processes
        self._start()
        self.ready = 0.0

    def _start(self) -> None:
        pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
        self._workers = [
            subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=quiet, text=True)
            for _ in range(self._processes)
        ]

    def run(self, model: Path, sbml: Path, n: int, end: float, points: int) -> float:
        """Return the seconds that n trajectories took, the longest of the processes."""
        edges = [n * k // len(self._workers) for k in range(len(self._workers) + 1)]
        for k, worker in enumerate(self._workers):
            request = {
                "model": str(model),
                "sbml": str(sbml),
                "n": edges[k + 1] - edges[k],
                "end": end,
                "points": points,
                "seed": edges[k],
            }
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
        answers = [worker.stdout.readline().split() for worker in self._workers if worker.stdout]
        if not all(answers):
            self.close()
            self._start()
            raise RuntimeError(f"a peer has ended on {model.stem}")
        self.ready = max(float(ready) for _, ready in answers)
        return max(float(taken) for taken, _ in answers)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.communicate()


def _each(run: Callable[[int, float, int], Any]) -> Run:
    def all_of_them(n: int, seed: int, end: float, points: int) -> None:
        for i in range(n):
            run(seed + i, end, points)

    return all_of_them


def _rebop(model: dict[str, Any], sbml: str) -> Run:
    from rebop import Gillespie

    solver = Gillespie()
    for reaction in model["reactions"]:
        sides = [[s for s, count in reaction[side].items() for _ in range(count)] for side in "rp"]
        solver.add_reaction(_falling(reaction) if "k" in reaction else law_of(model, reaction, "^"), *sides)
    solver.gillespie.set_init(dict(zip(model["species"], model["x0"], strict=True)))
    compiled, sparse = solver.gillespie, len(model["species"]) > 2  # without the xarray around each result

    def run(seed: int, end: float, points: int) -> Any:
        return compiled.run(end, points - 1, params={}, seed=seed, sparse=sparse, var_names=None)

    return _each(run)


def _bngsim(model: dict[str, Any], sbml: str) -> Run:
    import bngsim

    place = {name: str(i + 1) for i, name in enumerate(model["species"])}
    plain = all("k" in each for each in model["reactions"])
    rates = [_falling(each) if plain else 0.0 for each in model["reactions"]]
    parameters = [f"{j + 1} k{j} {rate!r}" for j, rate in enumerate(rates)]
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
        network = bngsim.Model.from_net(str(path)) if plain else bngsim.Model.from_sbml(sbml)

    def run(seed: int, end: float, points: int) -> Any:
        network.reset()
        return bngsim.Simulator(network, method="ssa").run(t_span=(0, end), n_points=points, seed=seed + 1)

    return _each(run)


def _gillespy2(model: dict[str, Any], sbml: str) -> Run:
    import gillespy2

    # Its build runs the base interpreter, which must find SCons.
    os.environ["PYTHONPATH"] = str(Path(gillespy2.__file__).parents[1])
    made = gillespy2.Model(name="peer")
    made.add_species(
        [gillespy2.Species(name=s, initial_value=x) for s, x in zip(model["species"], model["x0"], strict=True)]
    )
    for j, each in enumerate(model["reactions"]):
        law = law_of(model, each, "pow")
        made.add_reaction(
            gillespy2.Reaction(name=f"r{j}", reactants=each["r"], products=each["p"], propensity_function=law)
        )
    solver = gillespy2.SSACSolver(model=made)

    def run(n: int, seed: int, end: float, points: int) -> None:
        solver.model.timespan(gillespy2.TimeSpan.linspace(t=end, num_points=points))
        solver.run(number_of_trajectories=n, seed=seed + 1)

    run(1, 0, 1e-9, 2)  # compiles
    return run


def _bioscrape(model: dict[str, Any], sbml: str) -> Run:
    import numpy as np
    from bioscrape import random
    from bioscrape.simulator import ModelCSimInterface, SSASimulator
    from bioscrape.types import Model

    reactions = []
    for each in model["reactions"]:
        sides = [[s for s, count in each[side].items() for _ in range(count)] for side in "rp"]
        simple = "k" in each and all(count == 1 for count in each["r"].values())
        kind = ("massaction", {"k": _falling(each)}) if simple else ("general", {"rate": law_of(model, each, "^")})
        reactions.append((*sides, *kind))
    start = dict(zip(model["species"], map(float, model["x0"]), strict=True))
    made = Model(species=model["species"], reactions=reactions, initial_condition_dict=start)
    simulator = SSASimulator()

    def run(seed: int, end: float, points: int) -> Any:
        random.py_seed_random(seed + 1)
        return simulator.py_simulate(ModelCSimInterface(made), np.linspace(0, end, points)).py_get_result()

    return _each(run)


def _roadrunner(model: dict[str, Any], sbml: str) -> Run:
    import roadrunner

    made = roadrunner.RoadRunner(sbml)
    made.setIntegrator("gillespie")
    made.integrator.variable_step_size = False

    def run(seed: int, end: float, points: int) -> Any:
        made.resetToOrigin()
        made.integrator.seed = seed + 1
        return made.simulate(0, end, points)

    return _each(run)


def _copasi(model: dict[str, Any], sbml: str) -> Run:
    import basico

    made = basico.load_model(sbml)

    def run(seed: int, end: float, points: int) -> Any:
        return basico.run_time_course(
            duration=end, intervals=points - 1, method="stochastic", use_seed=True, seed=seed + 1, model=made
        )

    return _each(run)


def _numba(model: dict[str, Any], sbml: str) -> Run:
    from gillespie_numba import prepare

    run = prepare(model, [law_of(model, each, "**") for each in model["reactions"]])
    run(0, 0.0, 2)  # compiles
    return _each(run)


def _falling(reaction: dict[str, Any]) -> float:
    """Return the rate constant for falling factorials, which the peers multiply."""
    return float(reaction["k"]) / math.prod(math.factorial(count) for count in reaction["r"].values())


def law_of(model: dict[str, Any], reaction: dict[str, Any], power: str) -> str:
    """Return a propensity with numbers for parameters, and powers as the peer writes them."""
    if "k" in reaction:
        factors = [f"({s}-{k})" if k else s for s, count in reaction["r"].items() for k in range(count)]
        return "*".join([repr(_falling(reaction)), *factors])
    numbers = {name: repr(value) for name, value in model["params"].items()}
    law = re.sub(r"[A-Za-z_]\w*", lambda word: numbers.get(word[0], word[0]), reaction["expr"])
    if power == "pow":
        return re.sub(r"(\([^()]*\)|\w+)\*\*([\w.]+)", r"pow(\1,\2)", law)
    return law.replace("**", power)


def _serve(name: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print
    prepare: Callable[[dict[str, Any], str], Run] = globals()[f"_{name}"]
    models: dict[str, tuple[Run, float]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        path = request["model"]
        if path not in models:
            start = time.perf_counter()
            made = prepare(json.loads(Path(path).read_text(encoding="utf-8")), request["sbml"])
            models[path] = made, time.perf_counter() - start
        run, ready = models[path]
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            run(request["n"], request["seed"], request["end"], request["points"])
        print(time.perf_counter() - start, ready, file=answers, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
