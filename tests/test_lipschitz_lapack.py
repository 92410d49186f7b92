"""Stacks of matrices dealt out among threads: results in their order, errors raised, Ctrl-C heard at any moment."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch

if isinstance(dispatch.load("lipschitz", "native"), str):
    pytest.skip("needs the compiled module", allow_module_level=True)

from kxfast.backends.native.lipschitz import lapack


@pytest.fixture(params=[1, 2, 5])
def threads(request, monkeypatch):
    before = kx.get_num_threads()
    kx.set_num_threads(request.param)
    monkeypatch.setattr(lapack, "MOMENT", 1.0)  # many pieces
    yield request.param
    kx.set_num_threads(before)


def ended(count):
    """Wait until no thread is left that was not there before."""
    end = time.monotonic() + 5
    while _thread._count() > count and time.monotonic() < end:
        time.sleep(0.001)
    return _thread._count() <= count


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_results_stand_in_their_order(threads, size):
    stack = np.random.default_rng(0).standard_normal((size, 4, 3))
    before = _thread._count()
    np.testing.assert_array_equal(lapack.dealt(lambda part: part.sum(2), stack), stack.sum(2))
    assert ended(before)


def test_an_error_is_raised_and_ends_the_work(threads):
    seen, before = [], _thread._count()

    def fails(part):
        seen.append(len(part))
        raise np.linalg.LinAlgError("not right")

    with pytest.raises(np.linalg.LinAlgError, match="not right"):
        lapack.dealt(fails, np.ones((400, 3, 3)))
    assert ended(before)
    assert len(seen) < 400


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to a thread")
def test_ctrl_c_is_heard_at_any_moment(threads):
    main, before = threading.main_thread().ident, signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, count = np.random.default_rng(0), _thread._count()

    def interrupts(part):
        time.sleep(pause)
        if not sent:
            sent.append(True)
            signal.pthread_kill(main, signal.SIGINT)
        return part

    try:
        for _ in range(100):
            sent, pause = [], 1e-4 * rng.random()
            with pytest.raises(KeyboardInterrupt):
                lapack.dealt(interrupts, np.ones((400, 1, 1)))
            assert ended(count)
    finally:
        signal.signal(signal.SIGINT, before)
