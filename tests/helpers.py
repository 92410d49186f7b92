"""What tests of several stems use."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import numpy as np


def numbers(printed: str) -> np.ndarray:
    """Numbers as a specification prints them."""
    return np.array(printed.split(), dtype=float)


def numerical_gradient(function, arrays, place, grad, step=1e-3):
    """Gradient of sum(grad * function(*arrays)) for one of `arrays`, by a central difference of sixth order."""
    result = np.zeros_like(arrays[place])
    for index in np.ndindex(arrays[place].shape):
        for k, weight in (1, 3 / 4), (2, -3 / 20), (3, 1 / 60):
            for sign in 1, -1:
                moved = list(arrays)
                moved[place] = arrays[place].copy()
                moved[place][index] += sign * k * step
                result[index] += sign * weight / step * np.sum(grad * function(*moved))
    return result


def assert_gradients(function, arrays, grad, gradients, tolerance=1e-7):
    """Assert that `gradients` are those of sum(grad * function(*arrays)), relative to the largest of each array."""
    for place, gradient in enumerate(gradients):
        expected = numerical_gradient(function, arrays, place, grad)
        assert np.shape(gradient) == expected.shape
        scale = max(np.max(np.abs(expected)), 1e-3)
        np.testing.assert_allclose(gradient, expected, atol=tolerance * scale, rtol=0)


SOON = 3.0  # seconds: 0.2 where nothing else runs, and less than the calls last that hear nothing


def seconds_to_interrupt(setup: str, call: str, delay: float) -> float:
    """Send Ctrl-C to a process that runs `call`, `delay` seconds after it began; return how long it went on."""
    code = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
{setup}
print("ready", flush=True)
try:
    {call}
    print("done", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(delay)
            start = time.perf_counter()
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            return time.perf_counter() - start
        finally:
            watchdog.cancel()
            process.kill()
