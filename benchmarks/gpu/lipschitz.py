"""The training step of spectral normalisation and power iteration with a convolution: right beside the reference in
double, timed beside torch's. Norms of circular convolutions: enclosed, timed beside what torch finds of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

import kxfast as kx
from benchmarks.gpu import with_jax
from benchmarks.gpu.checks import judged
from benchmarks.gpu.floors import told
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import on_the_clock, repeated
from kxfast.backends.cuda import load

Shape = tuple[int, ...]
MOST = {"f": 1e-4, "d": 1e-12}  # relative error
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
ODD: list[Shape] = [(1, 1), (5, 7), (40, 3, 3, 2), (33, 130), (3, 70_000), (260, 129), (7, 1), (1, 300), (1030, 2)]


def resnet50() -> list[Shape]:
    """Return the shapes of the 53 convolutions and the last layer of a ResNet-50."""
    shapes: list[Shape] = [(64, 3, 7, 7)]
    inputs = 64
    for width, blocks in _STAGES:
        for block in range(blocks):
            shapes += [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if not block:
                shapes.append((4 * width, inputs, 1, 1))
            inputs = 4 * width
    return [*shapes, (1000, 2048)]


SETS: dict[str, list[Shape]] = {
    "odd shapes": ODD,
    "ResNet-50": resnet50(),
    "one of 4096 x 4096": [(4096, 4096)],
    "50 of 512 x 512": [(512, 512)] * 50,
}


def _state(shapes: list[Shape], seed: int, dtype: Any) -> tuple[list[Any], list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    ws = [rng.standard_normal(shape, np.float32).astype(dtype) for shape in shapes]
    us, vs = ([rng.standard_normal(size).astype(dtype) for size in sizes] for sizes in (
        [shape[0] for shape in shapes], [prod(shape[1:]) for shape in shapes]))  # fmt: skip
    return ws, us, vs


def check(name: str, dtype: str, seed: int, put: Callable[[Any], Any] | None = None) -> Row:
    """Compare three iterations with the reference in double."""
    put = put or load.cupy().asarray
    ws, us, vs = _state(SETS[name], seed, dtype)
    given = [[put(x) for x in each] for each in (ws, us, vs)]
    scaled, sigmas = kx.lipschitz.spectral_normalize(*given, n_iter=3)
    exact = [[x.astype(np.float64) for x in each] for each in (ws, us, vs)]
    expected, theirs = kx.lipschitz.spectral_normalize(*exact, n_iter=3, backend="reference")
    host = load.device().download
    pairs = [(host(sigmas), theirs), *((host(a), b) for a, b in zip(scaled, expected, strict=True))]
    pairs += [(host(a), b) for k in (1, 2) for a, b in zip(given[k], exact[k], strict=True)]
    return judged((_apart(*each) for each in pairs), MOST[dtype], seed)


def _apart(a: Any, b: Any) -> float:
    return float(np.linalg.norm(np.ravel(a) - np.ravel(b)) / np.linalg.norm(b))


def _ours(name: str, seed: int) -> Row:
    cp = load.cupy()
    ws, us, vs = ([cp.asarray(x) for x in each] for each in _state(SETS[name], seed, "f"))
    out = [cp.empty_like(w) for w in ws]
    return _told(repeated(lambda: kx.lipschitz.spectral_normalize(ws, us, vs, out=out)), name)


def _told(found: Row, name: str) -> Row:
    return told(found, moved=2 * 4 * sum(map(prod, SETS[name])))


def _torch(name: str, seed: int) -> Row:
    """Time torch's own step in a loop over the layers, without autograd."""
    import torch
    from torch.nn.functional import normalize

    ws, us, vs = ([torch.from_numpy(x).cuda() for x in each] for each in _state(SETS[name], seed, "f"))
    flat = [w.flatten(1) for w in ws]

    def step() -> None:
        for i, w in enumerate(flat):
            us[i] = normalize(torch.mv(w, vs[i]), dim=0, eps=1e-12)
            vs[i] = normalize(torch.mv(w.t(), us[i]), dim=0, eps=1e-12)
            sigma = torch.vdot(us[i], torch.mv(w, vs[i]))
            torch.mul(w, torch.clamp(0.9 / sigma, max=1.0))

    return _told(repeated(step, stream=torch.cuda.current_stream().cuda_stream), name)


def _jax(name: str, seed: int) -> Row:
    with_jax.imported()
    return _told(with_jax.timed(with_jax.normalized(*_state(SETS[name], seed, "f"))), name)


# Kernel, side of the square input, and how it moves.
CONVOLUTIONS: dict[str, tuple[Shape, int, dict[str, Any]]] = {
    "128 channels": ((128, 128, 3, 3), 32, {"padding": 1}),
    "odd sizes": ((9, 5, 3, 2), 13, {"stride": (2, 1), "padding": (1, 1), "padding_mode": "circular"}),
    "groups": ((24, 4, 3, 3), 15, {"groups": 3, "dilation": 2, "padding": 2}),
}


def _convolution(name: str, seed: int, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    shape, side, moves = CONVOLUTIONS[name]
    rng = np.random.default_rng(seed)
    options = {"input_shape": (side, side), **moves}
    pairs = zip((moves.get("stride", (1, 1))), shape[2:], strict=True)
    pad, dilation = moves.get("padding", 0), moves.get("dilation", 1)
    pads = pad if isinstance(pad, tuple) else (pad, pad)
    out = [(side + 2 * p - dilation * (k - 1) - 1) // s + 1 for (s, k), p in zip(pairs, pads, strict=True)]
    shapes = shape, (shape[0], *out), (shape[1] * moves.get("groups", 1), side, side)
    return [rng.standard_normal(each).astype(dtype) for each in shapes], options


def check_convolution(name: str, dtype: str, seed: int, put: Callable[[Any], Any] | None = None) -> Row:
    """Compare three iterations with the reference in double."""
    put = put or load.cupy().asarray
    arrays, options = _convolution(name, seed, dtype)
    found = kx.lipschitz.conv_power_iteration(*map(put, arrays), 3, **options)
    exact = [x.astype(np.float64) for x in arrays]
    expected = kx.lipschitz.conv_power_iteration(*exact, 3, **options, backend="reference")
    pairs = [
        (found[0], expected[0]),
        *((load.device().download(a), b) for a, b in zip(found[1:], expected[1:], strict=True)),
    ]
    return judged((_apart(*each) for each in pairs), MOST[dtype], seed)


def _our_convolution(name: str, seed: int) -> Row:
    arrays, options = _convolution(name, seed, "f")
    there = [load.cupy().asarray(x) for x in arrays]
    return _told_steps(repeated(lambda: kx.lipschitz.conv_power_iteration(*there, 10, **options)), name)


def _told_steps(found: Row, name: str) -> Row:
    shape, side, _ = CONVOLUTIONS[name]
    return told(found, operations=10 * 2 * 2 * prod(shape) * side**2, moved=4 * prod(shape), kind="fp32")


def _torch_convolution(name: str, seed: int) -> Row:
    """Time a loop of torch's convolutions and transposed ones."""
    import torch

    arrays, options = _convolution(name, seed, "f")
    weight, u, _ = (torch.from_numpy(x).cuda() for x in arrays)
    pad = options["padding"]

    def steps() -> None:
        x = u[None]
        for _ in range(10):
            y = torch.nn.functional.conv_transpose2d(x, weight, padding=pad)
            x = torch.nn.functional.conv2d(y / y.norm(), weight, padding=pad)
            x = x / x.norm()

    return _told_steps(repeated(steps, stream=torch.cuda.current_stream().cuda_stream), name)


def _jax_convolution(name: str, seed: int) -> Row:
    with_jax.imported()
    (weight, u, _), options = _convolution(name, seed, "f")
    return _told_steps(with_jax.timed(with_jax.power_iteration(weight, u, options["padding"], 10)), name)


# Kernel, sides of the input, and how it moves.
CIRCULAR: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "odd sizes": ((9, 5, 3, 3), (7, 10), {"padding": 1}),
    "strides and groups": ((6, 2, 2, 3), (8, 6), {"stride": 2, "groups": 3, "dilation": 2, "padding": (1, 2)}),
    "more outputs": ((70, 20, 5), (40,), {"padding": 2}),
    "64 channels": ((64, 64, 3, 3), (32, 32), {"padding": 1}),
    "512 channels": ((512, 512, 3, 3), (16, 16), {"padding": 1}),
}


def check_circular(name: str, dtype: str, seed: int, put: Callable[[Any], Any] | None = None) -> Row:
    """Want an interval as narrow as asked for that overlaps a narrower one from the CPU."""
    shape, pixels, moves = CIRCULAR[name]
    w = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    options, tol = {**moves, "padding_mode": "circular"}, 1e-4
    norm = kx.lipschitz.conv_spectral_norm((put or load.cupy().asarray)(w), pixels, tol=tol, seed=seed, **options)
    narrow = kx.lipschitz.conv_spectral_norm(w, pixels, tol=1e-9, **options)
    width = (norm.upper - norm.lower) / narrow.upper
    if not (norm.lower <= narrow.upper and narrow.lower <= norm.upper and width <= tol):
        found = f"[{norm.lower:.17g}, {norm.upper:.17g}]"
        raise AssertionError(f"{found} beside [{narrow.lower:.17g}, {narrow.upper:.17g}]; seed {seed}")
    return {"width": width, "tolerance": tol}


def _our_circular(name: str, tol: float, seed: int) -> Row:
    shape, pixels, moves = CIRCULAR[name]
    weight = load.cupy().asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))
    options = {**moves, "padding_mode": "circular", "tol": tol}
    return on_the_clock(lambda: kx.lipschitz.conv_spectral_norm(weight, pixels, **options))


def _torch_circular(name: str, how: str, seed: int) -> Row:
    """Time the largest singular value of the blocks at half of the frequencies, found by torch; nothing is proven."""
    import torch

    shape, pixels, _ = CIRCULAR[name]
    weight = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32)).cuda()

    def largest() -> float:
        blocks = torch.fft.rfft2(weight, pixels).permute(2, 3, 0, 1)
        if how == "svdvals":
            return float(torch.linalg.svdvals(blocks).max())
        return float(torch.linalg.eigvalsh(blocks.mH @ blocks).max().sqrt())

    return on_the_clock(largest)


def steps() -> list[Step]:
    """Return the steps of this path."""
    small = ("odd shapes", "50 of 512 x 512")
    found = [
        Step("lipschitz", "check", f"{name} {kind}", partial(check, name, kind)) for name in small for kind in "fd"
    ]
    found += [
        Step("lipschitz", "check", f"convolution of {name} {kind}", partial(check_convolution, name, kind))
        for name in CONVOLUTIONS
        for kind in "fd"
    ]
    timed, ten = [name for name in SETS if name != "odd shapes"], "convolution of 128 channels, 10 steps"
    found.append(Step("lipschitz", "bench", ten, partial(_our_convolution, "128 channels")))
    found.append(Step("lipschitz", "peers", ten, partial(_torch_convolution, "128 channels"), "torch"))
    found.append(Step("lipschitz", "peers", ten, partial(_jax_convolution, "128 channels"), "JAX"))
    found += [
        Step("lipschitz", "check", f"circular norm of {name} {kind}", partial(check_circular, name, kind))
        for name in CIRCULAR
        for kind in "fd"
    ]
    for name in ("64 channels", "512 channels"):
        job = f"circular norm of {name}"
        for tol in 1e-3, 1e-6:
            found.append(Step("lipschitz", "bench", job, partial(_our_circular, name, tol), f"to {tol:g}"))
        for how in "svdvals", "eigvalsh":
            found.append(Step("lipschitz", "peers", job, partial(_torch_circular, name, how), f"torch {how}"))
    found += [Step("lipschitz", "bench", name, partial(_ours, name)) for name in timed]
    found += [Step("lipschitz", "peers", name, partial(_torch, name), "torch") for name in timed]
    return found + [Step("lipschitz", "peers", name, partial(_jax, name), "JAX") for name in timed]
