"""Gated convolutions: right beside the reference in double, timed beside cuDNN's through torch.compile.

Every result lies in memory that held NaN before. Operations are 2 B L K D 2F forward and three times as many backward;
a floor is the time of as large products of matrices in torch, or of copying what is read and written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import kxfast as kx
from benchmarks.gpu import beside, with_jax
from benchmarks.gpu.checks import HALVES, TYPES, distance, host, judged, on_gpu, poisoned, stream, without_warp_groups
from benchmarks.gpu.floors import told
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import repeated

MOST = {"bfloat16": 2.5e-2, "float16": 4e-3, "float32": 2e-5, "float64": 1e-12}  # relative error


class Checked(NamedTuple):
    """A case: (batch, length, channels in, channels out), and the layer's options."""

    shape: tuple[int, int, int, int]
    options: dict[str, Any]
    shortcut: bool = False
    norm: bool = False


CHECKED = {
    "A": Checked((5, 200, 128, 128), {"dilation": 4}),
    "A0 of more channels": Checked((3, 333, 96, 200), {"skip": "none", "dilation": 2}),
    "B, dropped gates": Checked((4, 150, 64, 64), {"gate": "first", "drop_gate": 0.2, "seed": 7}),
    "C, causal": Checked((2, 500, 40, 40), {"skip": "add", "padding": "causal", "dilation": 300}),
    "D": Checked((3, 100, 72, 72), {"skip": "add"}, norm=True),
    "odd sizes and a shortcut": Checked((3, 131, 33, 17), {}, shortcut=True),
    "many positions": Checked((64, 1024, 64, 64), {"dilation": 16}),
    "many positions and channels": Checked((24, 1000, 136, 104), {"skip": "none", "dilation": 16}),
}
STACK = (1, 2, 5, 1, 2, 5, 1, 2, 5, 1, 1, 1)  # dilations of the information-extraction net


def check(label: str, kind: str, seed: int, put: Callable[[Any], Any] = on_gpu) -> Row:
    """Compare forward and backward, of whole and ragged sequences, with the reference in double."""
    case, rng = CHECKED[label], np.random.default_rng(seed)
    b, length, d, f = case.shape

    def new(*size: int) -> Any:
        return rng.standard_normal(size).astype(TYPES[kind])

    weight = (rng.standard_normal((3, d, 2 * f)) / (3 * d) ** 0.5).astype(TYPES[kind])
    arrays: dict[str, Any] = {"bias": new(2 * f)}
    if case.shortcut:
        arrays["shortcut"] = new(d, f) / TYPES[kind].type(d**0.5), new(f)
    if case.norm:
        arrays["norm"] = new(f), new(f), 0.7
    x, grad = new(b, length, d), new(b, length, f)
    mask = np.arange(length) < rng.integers(0, length + 1, b)[:, None]
    run, back = kx.conv.dilated_gated_conv1d, kx.conv.dilated_gated_conv1d_backward
    exact = partial(_each, lambda a: a.astype(np.float64))
    there = partial(_each, put)
    plain = {**exact(arrays), **case.options, "mask": mask}
    y = run(exact(x), exact(weight), **plain)
    expected = [y, *back(exact(grad), exact(x), exact(weight), **plain)]
    given = {**there(arrays), **case.options, "mask": put(mask)}
    with poisoned():
        found = [run(put(x), put(weight), **given)]
        found += back(put(grad), put(x), put(weight), **given)
    pairs = zip(_flat(found), _flat(expected), strict=True)
    return judged((distance(host(a), b) for a, b in pairs), MOST[kind], seed)


def check_stack(kind: str, seed: int, put: Callable[[Any], Any] = on_gpu) -> Row:
    """Compare a stack of twelve layers, small enough for one launch, with the reference in double."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((8, 256, 128)).astype(TYPES[kind])
    mask = np.arange(256) < rng.integers(0, 257, 8)[:, None]
    weights = [(rng.standard_normal((3, 128, 256)) / 384**0.5).astype(TYPES[kind]) for _ in STACK]
    layers = [kx.conv.GatedLayer(w.astype("d"), dilation=r, gate="first") for w, r in zip(weights, STACK, strict=True)]
    expected = kx.conv.dgcnn(x.astype("d"), layers, mask=mask)
    layers = [kx.conv.GatedLayer(put(w), dilation=r, gate="first") for w, r in zip(weights, STACK, strict=True)]
    with poisoned():
        found = kx.conv.dgcnn(put(x), layers, mask=put(mask))
    return judged([distance(host(found), expected)], 4 * MOST[kind], seed)


def _each(change: Callable[[Any], Any], x: Any) -> Any:
    """Change all arrays in a nest of dictionaries and tuples."""
    if isinstance(x, dict):
        return {name: _each(change, value) for name, value in x.items()}
    if isinstance(x, tuple):
        return tuple(_each(change, value) for value in x)
    return change(x) if isinstance(x, np.ndarray) else x


def _flat(x: Any) -> list[Any]:
    return [each for item in x for each in _flat(item)] if isinstance(x, (list, tuple)) else [x]


# Batch, length, channels; three taps.
TIMED = {"128 channels": (256, 512, 128), "256 channels": (64, 1024, 256)}


def _told(found: Row, shape: tuple[int, int, int], layers: int, backward: bool) -> Row:
    b, length, channels = shape
    weights, side = layers * 3 * channels * 2 * channels, 3 if backward else 2  # dx, too; gradients of weights, too
    work = (3 if backward else 1) * 2 * b * length * weights
    return told(found, operations=work, moved=2 * (side * b * length * channels + (side - 1) * weights))


def _inputs(shape: tuple[int, int, int], layers: int, seed: int) -> tuple[Any, Any, list[Any], list[Any]]:
    import torch

    channels = shape[2]
    torch.manual_seed(seed)
    new = partial(torch.randn, device="cuda", dtype=torch.bfloat16)
    weights = [new((3, channels, 2 * channels)) / (3 * channels) ** 0.5 for _ in range(layers)]
    return new(shape), new(shape), weights, [new((2 * channels,)) for _ in range(layers)]


def _ours(name: str, backward: bool, seed: int) -> Row:
    shape = TIMED[name]
    x, grad, (weight,), (bias,) = _inputs(shape, 1, seed)
    y, parts = kx.conv.dilated_gated_conv1d(x, weight, bias, dilation=2, return_parts=True)
    run = partial(kx.conv.dilated_gated_conv1d, x, weight, bias, dilation=2, out=y)
    if backward:
        run = partial(kx.conv.dilated_gated_conv1d_backward, grad, x, weight, bias, dilation=2, parts=parts)
    return _told(repeated(run, stream=stream()), shape, 1, backward)


def _without_groups(name: str, backward: bool, seed: int) -> Row:
    with without_warp_groups():
        return _ours(name, backward, seed)


_SMALL = (8, 256, 128)


def _our_stack(seed: int) -> Row:
    x, _, weights, biases = _inputs(_SMALL, len(STACK), seed)
    layers = [kx.conv.GatedLayer(*each) for each in zip(weights, biases, STACK, strict=True)]
    out = x.new_empty(x.shape)
    return _told(repeated(lambda: kx.conv.dgcnn(x, layers, out=out), stream=stream()), _SMALL, len(STACK), False)


def _theirs(weights: list[Any], biases: list[Any], dilations: tuple[int, ...], **options: Any) -> Callable[[Any], Any]:
    """Return cuDNN's convolutions with torch's gates, compiled."""
    import torch

    torch.backends.cudnn.benchmark = True
    turned = [w.permute(2, 1, 0).contiguous().requires_grad_() for w in weights]

    def run(x: Any) -> Any:
        for w, bias, r in zip(turned, biases, dilations, strict=True):
            c, g = torch.nn.functional.conv1d(x, w, bias, padding=r, dilation=r).chunk(2, 1)
            s = torch.sigmoid(g)
            x = x * (1 - s) + c * s
        return x

    return torch.compile(run, **options)


def _peer(name: str, backward: bool, seed: int) -> Row:
    import torch

    shape = TIMED[name]
    x, grad, weights, biases = _inputs(shape, 1, seed)
    x, grad = (each.transpose(1, 2).contiguous().requires_grad_(backward) for each in (x, grad))
    run = _theirs(weights, [b.requires_grad_(backward) for b in biases], (2,))
    if backward:
        out = run(x)
        found = repeated(lambda: out.backward(grad, retain_graph=True), stream=stream())
    else:
        with torch.no_grad():
            found = repeated(lambda: run(x), stream=stream())
    return _told(found, shape, 1, backward)


def _peer_stack(mode: str, seed: int) -> Row:
    import torch

    x, _, weights, biases = _inputs(_SMALL, len(STACK), seed)
    x = x.transpose(1, 2).contiguous()
    run = _theirs(weights, biases, STACK, **({"mode": mode} if mode else {}))
    with torch.no_grad():
        return _told(repeated(lambda: run(x), stream=stream()), _SMALL, len(STACK), False)


def _jax(shape: tuple[int, int, int], dilations: tuple[int, ...], backward: bool, seed: int) -> Row:
    with_jax.imported()
    call = with_jax.convolutions(shape, dilations, backward, seed)
    return _told(with_jax.timed(call), shape, len(dilations), backward)


def steps() -> list[Step]:
    """Return the steps of this path."""
    found = [
        Step("conv", "check", f"{label}, {kind}", partial(check, label, kind)) for label in CHECKED for kind in TYPES
    ]
    found += [Step("conv", "check", f"stack, {kind}", partial(check_stack, kind)) for kind in TYPES]
    found += [Step("conv", "check", f"beside torch's, {kind}", partial(beside.conv, kind)) for kind in HALVES]
    for name, shape in TIMED.items():
        for backward in False, True:
            label = f"{name} {'backward' if backward else 'forward'}"
            found.append(Step("conv", "bench", label, partial(_ours, name, backward)))
            without = partial(_without_groups, name, backward)
            found.append(Step("conv", "peers", label, without, "without warp groups"))
            found.append(Step("conv", "peers", label, partial(_peer, name, backward), "cuDNN, compiled"))
            found.append(Step("conv", "peers", label, partial(_jax, shape, (2,), backward), "JAX"))
    found.append(Step("conv", "bench", "stack of 12", _our_stack))
    found.append(Step("conv", "peers", "stack of 12", partial(_jax, _SMALL, STACK, False), "JAX"))
    for how, mode in {"compiled": "", "compiled, as a graph": "reduce-overhead"}.items():
        found.append(Step("conv", "peers", "stack of 12", partial(_peer_stack, mode), f"cuDNN, {how}"))
    return found
