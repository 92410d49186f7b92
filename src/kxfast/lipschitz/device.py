"""Spectral normalisation of weights in the memory of a GPU; power iteration with convolutions and their norms there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from kxfast import checks, devices
from kxfast.dispatch import implementation
from kxfast.lipschitz.geometry import Geometry, Shape, geometry, input_size, output_size
from kxfast.lipschitz.interval import KINDS, Interval, ends
from kxfast.lipschitz.training import MODES, arrays, same_count


def normalize_there(
    weights: Sequence[Any], us: Sequence[Any], vs: Sequence[Any], *, coeff: float, n_iter: int, mode: str, out: Any
) -> tuple[Any, Any]:
    """Do what `spectral_normalize` says, on the device where all the arrays are."""
    run = implementation("lipschitz", "spectral_normalize", "cuda")
    same_count(weights=weights, us=arrays("us", us), vs=arrays("vs", vs))
    if not weights:
        raise ValueError("weights must have at least one layer to run on a GPU; got none")
    first = devices.canonical("weights[0]", weights[0])
    ws, us, vs = (
        [devices.canonical(f"{name}[{i}]", x, first, copied=name == "weights") for i, x in enumerate(given)]
        for name, given in (("weights", weights), ("us", us), ("vs", vs))
    )
    flat = []
    for i, (w, u, v) in enumerate(zip(ws, us, vs, strict=True)):
        if len(w.shape) < 2:
            raise ValueError(f"weights[{i}] must have at least 2 dimensions; got shape {w.shape}")
        columns = math.prod(w.shape) // w.shape[0] if w.shape[0] else 0
        flat.append(w._replace(shape=(w.shape[0], columns)))
        _vector(f"us[{i}]", u, w, w.shape[0], f"weights[{i}]'s {w.shape[0]} rows")
        _vector(f"vs[{i}]", v, w, columns, f"weights[{i}]'s {columns} columns")
    coeff, n_iter = checks.number("coeff", coeff, above=0), checks.integer("n_iter", n_iter, low=0)
    checks.choice("mode", mode, MODES)
    outs = None if mode == "scale_only" else _outputs(out, ws)
    factors, sigmas, good = run(flat, us, vs, coeff, n_iter, mode == "hard", outs)
    if not good:  # found on the way, with nothing changed
        copy = implementation("lipschitz", "host_copy", "cuda")
        for name, given in ("weights", ws), ("us", us), ("vs", vs):
            for i, x in enumerate(given):
                checks.finite(f"{name}[{i}]", copy(x))
        raise ValueError("weights must have norms that their types hold; got inf")
    factors, sigmas = (checks.like(x, weights[0]) for x in (factors, sigmas))
    return (factors if outs is None else [each.owner for each in outs]), sigmas


def _vector(name: str, x: devices.DeviceArray, w: devices.DeviceArray, size: int, what: str) -> None:
    if x.dtype != w.dtype:
        raise TypeError(f"{name} must be {w.dtype} like its weight on a GPU; got {x.dtype}")
    if x.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},) to match {what}; got {x.shape}")


def _outputs(out: Any, ws: list[devices.DeviceArray]) -> list[devices.DeviceArray]:
    if out is None:
        made = [devices.library(w.owner).empty_like(w.owner) for w in ws]
        return [devices.canonical(f"out[{i}]", x, ws[0]) for i, x in enumerate(made)]
    same_count(weights=ws, out=arrays("out", out))
    outs = [devices.canonical(f"out[{i}]", x, ws[0], copied=False) for i, x in enumerate(out)]
    for i, (x, w) in enumerate(zip(outs, ws, strict=True)):
        if x.dtype != w.dtype:
            raise TypeError(f"out[{i}] must be {w.dtype} like weights[{i}]; got {x.dtype}")
        if x.shape != w.shape:
            raise ValueError(f"out[{i}] must have shape {w.shape} to match weights[{i}]; got {x.shape}")
    return outs


def iterate_there(
    weight: Any, u: Any, v: Any, n_iter: Any, *, input_shape: Any, eps: Any, **options: Any
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Do what `conv_power_iteration` says, on the device where all the arrays are."""
    run = implementation("lipschitz", "conv_power_iteration", "cuda")
    w, shape, moves, outputs = _kernel(weight, input_shape, **options)
    outer = (w.shape[0], *outputs)
    inner = (w.shape[1] * moves.groups, *shape)
    a, b = devices.canonical("u", u, w, align=16), devices.canonical("v", v, w, align=16)
    for name, x, expected, what in ("u", a, outer, "output"), ("v", b, inner, "input"):
        checks.shape(name, x, expected, str(expected), f"to match the {what} of one sample")
        if x.dtype != w.dtype:
            raise TypeError(f"{name} must be {w.dtype} like its weight on a GPU; got {x.dtype}")
    n_iter, eps = checks.integer("n_iter", n_iter, low=0), checks.number("eps", eps, above=0)
    sigma, new_u, new_v = run(w, a, b, n_iter, eps, moves)
    if not math.isfinite(sigma):
        copy = implementation("lipschitz", "host_copy", "cuda")
        for name, x in ("weight", w), ("u", a), ("v", b):
            checks.finite(name, copy(x))
        raise ValueError("weight must have a norm that its type holds; got inf")
    return w.dtype.type(sigma), new_u, new_v


def enclose_there(
    weight: Any, input_shape: Any, *, tol: Any, upper: Any, failure: Any, seed: Any, **options: Any
) -> Interval:  # fmt: skip
    """Do what `conv_spectral_norm` says, on the device where the weight is."""
    run = implementation("lipschitz", "conv_spectral_norm", "cuda")
    w, shape, moves, _ = _kernel(weight, input_shape, **options)
    tol, upper, failure = ends(tol, upper, failure, ("proof", "random"))
    lower, top, steps, u, v = run(w, shape, moves, tol, upper, failure, checks.seed(seed))
    if math.isnan(lower):
        checks.finite("weight", implementation("lipschitz", "host_copy", "cuda")(w))
    return Interval(lower, top, KINDS[upper], 0.0, steps, u, v)


def _kernel(weight: Any, input_shape: Any, **options: Any) -> tuple[devices.DeviceArray, Shape, Geometry, Shape]:
    """Return a canonical kernel, the sizes of one channel of its input, how it moves, and those of its output."""
    w = devices.canonical("weight", weight, align=16)
    if len(w.shape) not in (3, 4):
        raise ValueError(f"weight must have 3 or 4 dimensions; got shape {w.shape}")
    sizes: Any = SimpleNamespace(shape=w.shape, ndim=len(w.shape))
    shape, moves = input_size(sizes, input_shape), geometry(sizes, **options)
    return w, shape, moves, output_size(sizes, shape, moves)
