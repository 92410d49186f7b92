"""Cases of the stem conv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import conv
from kxfast.cases import Case, largest_difference, text
from kxfast.checks import half_types
from kxfast.conv import GatedLayer

Array = NDArray[Any]
Types = list[tuple[Any, float]]

DILATIONS = (1, 2, 5, 1, 2, 5, 1, 1, 1)
VARIANTS: dict[str, dict[str, Any]] = {
    "A0": {"skip": "none"},
    "B": {"gate": "first"},
    "B raw": {"gate": "first", "mask_input": False},
    "C": {"skip": "add"},
    "D": {"skip": "add"},
    "A causal": {"padding": "causal"},
    "A": {},
}
SIZES = (
    (1, 1, 1, 1, 1, 1),
    (2, 0, 3, 3, 3, 1),
    (2, 7, 3, 5, 2, 9),
    (3, 33, 17, 17, 4, 3),
    (2, 70, 16, 24, 3, 2),
    (2, 45, 50, 50, 3, 4),
)


def _types() -> Types:
    halves: Types = [(kind, 1e-2) for kind in half_types()]
    return [*halves, (np.dtype(np.float64), 1e-11), (np.dtype(np.float32), 1e-5)]


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases; inputs are of order 1, and so is the scale of errors."""
    for case in _random(rng):
        yield replace(case, compare=partial(largest_difference, floor=1.0)) if case.tolerance else case


def _random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    for kind, tolerance in _types():
        for variant, options in VARIANTS.items():
            for size in SIZES:
                yield from _gated(rng, kind, tolerance, variant, options, size)
        yield from _stack(rng, kind, tolerance)
        yield from _others(rng, kind, tolerance)


def _normal(rng: np.random.Generator, kind: Any, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(kind)


def _weight(rng: np.random.Generator, kind: Any, k: int, d: int, out: int) -> Array:
    """Return a kernel that keeps the size of its input."""
    weight: Array = rng.standard_normal((k, d, out)) / np.sqrt(k * d)
    return weight.astype(kind)


def _gated(
    rng: np.random.Generator, kind: Any, tolerance: float, variant: str, options: dict[str, Any], size: tuple[int, ...]
) -> Iterator[Case]:
    b, length, d, f, k, dilation = size
    x, grad = _normal(rng, kind, b, length, d), _normal(rng, kind, b, length, f)
    weight, bias = _weight(rng, kind, k, d, 2 * f), _normal(rng, kind, 2 * f)
    keywords = {**options, "dilation": dilation, "mask": rng.random((b, length)) < 0.8}
    if d != f and options.get("skip") != "none":
        keywords["shortcut"] = (_normal(rng, kind, d, f), _normal(rng, kind, f) if variant != "D" else None)
    if variant == "D":
        keywords["norm"] = (_normal(rng, kind, f), _normal(rng, kind, f), 0.7)
    changes: list[dict[str, Any]] = [{}]
    if size in (SIZES[1], SIZES[-1]):
        changes += [{"mask": None, "mask_input": None}, {"drop_gate": 0.3, "seed": 5}]
    for more in changes:
        label = f"{variant} {size} {kind} {' '.join(more)}"
        arguments = {**keywords, **more}
        yield Case("conv.dilated_gated_conv1d", label, (x, weight, bias), arguments, tolerance)
        yield Case("conv.dilated_gated_conv1d_backward", label, (grad, x, weight, bias), arguments, 10 * tolerance)
        parts = conv.dilated_gated_conv1d(x, weight, bias, **arguments, return_parts=True, backend="reference")[1]
        yield Case(
            "conv.dilated_gated_conv1d",
            f"{label} parts",
            (x, weight, bias),
            {**arguments, "return_parts": True},
            tolerance,
        )
        given = {**arguments, "parts": parts}
        yield Case(
            "conv.dilated_gated_conv1d_backward", f"{label} parts", (grad, x, weight, bias), given, 10 * tolerance
        )


def _stack(rng: np.random.Generator, kind: Any, tolerance: float) -> Iterator[Case]:
    normal = partial(_normal, rng, kind)
    weight = partial(_weight, rng, kind)
    layers = [
        GatedLayer(weight(3, 5, 16), normal(16), 1, shortcut=(normal(5, 8), normal(8))),
        GatedLayer(weight(2, 8, 16), None, 5, gate="first"),
        GatedLayer(weight(3, 8, 16), normal(16), 2, "add", norm=(normal(8), normal(8), 0.3)),
        GatedLayer(weight(1, 8, 12), normal(12), 1, "none", padding="causal"),
    ]
    x, grad, mask = normal(3, 40, 5), normal(3, 40, 6), rng.random((3, 40)) < 0.8
    for more in {}, {"drop_gate": 0.1, "seed": 9}:
        label = f"{kind} {' '.join(more)}"
        yield Case("conv.dgcnn", label, (x, layers), {"mask": mask, **more}, 10 * tolerance)
        yield Case("conv.dgcnn_backward", label, (grad, x, layers, mask), more, 50 * tolerance)
        kept = conv.dgcnn(x, layers, mask=mask, **more, return_kept=True, backend="reference")[1]
        given = {**more, "kept": kept}
        yield Case("conv.dgcnn_backward", f"{label} kept", (grad, x, layers, mask), given, 50 * tolerance)


def _others(rng: np.random.Generator, kind: Any, tolerance: float) -> Iterator[Case]:
    normal = partial(_normal, rng, kind)
    x, mask = normal(3, 40, 6), rng.random((3, 40)) < 0.8
    mask[1] = False
    for activation in None, "relu", "relu_pair_sum":
        for padding in "same", "causal":
            options = {"dilation": 3, "mask": mask, "activation": activation, "padding": padding}
            label = f"{kind} {activation} {padding}"
            yield Case("conv.dilated_conv1d", label, (x, normal(3, 6, 8), normal(8)), options, tolerance)
            wide = normal(2, 130, 18), normal(2, 18, 74) / kind.type(4), None
            more = {"dilation": 2, "activation": activation, "padding": padding, "pool": 4}
            yield Case("conv.dilated_conv1d", f"{label} pool", wide, more, tolerance)
    for label, m in (f"{kind}", None), (f"{kind} mask", mask):
        pooling = (x, normal(6, 4), normal(4))
        yield Case("conv.attention_pooling", label, pooling, {"mask": m}, tolerance)
        swish = {"mask": m, "activation": "swish", "hidden_bias": normal(4), "output_bias": 0.3}
        yield Case("conv.attention_pooling", f"{label} swish", pooling, swish, tolerance)
        many, real = normal(2, 150, 77), None if m is None else rng.random((2, 150)) < 0.5
        pooling = (many, normal(77, 90) / kind.type(9), normal(90))
        yield Case("conv.attention_pooling", f"{label} wide", pooling, {"mask": real}, tolerance)
        yield Case("conv.masked_max_pooling", f"{label} wide", (many,), {"mask": real})
        yield Case("conv.masked_mean_pooling", f"{label} wide", (many,), {"mask": real}, tolerance)
        yield Case("conv.masked_max_pooling", label, (x,), {"mask": m})
        yield Case("conv.masked_mean_pooling", label, (x,), {"mask": m}, tolerance)
    yield Case("conv.seq_and_vec", f"{kind}", (x, normal(3, 2)))
    start, end = (rng.random(60).astype(kind) for _ in range(2))
    question, passage = ("".join(rng.choice(list("天地玄黄"), n)) for n in (5, 40))
    yield Case("conv.match_features", f"{len(passage)} tokens", (question, passage))
    few, many = rng.integers(0, 9, 90), rng.integers(0, 9, 150)
    yield Case("conv.match_features", "90 in 150 tokens", (few.tolist(), many.tolist()))
    yield Case("conv.match_features", "64 in 150 tokens", (few[:64].tolist(), many.tolist()))
    yield Case("conv.extract_span", f"{kind}", (start, end, "甲乙丙丁" * 15), {}, tolerance)


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield cases on characters of novels; full rows and rows as long as paragraphs."""
    for b, length, d in ((8, 256, 128),) if quick else ((1, 128, 128), (8, 256, 128), (16, 512, 256)):
        rng = np.random.default_rng(1)
        layers = [
            GatedLayer(
                rng.standard_normal((3, d, 2 * d), np.float32) / np.float32(np.sqrt(3 * d)), np.zeros(2 * d, "f"), r
            )
            for r in DILATIONS
        ]
        rows, mask = text.ragged(data, b, length, d)
        for fill, x, m in ("full", text.full(data, b, length, d), None), ("ragged", rows, mask):
            work = 2.0 * (b * length if m is None else float(m.sum())) * 3 * d * 2 * d
            yield from _measured(f"({b}, {length}, {d}) {fill}", x, layers, m, work)


def _measured(label: str, x: Array, layers: list[GatedLayer], mask: Array | None, work: float) -> Iterator[Case]:
    weight, bias, n = layers[1].weight, layers[1].bias, len(layers)
    one = {"dilation": 2, "mask": mask}
    grad = np.roll(x, 1, 1)
    yield Case("conv.dilated_gated_conv1d", label, (x, weight, bias), one, 1e-5, amount=work, unit="flop")
    arguments = (grad, x, weight, bias)
    yield Case("conv.dilated_gated_conv1d_backward", label, arguments, one, 1e-4, amount=3 * work, unit="flop")
    yield Case("conv.dgcnn", label, (x, layers), {"mask": mask}, 1e-4, amount=n * work, unit="flop")
    stack = (grad, x, layers, mask)
    yield Case("conv.dgcnn_backward", label, stack, {}, 1e-3, amount=3 * n * work, unit="flop")
