"""Arrays in the memory of a GPU, whatever library they are of: CuPy's and torch's are read through their protocols.

Nothing of CUDA is imported here, and nothing is moved: an array of the host beside one of a device is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from kxfast.checks import half_types, place
from kxfast.settings import forced_backend

_CUDA = 2  # DLPack's number


class DeviceArray(NamedTuple):
    """What kernels need of an array; `owner` keeps it alive."""

    owner: Any
    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    number: int  # of the device
    steps: tuple[int, ...] | None = None  # numbers from one to the next along each axis; none: C-contiguous


def wanted(arrays: Sequence[Any], backend: str | None) -> bool:
    """Return whether a call with these arrays is for a device: the first is there, or the backend is named."""
    chosen = backend if backend is not None else forced_backend.get()
    return chosen == "cuda" or (chosen is None and len(arrays) > 0 and on_device(arrays[0]))


def on_device(x: Any) -> bool:
    """Return whether `x` is an array in the memory of an NVIDIA GPU."""
    if isinstance(x, np.ndarray):
        return False
    found = getattr(x, "__dlpack_device__", None)
    return found is not None and int(found()[0]) == _CUDA


def canonical(
    name: str, x: Any, first: DeviceArray | None = None, *, copied: bool = True,
    types: Sequence[str] = ("float32", "float64"), align: int = 1, strided: bool = False,
) -> DeviceArray:  # fmt: skip
    """Return an array of one of the types, on the device of `first`, at a multiple of `align` bytes.

    `copied` says that what lies otherwise may be copied, on the device; `strided` that only rows must be contiguous,
    each at such a multiple.
    """
    if not on_device(x):
        raise TypeError(f"{name} must be in the memory of a GPU, where backend 'cuda' works; got {place(x)}")
    owner = x.detach() if hasattr(x, "detach") else x
    kind = str(owner.dtype).rpartition(".")[2]
    if kind not in types:
        accepted = " or ".join(filter(None, (", ".join(types[:-1]), types[-1])))
        raise TypeError(f"{name} must be {accepted}; got {owner.dtype}")
    facts = _facts(owner, kind)
    steps = _steps(facts, align) if strided else None
    if steps is None and facts.get("strides") is not None and not _is_contiguous(facts):
        if not copied:
            raise ValueError(f"{name} must be C-contiguous, to be updated on a GPU; got strides {facts['strides']}")
        owner = owner.contiguous() if hasattr(owner, "contiguous") else library(owner).ascontiguousarray(owner)
        facts = _facts(owner, kind)
    if int(facts["data"][0]) % align:
        if not copied:
            raise ValueError(f"{name} must be at a multiple of {align} bytes, to be updated on a GPU")
        owner, steps = owner.clone() if hasattr(owner, "clone") else owner.copy(), None
        owner = owner.contiguous() if hasattr(owner, "contiguous") else library(owner).ascontiguousarray(owner)
        facts = _facts(owner, kind)
    number = int(x.__dlpack_device__()[1])
    if first is not None and number != first.number:
        raise ValueError(f"{name} must be on GPU {first.number} like the arrays before; got {place(x)}")
    dtype = bfloat16(name) if kind == "bfloat16" else np.dtype(kind)
    return DeviceArray(owner, int(facts["data"][0]), tuple(facts["shape"]), dtype, number, steps)


def bfloat16(name: str) -> np.dtype[Any]:
    """Return NumPy's type of that name, which another package brings."""
    for each in half_types():
        if each.name == "bfloat16":
            return each
    raise TypeError(f"{name} must not be bfloat16, as ml_dtypes is not installed")


def _facts(owner: Any, kind: str) -> dict[str, Any]:
    """Return the array interface; torch has none for bfloat16, but for integers of its size."""
    seen = owner.view(library(owner).int16) if kind == "bfloat16" and hasattr(owner, "detach") else owner
    found: dict[str, Any] = seen.__cuda_array_interface__
    return found


def _steps(facts: dict[str, Any], align: int) -> tuple[int, ...] | None:
    """Return how far apart numbers are along each axis, if rows are contiguous and each at a multiple of `align`."""
    strides, size = facts.get("strides"), np.dtype(facts["typestr"]).itemsize
    if strides is None or not strides or (strides[-1] != size and facts["shape"][-1] > 1):
        return None
    if any(step % align or step < 0 for step in strides[:-1]):
        return None
    return (*(step // size for step in strides[:-1]), 1)


def _is_contiguous(facts: dict[str, Any]) -> bool:
    step = np.dtype(facts["typestr"]).itemsize
    for size, stride in zip(reversed(facts["shape"]), reversed(facts["strides"]), strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def library(x: Any) -> Any:
    """Return the module that an array's type comes from."""
    return import_module(type(x).__module__.split(".")[0])


def output(
    out: Any, shape: tuple[int, ...], first: DeviceArray, inputs: dict[str, DeviceArray | None], **options: Any
) -> DeviceArray | None:
    """Return ``out=`` if the result can be written into it, of the type of `first`; it must not share memory."""
    if out is None:
        return None
    found = canonical("out", out, first, copied=False, **options)
    if found.dtype != first.dtype or found.shape != shape:
        raise ValueError(f"out must be {first.dtype} of shape {shape}; got {found.dtype} of shape {found.shape}")
    for name, x in inputs.items():
        if x is not None and found.address < x.address + _size(x) and x.address < found.address + _size(found):
            raise ValueError(f"out must not share memory with {name}")
    return found


def _size(x: DeviceArray) -> int:
    """Return the bytes from an array's first number to its last."""
    if x.steps is None:
        return int(np.prod(x.shape)) * x.dtype.itemsize
    reach = sum((size - 1) * step for size, step in zip(x.shape, x.steps, strict=True))
    return (reach + 1) * x.dtype.itemsize if np.prod(x.shape) else 0
