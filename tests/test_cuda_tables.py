"""Times on a GPU, the floors they are told beside, and the table that is made of them."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_emulation import GpuArray, emulated

import kxfast as kx
from benchmarks import tables_gpu
from benchmarks.gpu import attention, conv, floors, lipschitz, timing
from benchmarks.gpu.checks import distance, judged

MACHINE = {"gpu": "NVIDIA X", "nvrtc": "13.0", "date": "2000-01-01", "commit": "0123456789abcdef"}
ROWS = [
    {"key": "conv check A", "job": "conv, A", "who": "", "error": 1e-3, "tolerance": 1e-2},
    {"key": "conv check B", "failed": "AssertionError: an error of 1"},
    {"key": "conv peers 9 JAX", "missing": "No module named 'jax'"},
    {"key": "conv bench 9", "job": "conv, 9", "who": "", "seconds": 2e-3, "floor": 1e-3, "bound": "products",
     "percent_of_floor": 50.0, "teraflops": 400.0},
    {"key": "conv peers 9 torch", "job": "conv, 9", "who": "torch", "seconds": 3e-3, "teraflops": 266.7},
    {"key": "words bench x to tables", "job": "words, x", "who": "to tables", "seconds": 8.0,
     "characters_per_second": 4e9},
    {"key": "words bench x alone", "job": "words, x", "who": "alone", "seconds": 4.0, "characters_per_second": 8e9},
    {"key": "attention bench m", "job": "attention, m", "who": "", "seconds": 1.1, "over_density": 1.1},
    {"key": "attention peers m plain", "job": "attention, m", "who": "plain", "seconds": 2.2, "over_density": 1.3},
    {"key": "words peers x CPU", "job": "words, x", "who": "CPU", "seconds": 2.0, "characters_per_second": 1e9},
]  # fmt: skip


def test_the_table_compares_by_work_and_says_what_failed():
    lines = tables_gpu.tables([{"machine": MACHINE, "rows": ROWS}]).splitlines()
    assert "1 checks passed; 1 steps failed: conv check B (AssertionError: an error of 1)." in lines
    assert lines[0].startswith("`python -m benchmarks.gpu all` on an NVIDIA X, NVRTC 13.0, 2000-01-01, at 012345678;")
    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| conv, 9 | **kxfast** | 2 | 400 TFLOP/s | 50 (products) |  |",
        "| conv, 9 | torch | 3 | 267 TFLOP/s |  | 1.50 |",
        "| words, x | **kxfast to tables** | 8000 | 4 G characters/s |  |  |",
        "| words, x | **kxfast alone** | 4000 | 8 G characters/s |  |  |",
        "| words, x | CPU | 2000 | 1 G characters/s |  | 4.00 |",
        "| attention, m | **kxfast** | 1100 |  |  |  |",
        "| attention, m | plain | 2200 |  |  | 2.00 |",
    ]
    assert lines[-1] == "Time with a mask, over its share of pairs of the time without one: attention, m 1.10."


def test_without_results_nothing_is_claimed():
    assert tables_gpu.tables([]) == tables_gpu.NOTHING


def test_a_floor_is_the_later_of_products_and_memory(monkeypatch):
    monkeypatch.setattr(floors, "teraflops", {"bf16": 100.0, "fp32": 10.0}.__getitem__)
    monkeypatch.setattr(floors, "terabytes_per_second", lambda: 2.0)
    row = floors.told({"seconds": 1.0, "p10": 0.5}, operations=25e12, moved=1e12)
    assert row == {
        "seconds": 1.0, "p10": 0.5, "teraflops": 25.0, "terabytes_per_second": 1.0, "floor": 0.5, "bound": "memory",
        "percent_of_floor": 50.0,
    }  # fmt: skip
    row = floors.told({"seconds": 5.0}, operations=25e12, moved=1e12, kind="fp32")
    assert (row["floor"], row["bound"], row["percent_of_floor"]) == (2.5, "products", 50.0)


def test_a_mask_is_told_beside_its_share_of_all_pairs(monkeypatch):
    def timed(case, backward, seed):
        return {"seconds": 6.6, "density": 0.6} if case.mask(8) is not None else {"seconds": 10.0, "density": 1.0}

    monkeypatch.setattr(attention, "_timed", timed)
    assert attention._ours("64 causal", True, 3)["over_density"] == pytest.approx(1.1)
    assert "over_density" not in attention._ours("64 full", True, 3)


class Clock:
    """Plays CuPy: an event takes the time when it is recorded; a fill takes 7 ms, the n-th call n ms."""

    def __init__(self):
        self.now, self.calls, self.streams = 0.0, 0, []
        self.cuda = SimpleNamespace(Event=self._event, ExternalStream=self._stream, get_elapsed_time=self._between)

    def _event(self):
        event = SimpleNamespace(synchronize=lambda: None)
        event.record = lambda: setattr(event, "at", self.now)
        return event

    def _stream(self, stream):
        self.streams.append(stream)
        return nullcontext()

    def _between(self, begin, end):
        return end.at - begin.at

    def empty(self, size, dtype):
        assert size == timing.CLEARED
        return SimpleNamespace(fill=lambda value: setattr(self, "now", self.now + 7))

    def call(self):
        self.calls += 1
        self.now += self.calls


def test_what_clears_the_cache_is_not_timed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.load, "cupy", lambda: clock)
    row = timing.repeated(clock.call, stream=5, repetitions=5)
    assert clock.streams == [5]
    assert clock.calls == 13  # 3 to warm up, 5 in either pass
    assert row["passes"] == pytest.approx([6e-3, 11e-3])
    assert row["seconds"] == pytest.approx(8.5e-3)
    assert (row["p10"], row["p90"]) == pytest.approx((5e-3, 12e-3))


def test_a_nan_is_no_small_error():
    assert judged([0.1, 0.2], 0.2, 5) == {"error": 0.2, "tolerance": 0.2}
    for errors in [0.1, np.nan], [np.nan, 0.1], [0.1, 0.3]:
        with pytest.raises(AssertionError, match=r"at most 0\.2 is right; seed 5"):
            judged(errors, 0.2, 5)
    assert not distance(np.array([1.0, np.nan]), np.ones(2)) <= 1e9


PATHS = {
    "attention": (kx.attention, "scaled_dot_product_attention_backward", 2,
                  lambda put: attention.check("odd heads", "float64", "causal", 3, put)),
    "conv": (kx.conv, "dilated_gated_conv1d_backward", 1,
             lambda put: conv.check("odd sizes and a shortcut", "float64", 3, put)),
    "lipschitz": (kx.lipschitz, "spectral_normalize", 0, lambda put: lipschitz.check("odd shapes", "d", 3, put)),
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_nan_in_one_of_the_results_is_found(path, monkeypatch):
    space, name, which, check = PATHS[path]
    serve, put = getattr(space, name), lambda x: GpuArray(x.copy())

    def spoilt(*arrays, **options):
        found = serve(*arrays, **options)
        first = arrays[0][0] if isinstance(arrays[0], list) else arrays[0]
        if isinstance(first, GpuArray):
            one = found[which][-1] if isinstance(found[which], list) else found[which]
            one.memory.reshape(-1)[-1] = np.nan
        return found

    with emulated(orders=[0]):
        check(put)
        monkeypatch.setattr(space, name, spoilt)
        with pytest.raises(AssertionError, match="an error of nan"):
            check(put)
