"""What a stack's own ways bring: ``python benchmarks/bench_stack.py [--threads 2] [--only kept] [--json FILE]``.

"pieces": nine layers over a large batch by one call of `dgcnn`, in which pieces of the batch pass through all layers,
beside one call for each layer over the whole batch, two buffers in turn. "kept": one layer over few rows, its weights
packed once by `GatedLayer.repack`, beside packing in each call. Both are ours, in float32, and take turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, in_turn, processor, report, write

import kxfast as kx

LARGE = ((2048, 256, 32), (1, 262144, 32), (128, 256, 128), (512, 256, 128), (1, 131072, 128))
FEW = ((1, 64, 128), (1, 128, 128), (1, 256, 128), (2, 256, 128))
NINE = (1, 2, 5, 1, 2, 5, 1, 2, 5)


def stack(channels: int, dilations: tuple[int, ...], rng: np.random.Generator) -> list[kx.conv.GatedLayer]:
    def normal(*shape: int, scale: float = 1.0) -> Any:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    scale = (3 * channels) ** -0.5
    return [
        kx.conv.GatedLayer(normal(3, channels, 2 * channels, scale=scale), normal(2 * channels), dilation=r)
        for r in dilations
    ]


def pieces(shape: tuple[int, int, int]) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return forward and gradients, each in one call of the stack and in a call for each layer."""
    rng = np.random.default_rng(7)
    layers = [layer.repack() for layer in stack(shape[2], NINE, rng)]
    x = rng.standard_normal(shape).astype(np.float32)
    out, even, odd = (np.empty_like(x) for _ in range(3))

    def by_layers() -> None:
        y = x
        for i, layer in enumerate(layers):
            target = out if i == len(layers) - 1 else (even, odd)[i % 2]
            y = kx.conv.dgcnn(y, [layer], out=target)

    def gradients_by_layers() -> None:
        inputs, dx = [x], x
        for layer in layers[:-1]:
            inputs.append(kx.conv.dgcnn(inputs[-1], [layer]))
        for layer in reversed(layers):
            dx, _ = kx.conv.dgcnn_backward(dx, inputs.pop(), [layer])

    return {
        "forward": {"kxfast": lambda: kx.conv.dgcnn(x, layers, out=out), "layer by layer": by_layers},
        "gradients, layers computed again": {
            "kxfast": lambda: kx.conv.dgcnn_backward(x, x, layers),
            "layer by layer": gradients_by_layers,
        },
    }


def kept(shape: tuple[int, int, int]) -> dict[str, dict[str, Callable[[], Any]]]:
    """Return forward and forward with gradients, each with weights that are kept and with others."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal(shape).astype(np.float32)
    (plain,) = stack(shape[2], (1,), rng)
    packed = kx.conv.GatedLayer(plain.weight, plain.bias).repack()

    def forward(layer: kx.conv.GatedLayer) -> Callable[[], Any]:
        return lambda: kx.conv.dgcnn(x, [layer])

    def both(layer: kx.conv.GatedLayer) -> Callable[[], Any]:
        def run() -> None:
            _, parts = kx.conv.dgcnn(x, [layer], return_kept=True)
            kx.conv.dgcnn_backward(x, x, [layer], kept=parts)

        return run

    return {
        "forward": {"kxfast": forward(packed), "packed in each call": forward(plain)},
        "forward+backward": {"kxfast": both(packed), "packed in each call": both(plain)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("pieces", "kept"), help="default: both")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results")
    options = parser.parse_args()
    kx.set_num_threads(options.threads)
    rows = []
    for name, make, shapes in (("pieces", pieces, LARGE), ("kept", kept, FEW)):
        for shape in shapes if options.only in (None, name) else ():
            for what, calls in make(shape).items():
                medians = in_turn(calls, options.rounds)
                rows += report(f"{shape}, {name}, {what}", medians, "kxfast", float(np.prod(shape[:2])), "row")
    write(options.json or RESULTS / f"stack_{processor()}.json", rows)


if __name__ == "__main__":
    main()
