"""A device that is no GPU: kernels are compiled for the host over cuda/emu and run thread by thread.

Each launch runs three times from the same memory, with threads in order, in reverse and shuffled, when a warp of each
block starves; one whose blocks wait for each other so often that each of a block's warps starves. Unless all of memory
but scratch comes out the same each time, the launch fails. What `empty` returns is filled with a pattern, and
no kernel may write beside an array.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
from cuda_compile import compile_for_host

from kxfast import devices, dispatch
from kxfast.backends.cuda import load

ORDERS = range(int(os.environ.get("KXFAST_EMULATION_ORDERS", "3")))
_MARGIN = 0 if "address" in os.environ.get("KXFAST_EMULATION_FLAGS", "") else 64  # the sanitizer has its own


class Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3), ("size", ctypes.c_uint * 3), ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_uint), ("together", ctypes.c_uint), ("error", ctypes.c_char * 256),
    ]  # fmt: skip


class LaunchError(Exception):
    """What the emulation found to be wrong in a kernel."""


def memory_of(x):
    """Return what lies under an array that plays one of a GPU; tensors of the host may do so too."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "memory"):
        return x.memory
    import torch

    return x.detach().view(-1).view(torch.uint8).numpy()


class EmulatedDevice:
    """Memory is NumPy's; `blocks` run at a time and `free` bytes can be had; it is a Hopper if told so."""

    def __init__(self, blocks=2, free=2**30, flags="", orders=ORDERS, warp_groups=False, multiprocessors=1):
        self.blocks, self.free, self.flags, self.orders = blocks, free, flags, orders
        self.warp_groups, self.multiprocessors = warp_groups, multiprocessors
        self.launches = 0
        self._cp = SimpleNamespace(
            **{name: getattr(np, name) for name in ("ones", "flatnonzero", "append", "take", "lexsort")},
            asnumpy=np.array,
        )
        self._scratch, self._margins = [], []

    def _guarded(self, shape, dtype):
        """Return an array of the pattern between margins of the pattern."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = np.full(size + 2 * _MARGIN, 0xCD, np.uint8)
        self._margins.append((memory[:_MARGIN], memory[_MARGIN + size :]))
        return memory[_MARGIN : _MARGIN + size].view(dtype).reshape(shape)

    def empty(self, shape, dtype):
        return self._guarded(shape, dtype)

    def zeros(self, shape, dtype):
        return self.upload(np.zeros(shape, dtype))

    def scratch(self, shape, dtype):
        x = self.zeros(shape, dtype)
        self._scratch.append(x)
        return x

    def upload(self, x):
        copy = self._guarded(x.shape, x.dtype)
        copy[...] = x
        return copy

    def download(self, x):
        return memory_of(x).copy()

    def runs(self, keys):
        return load.CuPyDevice.runs(self, keys)

    def sorted_keys(self, keys):
        return load.CuPyDevice.sorted_keys(self, keys)

    def stream(self):
        return 0

    def free_bytes(self):
        return self.free

    def resident_blocks(self, kernel, threads, shared):
        return self.blocks

    def kernel(self, text, name):
        function = getattr(compile_for_host(text, self.flags), f"kx_launch_{name}")

        def launch(blocks, threads, shared, arguments, behind=(), together=False):
            self.launches += 1
            if together and blocks > self.blocks:
                raise LaunchError(f"{blocks} blocks are to be resident together, of {self.blocks}")
            arrays = [x for x in arguments if isinstance(x, np.ndarray)]
            arrays += map(memory_of, behind)
            before = [x.copy() for x in arrays]
            results = []
            starve = together and self.orders is ORDERS
            for order in range(2 + threads // 32) if starve else self.orders:
                for x, old in zip(arrays, before, strict=True):
                    x[...] = old
                run_once(function, blocks, threads, shared, arguments, order, together)
                results.append([x.tobytes() for x in arrays if not any(x is y for y in self._scratch)])
            if any((margin != 0xCD).any() for pair in self._margins for margin in pair):
                raise LaunchError("the kernel has written beside an array")
            if any(each != results[0] for each in results):
                raise LaunchError("the result depends on the order in which threads run")

        return launch


def run_once(function, blocks, threads, shared, arguments, order, together=False):
    """Launch in one order; raise LaunchError with what the emulation says."""
    boxes = [ctypes.c_void_p(x.ctypes.data) if isinstance(x, np.ndarray) and x.ndim else np.array(x) for x in arguments]
    pointers = [ctypes.addressof(box) if isinstance(box, ctypes.c_void_p) else box.ctypes.data for box in boxes]
    launch = Launch((blocks, 1, 1), (threads, 1, 1), shared, order, together)
    if function(ctypes.byref(launch), (ctypes.c_void_p * len(pointers))(*pointers)):
        raise LaunchError(launch.error.decode())


@contextmanager
def emulated(**keywords):
    """Put an emulated device in the place of the GPU."""
    device, found = EmulatedDevice(**keywords), (load.device, load.missing)
    load.device, load.missing = lambda: device, lambda: None
    try:
        yield device
    finally:
        load.device, load.missing = found
        dispatch._found.clear()  # what it has found there


class GpuArray:
    """Plays an array in the memory of a GPU: what its protocols say is true of host memory."""

    def __init__(self, memory, number=0):
        self.memory, self.number = memory, number

    def __dlpack_device__(self):
        return 2, self.number

    def data_ptr(self):
        return self.memory.ctypes.data

    def fill(self, value):
        self.memory.fill(value)

    def __ne__(self, other):
        return GpuArray(self.memory != other, self.number)

    __hash__ = object.__hash__

    def reshape(self, shape):
        return GpuArray(self.memory.reshape(shape), self.number)

    def copy(self):
        return GpuArray(self.memory.copy(), self.number)

    @property
    def device(self):
        return f"cuda:{self.number}"

    @property
    def shape(self):
        return self.memory.shape

    @property
    def dtype(self):
        return self.memory.dtype

    @property
    def __cuda_array_interface__(self):
        strides = None if self.memory.flags.c_contiguous else self.memory.strides
        return {
            "shape": self.memory.shape, "typestr": self.memory.dtype.str, "strides": strides,
            "data": (self.memory.ctypes.data, False), "version": 3,
        }  # fmt: skip


def empty_like(x):
    """Do what the function of that name does in the libraries that have such arrays."""
    return GpuArray(np.full_like(x.memory, np.nan), x.number)


def empty(shape, dtype):
    return GpuArray(load.device().empty(shape, dtype))


def ascontiguousarray(x):
    return GpuArray(np.ascontiguousarray(x.memory), x.number)


def play_gpu(monkeypatch):
    """Let tensors of the host play those of a GPU: what torch says of them there is true of their memory here."""
    import torch

    def facts(owner, kind):
        strides = tuple(step * owner.itemsize for step in owner.stride())
        found = {"shape": tuple(owner.shape), "data": (owner.data_ptr(), False), "typestr": f"<V{owner.itemsize}"}
        return found | {"strides": None if owner.is_contiguous() else strides}

    def is_tensor(x):
        return isinstance(x, torch.Tensor)

    monkeypatch.setattr(devices, "on_device", is_tensor)
    monkeypatch.setattr("kxfast.torch.arrays.on_gpu", is_tensor)
    monkeypatch.setattr("kxfast.torch.spectral.on_gpu", is_tensor)
    monkeypatch.setattr(devices, "_facts", facts)
    monkeypatch.setattr(load, "stream_of", lambda example: nullcontext())
