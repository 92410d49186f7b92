"""Cases of the stem lipschitz."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kxfast.cases import Case, largest_difference
from kxfast.lipschitz import Activation, Conv1d, Conv2d, Layer, Linear, SpectralState, spectral_normalize

Array = Any

KERNELS = {
    "clip_conv_norm": ("clip_conv_norm", "conv_spectral_norm"),
    "jacobian_norm": ("layer_jacobian", "spectral_norm"),
    "lipschitz_bounds": ("spectral_norm", "conv_spectral_norm", "operator_spectral_norm", "jvp", "vjp"),
    "logdet_gradient": ("residual_backward",),
    "logdet_roulette": ("logdet_series", "roulette_coefficients"),
    "SpectralState": ("state_step",),
    "normalize_weight": ("power_iteration",),
    "residual_inverse": ("residual_inverse", "forward"),
}


def _stepped(weights: list[Array], us: list[Array], vs: list[Array], **keywords: Any) -> Any:
    """Normalise with copies of the state, which a call moves on: the next one begins where this one did."""
    return spectral_normalize(weights, [u.copy() for u in us], [v.copy() for v in vs], **keywords)


def _followed(weights: list[Array], **keywords: Any) -> Any:
    """Take three steps of a state; return the factors and the ends of each layer's norm."""
    state = SpectralState(weights, rank=3)
    for _ in range(3):
        factors, norms = state.step(tol=1e-6, **keywords)
    return [factors, *(np.array([norm.lower, norm.upper]) for norm in norms)]


def _same_ends(result: Any, expected: Any) -> float:
    """Compare enclosures: how far they are from overlapping, or wider than expected, relative to the norm."""
    if result.kind != expected.kind:
        return np.inf
    scale = np.max(expected.lower, initial=0.0) or 1.0
    if result.kind == "estimate":  # each is within the tolerance with some probability only: 50 times it, always
        return float(np.max(np.abs(result.lower - expected.lower), initial=0.0) / scale) / 50
    gap = np.maximum(expected.lower - result.upper, result.lower - expected.upper)
    wide = (result.upper - result.lower) - (expected.upper - expected.lower)
    return float(np.max([gap, wide], initial=0.0) / scale)  # NaN, if an end is


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    for dtype, tolerance in (np.float32, 1e-5), (np.float64, 1e-12):
        yield from _power_iterations(rng, dtype, tolerance)
        yield from _norms(rng, dtype)
        yield from _training(rng, dtype, tolerance)
        yield from _networks(rng, dtype, tolerance)
        yield from _flows(rng, dtype, tolerance)
    yield from _operators(rng)


def _normal(rng: np.random.Generator, dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _power_iterations(rng: np.random.Generator, dtype: Any, tolerance: float) -> Iterator[Case]:
    name = np.dtype(dtype)
    for padding_mode in "zeros", "circular":
        for n_iter in 0, 3:
            conv = {"input_shape": (7, 6), "stride": (2, 1), "padding": 1, "groups": 2, "padding_mode": padding_mode}
            w, u, v = _normal(rng, dtype, (4, 3, 3, 3), (4, 4, 6), (6, 7, 6))
            label = f"conv {padding_mode} {name} n_iter={n_iter}"
            yield Case("lipschitz.conv_power_iteration", label, (w, u, v, n_iter), conv, tolerance)
    for m, n in (1, 1), (3, 70), (70, 3), (129, 257):
        w, u, v = _normal(rng, dtype, (m, n), (m,), (n,))
        for n_iter in 0, 3:
            floor = 0.0 if n_iter else float(np.sqrt(m * n))  # u'Wv of random vectors may cancel
            compare = partial(largest_difference, floor=floor)
            label = f"{m}x{n} {name} n_iter={n_iter}"
            yield Case("lipschitz.power_iteration", label, (w, u, v, n_iter), {}, tolerance, compare)


def _norms(rng: np.random.Generator, dtype: Any) -> Iterator[Case]:
    name = np.dtype(dtype)
    for upper in "proof", "random", None:
        for shape in (0, 3), (1, 1), (30, 7), (2, 3, 8, 20):
            (a,) = _normal(rng, dtype, shape)
            label = f"{shape} {name} {upper}"
            yield Case("lipschitz.spectral_norm", label, (a,), {"upper": upper}, 1e-3, _same_ends)
        for padding_mode in "zeros", "circular":
            (w,) = _normal(rng, dtype, (4, 3, 3))
            options = {"upper": upper, "padding": 1, "padding_mode": padding_mode}
            label = f"1-D {name} {upper} {padding_mode}"
            yield Case("lipschitz.conv_spectral_norm", label, (w, (20,)), options, 1e-3, _same_ends)
            (w,) = _normal(rng, dtype, (4, 3, 3, 3))
            options = {**options, "stride": 2, "groups": 2}
            label = f"2-D {name} {upper} {padding_mode} stride 2"
            yield Case("lipschitz.conv_spectral_norm", label, (w, (8, 8)), options, 1e-3, _same_ends)
    for stride in 1, 2:
        (w,) = _normal(rng, dtype, (3, 4, 3, 3))
        keywords = {"stride": stride}
        yield Case("lipschitz.conv_singular_values", f"{name} stride {stride}", (w, (6, 8)), keywords, 1e-6)
    (w,) = _normal(rng, dtype, (3, 4, 3, 3))
    yield Case("lipschitz.clip_conv_norm", f"{name}", (w, (6, 8), 1.0), {}, 1e-5)


def _operators(rng: np.random.Generator) -> Iterator[Case]:
    a = rng.standard_normal((12, 9))
    for upper in "random", None:
        maps = (lambda x: a @ x), (lambda y: a.T @ y)
        keywords = {"upper": upper}
        yield Case("lipschitz.operator_spectral_norm", f"{upper}", (*maps, a.shape), keywords, 1e-3, _same_ends)


def _training(rng: np.random.Generator, dtype: Any, tolerance: float) -> Iterator[Case]:
    name, shapes = np.dtype(dtype), ((5, 9), (9, 4), (6, 2, 3))
    ws = _normal(rng, dtype, *shapes)
    us, vs = (_normal(rng, dtype, *sizes) for sizes in ([(5,), (9,), (6,)], [(9,), (4,), (6,)]))
    for mode in "soft", "hard", "scale_only":
        for n_iter in 0, 2:
            keywords = {"mode": mode, "n_iter": n_iter}
            label = f"{mode} {name} n_iter={n_iter}"
            yield Case("lipschitz.spectral_normalize", label, (ws, us, vs), keywords, tolerance, call=_stepped)
    many = [*ws, *_normal(rng, np.float64, (4, 4), (1, 7), (40, 30)), np.outer(ws[0][0], ws[1][0]), 0 * ws[0]]
    for mode in "soft", "hard":
        yield Case("lipschitz.SpectralState", f"{mode} {name}", (many,), {"mode": mode}, 3e-6, call=_followed)
    grads, sigmas = _normal(rng, dtype, *shapes), np.array([2.0, 0.5, 1.0], dtype)
    for mode in "soft", "hard":
        given, label = (grads, ws, us, vs, sigmas), f"{mode} {name}"
        yield Case("lipschitz.spectral_normalize_backward", label, given, {"mode": mode}, 10 * tolerance)
    for variant in "keras", "pytorch", "i-resnet", "residual-flows":
        (w,) = _normal(rng, dtype, (4, 3, 3, 3))
        yield Case("lipschitz.normalize_weight", f"{variant} {name}", (w,), {"variant": variant}, 100 * tolerance)


def _blocks(rng: np.random.Generator, dtype: Any) -> Iterator[tuple[str, list[Layer], Array]]:
    """Yield residual blocks that contract, and inputs."""
    w, v, b, x = _normal(rng, dtype, (8, 6), (6, 8), (8,), (3, 6))
    for activation in "tanh", "elu", "relu", "leaky_relu", "softplus", "lipswish", "sigmoid", "sorting":
        yield activation, [Linear(w * 0.15, b), Activation(activation), Linear(v * 0.15)], x
    w, v, b, x = _normal(rng, dtype, (4, 2, 3), (2, 4, 3), (4,), (3, 2, 6))
    yield "1-D", [Conv1d(w * 0.1, b, padding=1), Activation("elu"), Conv1d(v * 0.1, padding=1)], x
    w, v, b, x = _normal(rng, dtype, (4, 2, 3, 3), (2, 4, 1, 1), (4,), (2, 2, 4, 5))
    yield "2-D", [Conv2d(w * 0.1, b, padding=1, padding_mode="circular"), Activation("tanh"), Conv2d(v * 0.1)], x


def _networks(rng: np.random.Generator, dtype: Any, tolerance: float) -> Iterator[Case]:
    for name, g, x in _blocks(rng, dtype):
        label = f"{name} {np.dtype(dtype)}"
        probes = rng.integers(0, 2, (2, *x.shape)) * 2.0 - 1
        tail = 10 * tolerance
        yield Case("lipschitz.logdet_exact", label, (g, x), {}, tail)
        yield Case("lipschitz.logdet_series", label, (g, x), {"probes": probes, "lipschitz": 0.9}, tail)
        yield Case("lipschitz.logdet_roulette", label, (g, x), {"seed": 1, "p": 0.5, "samples": 3}, tail)
        yield Case("lipschitz.logdet_gradient", label, (g, x), {"probes": probes, "terms": 6}, tail)
        (grad,) = _normal(rng, dtype, x.shape)
        given = {"logdet_grad": rng.standard_normal(len(x)), "probes": probes, "terms": 6}
        yield Case("lipschitz.residual_backward", label, (grad, x, g), given, 10 * tail)
        yield Case("lipschitz.residual_backward", f"{label}, values alone", (grad, x, g), {}, tail)
        yield Case("lipschitz.jacobian_norm", label, (g, x), {}, 1e-3, _same_ends)
        yield Case("lipschitz.lipschitz_bounds", label, (g, x.shape[1:]), {}, 1e-3, _same_ends)
        keywords = {"tol": 1e-5, "lipschitz": 0.9}
        yield Case("lipschitz.residual_inverse", label, (g, x), keywords, 1e-4, _same_solution)


def _same_solution(result: Any, expected: Any) -> float:
    """Compare the solutions; the number of steps is the backend's own."""
    return largest_difference([result.x, result.converged], [expected.x, expected.converged])


def _flows(rng: np.random.Generator, dtype: Any, tolerance: float) -> Iterator[Case]:
    name = f"{np.dtype(dtype)}"
    x, s, b = _normal(rng, dtype, (2, 4, 4, 6), (4,), (4,))
    yield Case("lipschitz.actnorm_init", name, (x,), {}, tolerance)
    for inverse in False, True:
        yield Case("lipschitz.actnorm", f"{name} inverse={inverse}", (x, s, b), {"inverse": inverse}, tolerance)
    yield Case("lipschitz.squeeze", name, (x,))
    yield Case("lipschitz.unsqueeze", name, (x,))
    yield Case("lipschitz.injective_pad", name, (x, 3))
    yield Case("lipschitz.injective_unpad", name, (x, 3))
    j, a = _normal(rng, dtype, (12, 4, 4), (2, 5, 5))
    yield Case("lipschitz.jacobian_product_lognorms", name, (j,), {}, tolerance)
    gates, us = rng.random((5, 4, 3)).astype(dtype), _normal(rng, dtype, (3, 3), (3, 3), (3, 3))
    yield Case("lipschitz.rnn_jacobians", f"{name}", (gates[0], us[0]), {}, tolerance)
    yield Case("lipschitz.lstm_jacobians", f"{name}", (*gates, us), {}, tolerance)
    yield Case("lipschitz.gru_jacobians", f"{name}", (*gates[:4], us), {}, tolerance)
    yield Case("lipschitz.expm_logdet", name, (a,), {}, tolerance)


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield the shapes of trained networks, with the floating operations that one step or one proof takes."""
    rng = np.random.default_rng(0)
    for m, n in (512, 512), (1024, 4096):
        w, u, v = _normal(rng, np.float32, (m, n), (m,), (n,))
        amount = 2.0 * m * n * (2 * 5 + 1)
        yield Case("lipschitz.power_iteration", f"{m}x{n} n_iter=5", (w, u, v, 5), {}, 1e-5, amount=amount, unit="flop")
    for m, n in (256, 256), (512, 512), (1024, 4096):
        if quick and m > 512:
            continue
        (a,) = _normal(rng, np.float32, (m, n))
        k = min(m, n)
        proof = 2.0 * m * n * k + k**3 / 3
        for tol in 1e-3, 1e-6:
            yield Case(
                "lipschitz.spectral_norm", f"{m}x{n} tol={tol:g}", (a,), {"tol": tol}, tol, _same_ends, proof, "flop"
            )  # fmt: skip
    for channels, side in ((32, 16),) if quick else ((64, 32), (256, 16)):
        (w,) = _normal(rng, np.float32, (channels, channels, 3, 3))
        for padding_mode in "zeros", "circular":
            proof = 8.0 * channels**3 * (1 + 1 / 6) * side * (side // 2 + 1)
            keywords = {"padding": 1, "padding_mode": padding_mode}
            label = f"{channels} channels {side}x{side} {padding_mode}"
            yield Case(
                "lipschitz.conv_spectral_norm", label, (w, (side, side)), keywords, 1e-3, _same_ends, proof, "flop"
            )  # fmt: skip
