"""What the checks of several paths share: arrays there and back, memory full of NaN, a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.gpu.plan import Row
from kxfast.backends.cuda import load
from kxfast.checks import half_types

TYPES = {np.dtype(kind).name: np.dtype(kind) for kind in (*half_types(), "f", "d")}
HALVES = [name for name, kind in TYPES.items() if kind.itemsize == 2]


@contextmanager
def poisoned() -> Iterator[None]:
    """Give results memory that is full of NaN."""
    made = load.empty_beside

    def filled(*arguments: Any) -> Any:
        result = made(*arguments)
        result.fill(np.nan) if hasattr(result, "fill") else result.fill_(float("nan"))
        return result

    load.empty_beside = filled
    try:
        yield
    finally:
        load.empty_beside = made


def on_gpu(x: Any) -> Any:
    """Return an array as CuPy's, or as torch's where CuPy may lack its type."""
    return as_torch(x).cuda() if x.dtype.name == "bfloat16" else load.cupy().asarray(x)


def as_torch(x: Any) -> Any:
    """Return an array of the host as torch's."""
    import torch

    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def host(x: Any) -> Any:
    """Return an array of the GPU on the host, in double."""
    if hasattr(x, "data_ptr") and hasattr(x, "float"):
        return x.detach().double().cpu().numpy()
    return load.device().download(x).astype(np.float64)


def distance(found: Any, expected: Any) -> float:
    """Return the norm of the difference relative to what is expected, which counts as 1 at least."""
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite]):
        return float("inf")
    return float(np.linalg.norm(found[finite] - expected[finite]) / max(np.linalg.norm(expected[finite]), 1.0))


def judged(errors: Iterable[float], most: float, seed: int) -> Row:
    """Return the row of errors the largest of which is small enough."""
    worst = float(np.max(list(errors)))  # NaN, if there is one
    if not worst <= most:
        raise AssertionError(f"an error of {worst:.3g}, at most {most:g} is right; seed {seed}")
    return {"error": worst, "tolerance": most}


def stream() -> int:
    """Return torch's current stream."""
    import torch

    return int(torch.cuda.current_stream().cuda_stream)


@contextmanager
def without_warp_groups() -> Iterator[None]:
    """Use the kernels of other chips on a Hopper, too."""
    device = load.device()
    before = device.warp_groups
    device.warp_groups = False
    try:
        yield
    finally:
        device.warp_groups = before
