"""Ensembles: right if they are the CPU's, bit for bit or in law; as fast as events a second say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import kxfast as kx
from benchmarks.gpu import with_jax
from benchmarks.gpu.checks import judged
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import on_the_clock
from kxfast import cases
from kxfast.cases.gillespie import ensemble_distance
from kxfast.gillespie.models import EXAMPLES

EXACT = EXAMPLES  # none has a rate that CUDA's library would round in its own way
RING = "ring of 100"
TIMED = {RING: 2**12, "schlogl": 2**20, "lotka_volterra": 2**18, "toggle": 2**18, "vilar": 2**16}


def network(name: str) -> Any:
    """Return an example, or molecules that hop round a ring of 100 places and bind in pairs: 201 reactions."""
    if name != RING:
        return kx.gillespie.example(name)
    hops = [f"X{i} -> X{(i + 1) % 100} @ {1 + i / 100}" for i in range(100)]
    pairs = [f"2 X{i} -> P @ 0.2" for i in range(100)]
    places = {f"X{i}": 20 for i in range(100)}
    return kx.gillespie.ReactionNetwork({**places, "P": 0}, [*hops, *pairs, "P -> 2 X0 @ 0.5"])


def _times(net: Any, events: int, points: int) -> Any:
    end = kx.gillespie.simulate_events(net, max_events=events, seed=0).times[-1]
    return np.linspace(0, end, points)


def same_as_cpu(name: str, seed: int, n: int = 20_000, events: int = 2000) -> Row:
    """Compare samples, firings and moments of an ensemble with the compiled CPU code."""
    net = network(name)
    t = _times(net, events, 7)
    differ, total = 0, 0
    for function, names in ("simulate", ("counts", "fired")), ("moments", ("mean", "variance")):
        run = partial(getattr(kx.gillespie, function), net, t, n=n, method="direct", seed=seed)
        ours, theirs = run(backend="cuda"), run(backend="native")
        for each in names:
            a, b = getattr(ours, each), getattr(theirs, each)
            differ, total = differ + int(np.sum(a != b)), total + a.size
    if differ:
        raise AssertionError(f"{differ} of {total} numbers are not the CPU's; seed {seed}")
    return {"compared": total, "trajectories": n}


def in_law(label: str, seed: int) -> Row:
    """Compare with the reference by z-scores."""
    errors, tolerance = [0.0], 0.0
    for case in cases.random_cases(seed, "gillespie"):
        if case.label == label and case.operation != "gillespie.simulate_events":
            results = []
            for engine in "reference", "cuda":
                with cases.engine(engine):
                    results.append(case.run())
            errors.append(case.compare(results[1], results[0]))
            tolerance = case.tolerance
    return judged(errors, tolerance, seed)


def large_in_law(seed: int, n: int = 20_000) -> Row:
    """Compare the ring with the compiled CPU code by z-scores."""
    t = np.array([0.1, 0.5])
    ours, theirs = (
        kx.gillespie.simulate(network(RING), t, n=n, method="direct", seed=seed + i, backend=backend)
        for i, backend in enumerate(("cuda", "native"))
    )
    return judged([ensemble_distance(ours, theirs)], 6, seed)


def _timed(name: str, backend: str, what: str, seed: int) -> Row:
    net = network(name)
    t = _times(net, 5000, 200 if what == "samples" else 2)
    n = TIMED[name] // (1 if backend == "cuda" else 64) // (8 if what == "samples" else 1)
    run: Callable[[], Any] = partial(
        getattr(kx.gillespie, "simulate" if what == "samples" else "moments"), net, t, n=n, seed=seed, backend=backend,
        method="direct",
    )  # fmt: skip
    events = int(np.sum(run().events))
    found = on_the_clock(run)
    return {**found, "events_per_second": events / found["seconds"], "trajectories": n, "times": len(t)}


def _with_jax(name: str, what: str, seed: int) -> Row:
    """Time the direct method in JAX to the end, or crn-jax's with its samples; its events are those of its law."""
    jax, net = with_jax.imported(), network(name)
    points, few = 200 if what == "samples" else 2, 256
    end = float(_times(net, 5000, points)[-1])
    n = TIMED[name] // (8 if what == "samples" else 1)
    mean = np.sum(kx.gillespie.moments(net, [0, end], n=few, seed=seed, method="direct").events) / few
    if what == "samples":
        call = with_jax.with_crn_jax(net, end, n, points, seed)
    else:
        call = with_jax.trajectories(net, end, n, seed)
    found = on_the_clock(lambda: jax.block_until_ready(call()), 2)
    return {**found, "events_per_second": mean * n / found["seconds"], "trajectories": n, "times": points}


def steps() -> list[Step]:
    """Return the steps of this path."""
    found = [Step("gillespie", "check", f"{name} as on the CPU", partial(same_as_cpu, name)) for name in EXACT]
    laws = ("immigration-death", "all orders", "expressions", "chain of 24")
    found += [Step("gillespie", "check", f"{label} in law", partial(in_law, label)) for label in laws]
    found.append(Step("gillespie", "check", f"{RING} in law", large_in_law))
    for what in "moments", "samples":
        for name in TIMED:
            job, native = f"{name} {what}", partial(_timed, name, "native", what)
            found.append(Step("gillespie", "bench", job, partial(_timed, name, "cuda", what)))
            found.append(Step("gillespie", "peers", job, native, "kxfast on the CPU"))
    for what, peer in ("moments", "JAX, ends"), ("samples", "crn-jax"):
        for name in TIMED:
            if name != RING:
                found.append(Step("gillespie", "peers", f"{name} {what}", partial(_with_jax, name, what), peer))
    return found
