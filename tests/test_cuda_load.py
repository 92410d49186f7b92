"""What is missing for a GPU is said in one line; compiled code is kept, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch
from kxfast.backends.cuda import load, nvrtc

NET = kx.gillespie.ReactionNetwork({"A": 5}, ["A -> 0 @ 1"])
TEXT = '#include "common.cuh"\nextern "C" __global__ void nothing(kx::i64* x) {{ x[0] = {}; }}\n'


class DriverError(Exception):
    """Stands for CuPy's CUDARuntimeError."""


def fake(driver=13_000, count=1, capability="90", error=None):
    """Return a CuPy on a machine of that kind."""

    def device_count():
        if error:
            raise DriverError(error)
        return count

    runtime = SimpleNamespace(
        CUDARuntimeError=DriverError, driverGetVersion=lambda: driver, getDeviceCount=device_count
    )
    return SimpleNamespace(
        cuda=SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(compute_capability=capability))
    )


MISSING = {
    "no NVIDIA driver is installed": fake(driver=0),
    r"the driver must support CUDA 13.0; got 12.4": fake(driver=12_040),
    "no NVIDIA driver answers: cudaErrorUnknown: why": fake(error="cudaErrorUnknown:\nwhy"),
    "there is no GPU": fake(count=0),
    r"the GPU must have compute capability 8.0; got 7.5": fake(capability="75"),
}


@pytest.mark.parametrize("words", MISSING)
def test_what_is_missing_is_said_in_one_line(monkeypatch, words):
    monkeypatch.setattr(load, "cupy", lambda: MISSING[words])
    refused(words)


def refused(words):
    with pytest.raises(kx.BackendError) as caught:
        kx.gillespie.simulate(NET, [1.0], backend="cuda")
    expected = f"backend 'cuda' cannot serve gillespie.simulate: {words}"
    assert str(caught.value).startswith(expected), caught.value
    assert str(caught.value).endswith("reference")
    assert "\n" not in str(caught.value)
    assert "cuda" not in dispatch.available("gillespie", "simulate", devices=True)
    with pytest.raises(kx.BackendError, match="backend 'cuda' cannot serve the call: "):
        load.device()


def test_a_missing_cupy_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    load.cupy.cache_clear()
    refused("CuPy is not installed (import of cupy halted; None in sys.modules): pip install 'kxfast[cuda]'")


def test_a_machine_that_has_all_is_served(monkeypatch):
    monkeypatch.setattr(load, "cupy", fake)
    assert load.missing() is None
    assert "cuda" in dispatch.available("gillespie", "simulate", devices=True)
    assert "cuda" not in dispatch.available("gillespie", "simulate")


def test_nothing_of_cuda_is_imported_before_it_is_asked_for():
    code = (
        "import sys, kxfast as kx\n"
        "net = kx.gillespie.ReactionNetwork({'A': 5}, ['A -> 0 @ 1'])\n"
        "kx.gillespie.simulate(net, [1.0])\n"
        "print(sorted(m for m in sys.modules if 'cupy' in m or 'backends.cuda' in m))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KXFAST_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch):
    made, compile_text = [], nvrtc.compile_text

    def counted(text, target):
        made.append(target)
        return compile_text(text, target)

    monkeypatch.setattr(nvrtc, "compile_text", counted)
    return made


def test_code_is_kept_by_source_target_and_version(folder, compilations, monkeypatch):
    first = nvrtc.compiled(TEXT.format(1), "sm_90a")
    assert first[:4] == b"\x7fELF"
    assert nvrtc.compiled(TEXT.format(1), "sm_90a") == first
    assert compilations == ["sm_90a"]
    assert nvrtc.compiled(TEXT.format(2), "sm_90a") != first
    assert b".target sm_80" in nvrtc.compiled(TEXT.format(1), "compute_80")
    assert len(compilations) == 3
    monkeypatch.setattr(nvrtc, "version", lambda: (13, 99))
    nvrtc.compiled(TEXT.format(1), "sm_90a")
    assert len(compilations) == 4
    assert sorted(path.suffix for path in folder.iterdir()) == [".cubin", ".cubin", ".cubin", ".ptx"]


def test_a_damaged_entry_is_made_anew(folder, compilations):
    code = nvrtc.compiled(TEXT.format(1), "sm_90a")
    (entry,) = folder.iterdir()
    for damage in entry.read_bytes()[:-1], b"", b"x" * 100:
        entry.write_bytes(damage)
        assert nvrtc.compiled(TEXT.format(1), "sm_90a") == code
    assert len(compilations) == 4
    assert [each.name for each in folder.iterdir()] == [entry.name]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, compilations, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KXFAST_CACHE_DIR", str(tmp_path / "file"))
    assert nvrtc.compiled(TEXT.format(1), "sm_90a") == nvrtc.compiled(TEXT.format(1), "sm_90a")
    assert len(compilations) == 2


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("KXFAST_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert nvrtc.cache_folder() == tmp_path / "kxfast" / "cuda"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert nvrtc.cache_folder() == tmp_path / ".cache" / "kxfast" / "cuda"


def test_a_source_that_is_none_is_said_in_one_line():
    with pytest.raises(
        kx.BackendError, match=r'cannot compile its source for sm_90a: .* identifier "y" is undefined'
    ) as e:
        nvrtc.compile_text(TEXT.format("y"), "sm_90a")
    assert "\n" not in str(e.value)


def test_a_missing_compiler_is_said_in_one_line(monkeypatch):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr(nvrtc, "find_spec", lambda name: None)
    monkeypatch.setattr(nvrtc.ctypes, "CDLL", absent)
    nvrtc.library.cache_clear()
    with pytest.raises(kx.BackendError, match="backend 'cuda' needs NVRTC 13, which is not installed: pip install"):
        nvrtc.library()


class Entered:
    """A context that notes when it is entered and left."""

    seen: ClassVar[list[str]] = []

    def __init__(self, *facts):
        self.facts = facts

    def __enter__(self):
        self.seen.append(f"in {self.facts}")

    def __exit__(self, *_):
        self.seen.append(f"out {self.facts}")


def test_the_stream_is_the_one_of_the_arrays_library(monkeypatch):
    device = Entered("device of the array")
    device.index = 3
    of = lambda library: type("Array", (), {"__module__": f"{library}.core", "device": device})()
    torch = SimpleNamespace(cuda=SimpleNamespace(current_stream=lambda where: SimpleNamespace(cuda_stream=77)))
    cp = SimpleNamespace(
        cuda=SimpleNamespace(Device=partial(Entered, "device"), ExternalStream=partial(Entered, "stream"))
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(load, "cupy", lambda: cp)
    for library, expected in (
        ("torch", ["in ('device', 3)", "in ('stream', 77)", "out ('stream', 77)", "out ('device', 3)"]),
        ("cupy", ["in ('device of the array',)", "out ('device of the array',)"]),
        ("numpy", []),
    ):
        Entered.seen.clear()
        with load.stream_of(of(library)):
            assert len(Entered.seen) == len(expected) // 2
        assert Entered.seen == expected


class FakeFunction:
    ptr = 7

    def __init__(self):
        self.launches = []

    def __call__(self, *arguments, **keywords):
        self.launches.append((*arguments, keywords))


def test_kernels_are_loaded_once_and_launched_with_the_shared_memory_they_need(folder, monkeypatch):
    """CuPy's part is played; what is handed to it is what its documentation says."""
    cp, function, loaded, granted = fake(), FakeFunction(), [], []

    class Module:
        def load(self, code):
            loaded.append(code)

        def get_function(self, name):
            assert name == "nothing"
            return function

    class Device:
        compute_capability, attributes, id = "90", {"MultiProcessorCount": 132}, 0

        def __init__(self, number=0):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    cp.cuda.Device, cp.cuda.function = Device, SimpleNamespace(Module=Module)
    cp.cuda.driver = SimpleNamespace(
        funcSetAttribute=lambda *each: granted.append(each),
        occupancyMaxActiveBlocksPerMultiprocessor=lambda function, threads, shared: 8,
    )
    cp.cuda.get_current_stream = lambda: SimpleNamespace(ptr=9)
    device = load.CuPyDevice(cp, 0)
    assert device.stream() == 9
    for shared in (0, 60_000, 50_000, 70_000):
        kernel = device.kernel(TEXT.format(1), "nothing")
        kernel(3, 64, shared, [np.int64(1)])
    assert [code[:4] for code in loaded] == [b"\x7fELF"]
    assert granted == [(7, 8, 60_000), (7, 8, 70_000)]
    assert function.launches[1] == ((3, 1, 1), (64, 1, 1), (np.int64(1),), {"shared_mem": 60_000})
    kernel(3, 64, 0, [np.int64(1)], together=True)
    assert function.launches[-1][-1] == {"shared_mem": 0, "enable_cooperative_groups": True}
    assert device.resident_blocks(kernel, 64, 0) == 8 * 132
    assert device.resident_blocks(kernel, 64, 80_000) == 8 * 132
    assert granted[-1] == (7, 8, 80_000)  # a kernel that may not have it counts as one that does not fit
    Device.compute_capability = "89"
    assert load.CuPyDevice(cp, 0).target == "compute_80"
