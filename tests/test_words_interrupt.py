"""Long native work hears Ctrl-C in its midst, not only when it is over."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

pytestmark = [
    pytest.mark.skipif(
        "native" not in " ".join(cases.engines("words.count_ngrams")), reason="the compiled module is not installed"
    ),
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers that send signals"),
]
CALLS = {
    "counting": lambda text, ngrams: kx.words.count_ngrams(text, max_order=6),
    "KenLM's counting": lambda text, ngrams: kx.words.count_ngrams(text, counts="kenlm"),
    "discovery": lambda text, ngrams: kx.words.discover(text, min_count=2, min_pmi=0),
    "a report": lambda text, ngrams: kx.words.discover(text, min_count=2, min_pmi=0, report=True),
    "minimum entropy": lambda text, ngrams: kx.words.discover(text, method="minimum_entropy", min_proba=0.0),
    "entropies": lambda text, ngrams: kx.words.count_ngrams(text, max_order=3, entropies=True),
    "cohesion": lambda text, ngrams: ngrams.cohesion(5),
    "adding": lambda text, ngrams: ngrams + ngrams,
    "strings": lambda text, ngrams: ngrams.ngrams(5),
}


@pytest.fixture(scope="module")
def counted():
    codes = 0x4E00 + np.random.default_rng(2).integers(0, 3000, 800_000)
    text = [codes.astype("<u4").tobytes().decode("utf-32-le")]
    return text, kx.words.count_ngrams(text, max_order=5)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.alone
def test_a_call_ends_early(counted, name):
    call, interrupted = CALLS[name], []
    begin = time.monotonic()
    call(*counted)
    whole = time.monotonic() - begin
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(10):  # a busy machine may be late a few times, never always
            begin = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, whole / 20)
            with pytest.raises(KeyboardInterrupt):
                call(*counted)
            interrupted.append(time.monotonic() - begin)
            if min(interrupted) < 0.6 * whole:
                return
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pytest.fail(f"a call of {whole:.2f} s went on for {min(interrupted):.2f} s after Ctrl-C")
