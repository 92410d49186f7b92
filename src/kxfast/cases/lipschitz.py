"""Cases of the stem lipschitz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kxfast.cases import Case


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    for dtype, tolerance in (np.float32, 1e-5), (np.float64, 1e-12):
        for m, n in (1, 1), (3, 70), (70, 3), (129, 257):
            w, u, v = (rng.standard_normal(shape).astype(dtype) for shape in ((m, n), m, n))
            for n_iter in 0, 3:
                label = f"{m}x{n} {np.dtype(dtype)} n_iter={n_iter}"
                yield Case("lipschitz.power_iteration", label, (w, u, v, n_iter), {}, tolerance)


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield the cases of the benchmark."""
    rng = np.random.default_rng(0)
    for m, n in (256, 256), (1024, 4096):
        w, u, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, n), m, n))
        flop = 2.0 * m * n * 11
        yield Case("lipschitz.power_iteration", f"{m}x{n}, 5 steps", (w, u, v, 5), amount=flop, unit="flop")
