"""What attention does where memory ends, and how near its exponentials are."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases, settings

ENGINES = [each for each in cases.engines("attention.scaled_dot_product_attention") if each != "reference"]
LIMITED = """
import resource
import sys
import threading
import numpy as np
import kxfast as kx
heads, length = map(int, sys.argv[1:3])
x = np.random.default_rng(0).standard_normal((4, 1, heads, length, 64), np.float32)
q, k, v, grad = x
attend, back = kx.attention.scaled_dot_product_attention, kx.attention.scaled_dot_product_attention_backward
small = [each[:, :, :80] for each in x]
def work(x):
    out, lse = attend(*x[:3], return_lse=True)
    back(x[3], *x[:3], out, lse)
work(small)  # threads begin
blocks = [bytes(3000) for _ in range(4000)]
del blocks[::2]  # holes that serve whoever needs a little memory to tell that there is none
out, lse = np.empty_like(v), np.zeros(q.shape[:3], np.float32)
calls = {"forward": lambda: attend(q, k, v, out=out), "backward": lambda: back(grad, q, k, v, out, lse)}
call = calls[sys.argv[3]]
most = resource.getrlimit(resource.RLIMIT_AS)[1]
failed = 0
def grow():
    global failed
    work(small)
    for room in range(0, 64 << 20, 16 << 10):
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, most))
        try:
            return call()
        except MemoryError:
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
threading.stack_size(4 << 20)  # the first thread's stack grows, which the limit forbids
thread = threading.Thread(target=grow)
thread.start()
thread.join()
call()
print(failed)
"""


@pytest.mark.skipif(settings.native() is None, reason="the compiled module is not installed")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited as Linux does it")
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer ends without memory")
@pytest.mark.parametrize(
    ("way", "heads", "length"),
    [("forward", 16, 448), ("forward", 2, 8192), ("backward", 16, 448), ("backward", 16, 1024)],  # heads, then blocks
)
def test_shortage_of_memory_in_a_task_is_told(way, heads, length):
    """The room grows until the call fits in: somewhere on the way it ends inside of tasks, on two threads."""
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, str(heads), str(length), way],
        env={
            **os.environ,
            "KXFAST_NUM_THREADS": "2",
            "KXFAST_BACKEND": "native",
            "MALLOC_ARENA_MAX": "1",  # threads have no memory in store
            "MALLOC_MMAP_THRESHOLD_": "4096",
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 0


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("few", [False, True], ids=["many queries", "one query"])
def test_exponentials_are_right_to_less_than_two_units_in_the_last_place(name, few):
    """One key scores 0, the other x < -25, in units of log 2: the sum of weights is 1, the result is 2^x."""
    x = -np.random.default_rng(0).uniform(26, 126, 3_000 if few else 300_000).astype(np.float32)
    keys = np.array([0, 1], np.float32).reshape(1, 1, 2, 1)
    q, batch = (x.reshape(-1, 1, 1, 1), len(x)) if few else (x.reshape(1, 1, -1, 1), 1)
    k = np.broadcast_to(keys, (batch, 1, 2, 1))
    with cases.engine(name):
        found = kx.attention.scaled_dot_product_attention(q, k, k, scale=float(np.log(2))).ravel()
    exact = np.exp2(x.astype(np.float64))
    units = np.abs(found - exact) / np.spacing(exact.astype(np.float32))
    assert units.max() < 1.5  # 1.15 is found; a polynomial of one degree less gives 2.0 and more
