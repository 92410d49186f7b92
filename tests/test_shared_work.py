"""Work dealt out among threads: results in their order, errors raised, Ctrl-C heard at any moment."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time

import numpy as np
import pytest

from kxfast import dispatch
from kxfast.threads import shared


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = _thread._count()
    yield request.param
    assert ended(before)


def ended(count):
    """Wait for the last steps of threads; return whether none is left that was not there before."""
    end = time.monotonic() + 5
    while _thread._count() > count and time.monotonic() < end:
        time.sleep(0.001)
    return _thread._count() <= count


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_results_stand_in_their_order(threads, size):
    def square(number):
        time.sleep(1e-4 * (number % 3))
        return number * number

    assert shared(square, range(size), threads) == [n * n for n in range(size)]


def test_the_first_error_is_raised_and_nothing_more_is_begun(threads):
    seen = []

    def fails(number):
        seen.append(number)
        time.sleep(0.02 if number == 0 else 0.0)  # the first ends last
        raise ValueError(f"not {number}")

    with pytest.raises(ValueError, match="not 0"):
        shared(fails, range(400), threads)
    assert sorted(seen) == list(range(len(seen)))
    assert len(seen) <= threads


def test_the_caller_is_heard_meanwhile(threads):
    main, calls = threading.get_ident(), []

    def meanwhile():
        assert threading.get_ident() == main
        calls.append(len(done))

    done = []
    shared(lambda number: (time.sleep(0.06), done.append(number)), range(4), threads, meanwhile)
    assert calls[0] < 4
    assert calls[-1] == 4


def test_an_error_of_the_caller_ends_what_runs(threads):
    ended = threading.Event()

    def meanwhile():
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        shared(lambda number: ended.wait(20), range(40), threads, meanwhile, ended.set)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to a thread")
def test_ctrl_c_is_heard_at_any_moment(threads):
    main, before = threading.main_thread().ident, signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, count = np.random.default_rng(0), _thread._count()

    def interrupts(number):
        time.sleep(pause)
        if not sent:
            sent.append(True)
            signal.pthread_kill(main, signal.SIGINT)
        seen.append(number)

    try:
        for _ in range(100):
            sent, seen, pause = [], [], 1e-4 * rng.random()
            with pytest.raises(KeyboardInterrupt):
                shared(interrupts, range(400), threads, meanwhile=rng.choice([None, lambda: None]))
            assert ended(count)
            assert len(seen) < 400
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("size", [0, 1, 2, 40])
def test_stacks_for_lapack_stay_whole(monkeypatch, size):
    if isinstance(dispatch.load("lipschitz", "native"), str):
        pytest.skip("needs the compiled module")
    from kxfast.backends.native.lipschitz import lapack

    monkeypatch.setattr(lapack, "MOMENT", 1.0)  # many pieces
    stack = np.random.default_rng(0).standard_normal((size, 4, 3))
    np.testing.assert_array_equal(lapack.dealt(lambda part: part.sum(2), stack), stack.sum(2))
