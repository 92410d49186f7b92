"""The choice of the backend: argument, block, process, place; and the twin interface in pure NumPy."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch, settings

W, U, V = np.eye(2), np.ones(2), np.ones(2)


def run(code, backend):
    environment = {**os.environ, "KXFAST_BACKEND": backend}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def broken(name):
    raise ImportError("undefined symbol: sort")


def chosen(backend=None):
    return dispatch.implementation("lipschitz", "power_iteration", backend, "d").__module__


@pytest.mark.skipif(settings.native() is None, reason="the compiled module is not installed")
def test_the_fastest_that_is_able_is_chosen():
    assert not chosen().startswith("kxfast.backends.reference")


def test_argument_block_and_process(monkeypatch):
    reference = "kxfast.backends.reference"
    assert chosen("reference").startswith(reference)
    with kx.use_backend("reference"):
        assert chosen().startswith(reference)
        with pytest.raises(kx.BackendError):
            chosen("numba")
    code = "import sys; sys.path[:0] = ['tests']; from test_dispatch import chosen; print(chosen())"
    assert run(code, "reference").stdout.startswith(reference)


def test_wrong_process_backend_is_refused():
    call = "import kxfast as kx; kx.masks.causal().to_dense(1, 1, 2, 2); kx.words.count_ngrams(['a'])"
    last = run(call, "fast").stderr.splitlines()[-1]
    assert last == "ValueError: KXFAST_BACKEND must be one of native, numba, cuda, reference; got 'fast'"


def test_a_backend_asked_for_by_name_raises_and_says_which_can():
    with pytest.raises(
        kx.BackendError, match=r"backend 'cuda' cannot serve lipschitz.power_iteration: .*; available: "
    ):
        kx.lipschitz.power_iteration(W, U, V, backend="cuda")


def test_one_thread_choice_does_not_leak_into_another():
    import threading

    seen = []
    with kx.use_backend("reference"):
        thread = threading.Thread(target=lambda: seen.append(settings.forced_backend.get()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_the_twin_interface_runs_the_same_program():
    twin = kx.reference
    assert twin.lipschitz.power_iteration(W, U, V)[0] == pytest.approx(kx.lipschitz.power_iteration(W, U, V)[0])
    for namespace in kx.NAMESPACES:
        for name in getattr(kx, namespace).__all__:
            assert hasattr(getattr(twin, namespace), name)


class OnDevice:
    """Stands for an array in the memory of a GPU."""

    device = "cuda:0"

    def __dlpack_device__(self):
        return (2, 0)


def test_an_array_on_a_device_is_never_copied_in_silence():
    with pytest.raises(TypeError, match=r"weight must be in host memory .*; got \w+.OnDevice on cuda:0"):
        kx.lipschitz.power_iteration(OnDevice(), U, V)


def test_arrays_of_other_libraries_come_back_as_their_kind():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    sigma, u, _ = kx.lipschitz.power_iteration(torch.eye(2), torch.ones(2), torch.ones(2))
    assert isinstance(u, torch.Tensor)
    assert float(sigma) == pytest.approx(1)


def test_a_broken_compiled_module_is_told(monkeypatch):
    """Such as one built for an older version of the package: slower is not the same as silent."""
    monkeypatch.setattr(dispatch, "import_module", broken)
    dispatch.load.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"backend 'native' cannot load words: undefined symbol: sort; other"):
        assert dispatch.load("words", "native") == "undefined symbol: sort"
    dispatch.load.cache_clear()


def test_available():
    assert kx.available()[-1] == "reference"
    assert kx.available("lipschitz.power_iteration")[-1] == "reference"
    with pytest.raises(ValueError, match=r"operation must be 'stem.function'"):
        kx.available("lipschitz.power")


def test_info_is_told_in_lines():
    text = str(kx.info())
    for word in ("kxfast", "instruction set", "threads", "backend native", "backend reference"):
        assert word in text


def test_info_says_why_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr("kxfast.backends.cuda.load.missing", lambda: "there is no GPU")
    assert kx.info().backends["cuda"] == "serves nothing here: there is no GPU"


def test_import_is_light():
    code = (
        "import sys, numpy, kxfast; print(sorted({m.split('.')[0] for m in sys.modules} & {'scipy', 'torch', 'numba'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
