"""Training steps and bounds of orthogonium and deel-torchlip, where they are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from peers.lipschitz import Call, loosest

Maker = Callable[[], Call]


def training(shapes: Sequence[tuple[int, int]]) -> dict[str, Maker]:
    """One step of power iteration and the scaled weights, for layers of these shapes."""

    def deel() -> Call:
        from deel.torchlip.normalizers import spectral_normalization

        layers = [(torch.randn(m, n), torch.randn(1, n)) for m, n in shapes]

        def run() -> list[Any]:
            with torch.no_grad():
                return [spectral_normalization(w, u, maxiter=1) for w, u in layers]

        return run

    def orthogonium() -> Call:
        from orthogonium.reparametrizers import BatchedPowerIteration

        stack = torch.randn(len(shapes), *shapes[0])  # layers of one shape go in one call
        step = BatchedPowerIteration(stack.shape)

        def run() -> Any:
            with torch.no_grad():
                return step(stack, n_iters=1)

        return run

    return {"deel-torchlip": deel, "orthogonium": orthogonium}


def estimate(a: Any, truth: float, width: float) -> dict[str, Maker]:
    """Power iteration with a tolerance, the loosest with which its answer is right."""

    def deel() -> Call:
        from deel.torchlip.normalizers import spectral_normalization

        start = torch.randn(1, a.shape[1], generator=torch.Generator().manual_seed(0))

        def run(eps: float) -> float:
            with torch.no_grad():
                return float(spectral_normalization(a, start, eps=eps, maxiter=5000)[2])

        eps = loosest(run, truth, width)
        if eps is None:
            raise ImportError(f"it does not come within {width:g}")
        return lambda: run(eps)

    return {"deel-torchlip": deel}


def circular(weight: Any, side: int, truth: float, width: float) -> dict[str, Maker]:
    """Bounds from above of circular convolutions, with as many iterations as the accuracy needs."""

    def orthogonium() -> Call:
        from orthogonium.layers.conv.singular_values.delattre24 import compute_delattre2023

        def run(count: int) -> float:
            with torch.no_grad():
                return float(np.real(compute_delattre2023(weight, n=side, n_iter=count)))

        count = next((n for n in range(2, 12) if abs(run(n) / truth - 1) <= width), None)
        if count is None:
            raise ImportError(f"it does not come within {width:g}")
        return lambda: run(count)

    return {"orthogonium, Gram iteration": orthogonium}
