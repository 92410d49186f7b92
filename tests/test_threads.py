"""Threads: numbers honoured, same results for any, many callers at once, and after fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import SOON, seconds_to_interrupt

import kxfast as kx
from kxfast import settings

pytestmark = pytest.mark.skipif(settings.native() is None, reason="the compiled module is not installed")
RNG = np.random.default_rng(0)
W, U, V = RNG.standard_normal((700, 900)), RNG.standard_normal(700), np.zeros(900)
PRINT = "import kxfast as kx; print(kx.get_num_threads())"


@pytest.fixture(autouse=True)
def default_threads():
    yield
    kx.set_num_threads(None)


def printed(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True).stdout


def test_environment_sets_the_number():
    assert printed(PRINT, KXFAST_NUM_THREADS="3", OMP_NUM_THREADS="5").strip() == "3"
    assert printed(PRINT, OMP_NUM_THREADS="5,2").strip() == "5"
    assert printed(PRINT, OMP_NUM_THREADS="none").strip() == str(len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("wrong", ["none", "0", "-1", "1.5", "4,2", "1000000"])
def test_a_wrong_number_is_refused(wrong):
    clean = {**os.environ, "KXFAST_NUM_THREADS": wrong}
    answer = subprocess.run([sys.executable, "-c", PRINT], env=clean, capture_output=True, text=True, check=False)
    expected = f"ValueError: KXFAST_NUM_THREADS must be a whole number of at least 1; got {wrong!r}"
    assert answer.stderr.splitlines()[-1] == expected


def test_affinity_limits_the_number():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + PRINT
    assert printed(code).strip() == "1"


def test_threadpoolctl_governs():
    threadpoolctl = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    kx.set_num_threads(4)
    with threadpoolctl.threadpool_limits(1):
        assert kx.get_num_threads() == 1
    assert kx.get_num_threads() == 4
    with threadpoolctl.threadpool_limits(2, user_api="kxfast"):
        assert kx.get_num_threads() == 2


@pytest.mark.parametrize("n", [1, 2, 3, 16])
def test_results_do_not_depend_on_the_number(n):
    kx.set_num_threads(1)
    sigma, u, v = kx.lipschitz.power_iteration(W, U, V, 3)
    kx.set_num_threads(n)
    again = kx.lipschitz.power_iteration(W, U, V, 3)
    assert again[0] == sigma
    np.testing.assert_array_equal(again[1], u)
    np.testing.assert_array_equal(again[2], v)


def test_hundreds_of_tasks_on_more_threads_than_shares():
    """A loop has at most 64 shares of tasks; who has none of his own helps with the others'."""
    x, weight = RNG.standard_normal((1, 40000, 16)), RNG.standard_normal((3, 16, 32))
    found = []
    for n in 1, 100:
        kx.set_num_threads(n)
        found.append(kx.conv.dilated_gated_conv1d(x, weight, np.zeros(32)))
    assert found[0].tobytes() == found[1].tobytes()
    assert np.isfinite(found[0]).all()


def test_many_callers_at_once():
    kx.set_num_threads(3)
    expected = kx.lipschitz.power_iteration(W, U, V, 2)[1]
    texts = ["天地玄黄宇宙洪荒" * 500] * 20
    lexicon = dict(kx.words.discover(texts, min_count=5, min_pmi=0))
    wrong = []

    def work(number: int) -> None:
        for _ in range(15):
            if number % 2:
                if not np.array_equal(kx.lipschitz.power_iteration(W, U, V, 2)[1], expected):
                    wrong.append(number)
            elif dict(kx.words.discover(texts, min_count=5, min_pmi=0)) != lexicon:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FORK = """
import os, sys, threading, numpy as np, kxfast as kx
kx.set_num_threads(3)
w, u, v = np.ones((700, 900)), np.ones(700), np.zeros(900)
before = kx.lipschitz.power_iteration(w, u, v, 2)[0]
def call():
    assert kx.lipschitz.power_iteration(w, u, v, 2)[0] == before
busy = threading.Event()
def keep_calling():
    while not busy.is_set(): call()
other = threading.Thread(target=keep_calling)
other.start()  # so that the fork falls into the middle of a call
for _ in range(20):
    child = os.fork()
    if child == 0:
        call()
        threads = len(os.listdir("/proc/self/task"))
        os._exit(0 if threads == 3 else 100 + threads)  # the child's pool has threads of its own
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status: break
busy.set()
other.join()
call()
sys.exit(status)
"""


def test_a_forked_child_works():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


def test_fork_pools_of_multiprocessing_work():
    code = """
import multiprocessing, kxfast as kx
kx.set_num_threads(2)
texts = ["天地玄黄宇宙洪荒" * 500] * 20
def count(_): return len(kx.words.discover(texts, min_count=5, min_pmi=0))
expected = count(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(count, range(4)) == [expected] * 4
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


COUNTING = """
import numpy as np, kxfast as kx
codes = np.random.default_rng(0).integers(0x4E00, 0x9000, 30_000_000, dtype=np.uint32)
text = codes.tobytes().decode("utf-32-le")
"""


@pytest.mark.alone
def test_ctrl_c_stops_counting():
    took = seconds_to_interrupt(COUNTING, "kx.words.count_ngrams([text], max_order=8, min_count=2, threads=1)", 0.5)
    assert took < SOON
