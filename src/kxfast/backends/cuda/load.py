"""The device: what is missing for one, memory on it, kernels compiled for it and launched on the caller's stream.

`Device` is all that the other modules of this backend know of CUDA. Here it is CuPy's current device; the tests put
another in its place that runs the same kernels on the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from kxfast.backends.cuda import nvrtc
from kxfast.errors import BackendError

LEAST_CAPABILITY = 80
LEAST_DRIVER = 13_000
_MAX_DYNAMIC_SHARED, _MOST_WITHOUT_ASKING = 8, 48 * 1024


class Kernel(Protocol):
    """A kernel; `behind` are arrays whose addresses are in other arrays; blocks of `together` wait for each other."""

    def __call__(
        self, blocks: int, threads: int, shared: int, arguments: Sequence[Any], behind: Sequence[Any] = (),
        together: bool = False,
    ) -> None:  # fmt: skip
        """Launch it; `shared` is in bytes."""


class Device(Protocol):
    """Where kernels run. Arguments of kernels are arrays of the device and NumPy scalars of the exact type."""

    warp_groups: bool  # whether kernels may use the instructions of cuda/ptx_hopper.cuh
    multiprocessors: int

    def empty(self, shape: Any, dtype: Any) -> Any:
        """Return an array with anything in it."""

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """Return an array of zeros."""

    def scratch(self, shape: Any, dtype: Any) -> Any:
        """Return an array of zeros whose later contents may depend on the order in which threads run."""

    def upload(self, x: Any) -> Any:
        """Return a copy of a NumPy array."""

    def download(self, x: Any) -> Any:
        """Return a NumPy copy of an array of any library there; waits for the kernels before it."""

    def runs(self, keys: Any) -> tuple[Any, Any]:
        """Return NumPy arrays of the different values of an array, in order, and how often each is there."""

    def sorted_keys(self, keys: Any) -> Any:
        """Return keys of several words, shape (words, keys), sorted; the last word is of the most weight."""

    def stream(self) -> int:
        """Return the stream that kernels are launched on now."""

    def free_bytes(self) -> int:
        """Return how much memory can be had."""

    def resident_blocks(self, kernel: Kernel, threads: int, shared: int) -> int:
        """Return how many blocks run at a time."""

    def kernel(self, text: str, name: str) -> Kernel:
        """Return a kernel of a source."""


def missing() -> str | None:
    """Say in a phrase why there is no device, or return None."""
    try:
        cp = cupy()
    except ImportError as error:
        return f"CuPy is not installed ({error}): pip install 'kxfast[cuda]'"
    runtime = cp.cuda.runtime
    try:
        driver = int(runtime.driverGetVersion())
        count = int(runtime.getDeviceCount()) if driver else 0
    except runtime.CUDARuntimeError as error:
        return f"no NVIDIA driver answers: {' '.join(str(error).split())}"
    return _too_old(driver, str(cp.cuda.Device().compute_capability) if count else "")


def _too_old(driver: int, capability: str) -> str | None:
    if not driver:
        return "no NVIDIA driver is installed"
    if driver < LEAST_DRIVER:
        return f"the driver must support CUDA 13.0; got {driver // 1000}.{driver % 1000 // 10}"
    if not capability:
        return "there is no GPU"
    if int(capability) < LEAST_CAPABILITY:
        return f"the GPU must have compute capability 8.0; got {capability[:-1]}.{capability[-1]}"
    return None


@cache
def cupy() -> Any:
    """Return CuPy."""
    import cupy as found  # type: ignore[import-not-found,unused-ignore]  # optional

    return found


def device() -> Device:
    """Return the current device, or raise BackendError."""
    why = missing()
    if why:
        raise BackendError(f"backend 'cuda' cannot serve the call: {why}")
    return _on(int(cupy().cuda.Device().id))


@cache
def _on(number: int) -> Device:
    return CuPyDevice(cupy(), number)


class CuPyDevice:
    """One GPU, with CuPy's memory pool and current stream."""

    def __init__(self, cp: Any, number: int) -> None:
        self._cp = cp
        with cp.cuda.Device(number):
            self._capability = int(cp.cuda.Device().compute_capability)
            self.multiprocessors = int(cp.cuda.Device().attributes["MultiProcessorCount"])
        self.warp_groups = self._capability == 90
        self._kernels: dict[tuple[str, str], Any] = {}

    @cached_property
    def target(self) -> str:
        """What sources are compiled for: machine code where we have it, else PTX."""
        return "sm_90a" if self._capability == 90 else "compute_80"

    def empty(self, shape: Any, dtype: Any) -> Any:
        """See `Device`."""
        return self._cp.empty(shape, dtype)

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """See `Device`."""
        return self._cp.zeros(shape, dtype)

    def scratch(self, shape: Any, dtype: Any) -> Any:
        """See `Device`."""
        return self._cp.zeros(shape, dtype)

    def upload(self, x: Any) -> Any:
        """See `Device`."""
        return self._cp.array(x)

    def download(self, x: Any) -> Any:
        """See `Device`."""
        return self._cp.asnumpy(self._cp.asarray(x))

    def runs(self, keys: Any) -> tuple[Any, Any]:
        """See `Device`; the array is sorted in place."""
        keys.sort()
        new = self._cp.ones(len(keys), bool)
        new[1:] = keys[1:] != keys[:-1]
        starts = self._cp.flatnonzero(new)
        ends = self._cp.append(starts[1:], len(keys))
        return self._cp.asnumpy(keys[starts]), self._cp.asnumpy(ends - starts)

    def sorted_keys(self, keys: Any) -> Any:
        """See `Device`; keys of one word are sorted in place."""
        if len(keys) == 1 and keys.size:
            keys[0].sort()
        if len(keys) == 1:
            return keys
        return self._cp.take(keys, self._cp.lexsort(keys), axis=1)

    def stream(self) -> int:
        """See `Device`."""
        return int(self._cp.cuda.get_current_stream().ptr)

    def free_bytes(self) -> int:
        """See `Device`."""
        free, _ = self._cp.cuda.runtime.memGetInfo()
        return int(free) + int(self._cp.get_default_memory_pool().free_bytes())

    def resident_blocks(self, kernel: Kernel, threads: int, shared: int) -> int:
        """See `Device`."""
        assert isinstance(kernel, _Kernel)
        kernel.grant(shared)
        most = self._cp.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.function.ptr, threads, shared)
        return int(most) * self.multiprocessors

    def kernel(self, text: str, name: str) -> Kernel:
        """See `Device`."""
        key = text, name
        if key not in self._kernels:
            module = self._cp.cuda.function.Module()
            module.load(nvrtc.compiled(text, self.target))
            self._kernels[key] = _Kernel(self._cp, module.get_function(name))
        found: Kernel = self._kernels[key]
        return found


class _Kernel:
    """A function on a device, launched on CuPy's current stream."""

    def __init__(self, cp: Any, function: Any) -> None:
        self._cp, self.function, self._granted = cp, function, _MOST_WITHOUT_ASKING

    def grant(self, shared: int) -> None:
        """Allow launches with so much shared memory."""
        if shared > self._granted:
            self._cp.cuda.driver.funcSetAttribute(self.function.ptr, _MAX_DYNAMIC_SHARED, shared)
            self._granted = shared

    def __call__(
        self, blocks: int, threads: int, shared: int, arguments: Sequence[Any], behind: Sequence[Any] = (),
        together: bool = False,
    ) -> None:  # fmt: skip
        self.grant(shared)
        options = {"enable_cooperative_groups": True} if together else {}
        self.function((blocks, 1, 1), (threads, 1, 1), tuple(arguments), shared_mem=shared, **options)


def address(x: Any) -> int:
    """Return where an array of the device lies."""
    if isinstance(x, np.ndarray):
        return int(x.ctypes.data)
    return int(x.data_ptr() if hasattr(x, "data_ptr") else x.data.ptr)


def empty_beside(example: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return an array of the library and on the device of another, with anything in it."""
    if hasattr(example, "new_empty"):
        return example.new_empty(shape, dtype=getattr(import_module("torch"), dtype.name))
    return import_module(type(example).__module__.split(".")[0]).empty(shape, dtype=dtype)


@contextmanager
def stream_of(example: Any) -> Iterator[None]:
    """Run a block on an array's device, on the stream that its library uses there now."""
    library = type(example).__module__.split(".")[0]
    if library == "cupy":
        with example.device:
            yield
    elif library == "torch":
        stream = import_module("torch").cuda.current_stream(example.device)
        with cupy().cuda.Device(example.device.index), cupy().cuda.ExternalStream(stream.cuda_stream):
            yield
    else:
        yield
