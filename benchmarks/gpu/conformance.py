"""What the words of ``cuda/`` mean, by NumPy: run on a GPU by this command, in the emulation by the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu.plan import Row, Step
from kxfast.backends.cuda import load

SOURCE = Path(__file__).with_suffix(".cu")
_ROWS, _COLUMNS, _DEPTH = 96, 8, 80


class Case(NamedTuple):
    """A kernel of conformance.cu; `run` gets its launch and the device, and returns (found, expected, tolerance)."""

    name: str
    run: Callable[[Callable[..., None], Any, np.random.Generator], tuple[Any, Any, float]]
    hopper: bool = False  # no other chip has the instructions


def _launch(
    kernel: Any, device: Any, shape: tuple[int, int, int], arguments: Sequence[Any], *outputs: Any
) -> list[Any]:
    kernel(*shape, arguments)
    return [device.download(x) for x in outputs]


def stream_words(seed: int, index: int, count: int) -> list[int]:
    """Return the first numbers of stream (seed, index): Philox4x32-10 starts xoshiro256++ (csrc/core/random.hpp)."""
    mask, state = 2**64 - 1, []
    for part in (0, 1):
        w0, w1, w2, w3 = part, 0, index % 2**32, index >> 32
        for i in range(10):
            a, b = 0xD2511F53 * w0, 0xCD9E8D57 * w2
            keys = (seed + 0x9E3779B9 * i) % 2**32, ((seed >> 32) + 0xBB67AE85 * i) % 2**32
            w0, w1, w2, w3 = b >> 32 ^ w1 ^ keys[0], b % 2**32, a >> 32 ^ w3 ^ keys[1], a % 2**32
        state += [w1 << 32 | w0, w3 << 32 | w2]
    words, turn = [], lambda x, by: (x << by | x >> (64 - by)) & mask
    for _ in range(count):
        s0, s1, s2, s3 = state
        words.append((turn((s0 + s3) & mask, 23) + s0) & mask)
        s2, s3 = s2 ^ s0, s3 ^ s1
        state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17 & mask), turn(s3, 45)]
    return words


def _streams(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    from kxfast.backends.native.gillespie import exponential

    seed = int(rng.integers(2**63))
    words, logs = device.empty((96, 8), np.uint64), device.empty(96, np.float64)
    found = _launch(kernel, device, (3, 32, 256), [np.uint64(seed), words, logs], words, logs)
    rows = [stream_words(seed, i, 9) for i in range(96)]
    expected = np.array([row[:8] for row in rows], np.uint64), np.array([exponential(row[8]) for row in rows])
    return *(b"".join(x.tobytes() for x in each) for each in (found, expected)), 0


def _lanes(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    x, lane = rng.integers(0, 2**32, 32, np.uint32), np.arange(32)
    out = device.empty((6, 32), np.uint32)
    (found,) = _launch(kernel, device, (1, 32, 0), [device.upload(x), out], out)
    half = lane[:, None] // 16 == lane // 16
    vote, match = (x & 1).astype(bool) & half, (x[:, None] % 4 == x % 4) & half
    expected = [
        x[x % 32],
        x[np.where(lane + 3 < 32, lane + 3, lane)],
        x[np.where(lane >= 5, lane - 5, lane)],
        x[lane ^ 9],
    ]
    return found, np.array([*expected, *((rows * (1 << lane)).sum(1) for rows in (vote, match))], np.uint32), 0


def _block_sums(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    x, out = rng.integers(0, 1000, (5, 128), np.uint32), device.empty((2, 5), np.uint32)
    (found,) = _launch(kernel, device, (5, 128, 128), [device.upload(x), out], out)
    return found, np.array([x.sum(1), (x & 1).sum(1)], np.uint32), 0


def _products(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    a, b = (
        (rng.standard_normal((rows, _DEPTH)).astype(np.float32)).view(np.uint32) >> 16 for rows in (_ROWS, _COLUMNS)
    )
    out = device.empty((_ROWS, _COLUMNS), np.float32)
    halves = [device.upload(x.astype(np.uint16)) for x in (a, b)]
    (found,) = _launch(kernel, device, (_ROWS // 32, 64, 2560), [*halves, out, np.int64(_DEPTH)], out)
    left, right = ((x << 16).view(np.float32).astype(np.float64) for x in (a, b))
    return found, left @ right.T, 1e-4


def _transposed(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    x, out = rng.integers(0, 2**16, (4, 8, 8), np.uint16), device.empty((32, 4), np.uint32)
    (found,) = _launch(kernel, device, (1, 32, 512), [device.upload(x), out], out)
    lane = np.arange(32)
    low, high = (x[:, 2 * (lane % 4) + j, lane // 4].astype(np.uint32) for j in (0, 1))
    return found, (low | high << 16).T, 0


def _halves(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    x = (rng.standard_normal(64) * 4.0 ** rng.integers(-10, 6, 64)).astype(np.float32)
    x[:6] = np.inf, -np.inf, 0, -200, 70000, 1 + 2**-9  # too small for a power, too large for float16, halfway
    pairs, back = device.empty((2, 32), np.uint32), device.empty((32, 4), np.float32)
    found = _launch(kernel, device, (1, 32, 0), [device.upload(x), pairs, back], pairs, back)
    bits = x.view(np.uint32)
    brain = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    with np.errstate(over="ignore"):
        half, powers = x.astype(np.float16), np.exp2(x[::2].astype(np.float64))
    expected = np.array([each[::2] | each[1::2] << 16 for each in (brain, half.view(np.uint16).astype(np.uint32))])
    powers[powers < 2.0**-126], powers[powers >= 2.0**128] = 0, np.inf
    wide = np.stack([*half.astype(np.float64).reshape(32, 2).T, (brain << 16).view(np.float32)[::2], powers], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.where(found[1] == wide, 0, np.abs(found[1] / wide - 1))
    off[:, :3] += found[1][:, :3] != wide[:, :3]
    return np.append(off.max(), found[0] != expected), np.zeros(65), 2.0**-21


def _product_f16(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    a, b = (rng.standard_normal((rows, 16)).astype(np.float16) for rows in (16, 8))
    out = device.empty((16, 8), np.float32)
    halves = [device.upload(x.view(np.uint16)) for x in (a, b)]
    (found,) = _launch(kernel, device, (1, 32, 768), [*halves, out], out)
    return found, a.astype(np.float64) @ b.astype(np.float64).T, 1e-5


def _group_products(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    depth = 320
    a, b = ((rng.standard_normal((64, depth)).astype(np.float32)).view(np.uint32) >> 16 for _ in range(2))
    out = device.empty((64, 64), np.float32)
    halves = [device.upload(x.astype(np.uint16)) for x in (a, b)]
    (found,) = _launch(kernel, device, (1, 128, 32768), [*halves, out, np.int64(depth)], out)
    left, right = ((x << 16).view(np.float32).astype(np.float64) for x in (a, b))
    return found, left @ right.T, 5e-4


def _group_factors(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    brain = int(rng.integers(2))
    wide = [rng.standard_normal((rows, 64)).astype(np.float32) for rows in (64, 128)]
    if brain:
        halves = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in wide]
        exact = [(x.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for x in halves]
    else:
        halves = [x.astype(np.float16).view(np.uint16) for x in wide]
        exact = [x.view(np.float16).astype(np.float64) for x in halves]
    out = device.empty((6, 64, 128), np.float32)
    arguments = [*map(device.upload, halves), out, np.uint32(brain)]
    (found,) = _launch(kernel, device, (1, 128, 49152), arguments, out)
    return found, np.broadcast_to(exact[0] @ exact[1].T, found.shape), 1e-4


def _relay(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    x = rng.integers(0, 2**20, (11, 32)).astype(np.uint32)
    out = device.empty((2, 32), np.uint32)
    (found,) = _launch(kernel, device, (1, 96, 288), [device.upload(x), out, np.int64(11)], out)
    sums = np.zeros(32, np.uint32)
    for row in x:
        sums = sums * np.uint32(3) + row[::-1]
    return found, np.stack([sums, sums]), 0


def _rounds(kernel: Any, device: Any, rng: np.random.Generator) -> tuple[Any, Any, float]:
    n = min(device.resident_blocks(kernel, 32, 0), 200)
    values = np.zeros((4, n), np.uint32)
    values[0] = rng.integers(0, 2**31, n)
    there = device.upload(values)
    kernel(n, 32, 0, [there, device.scratch(1, np.uint32)], together=True)
    return device.download(there), np.stack([np.roll(values[0], -i) + i for i in range(4)]), 0


CASES = (
    Case("streams", _streams),
    Case("lanes", _lanes),
    Case("block_sums", _block_sums),
    Case("products", _products),
    Case("transposed", _transposed),
    Case("halves", _halves),
    Case("product_f16", _product_f16),
    Case("group_products", _group_products, hopper=True),
    Case("group_factors", _group_factors, hopper=True),
    Case("relay", _relay, hopper=True),
    Case("rounds", _rounds),
)


def check(case: Case, device: Any, seed: int, text: str | None = None) -> float:
    """Return the largest difference, or raise AssertionError if it is above the tolerance."""
    kernel = device.kernel(SOURCE.read_text() if text is None else text, case.name)
    found, expected, tolerance = case.run(kernel, device, np.random.default_rng(seed))
    if isinstance(found, bytes):
        error = float(found != expected)
    else:
        error = float(np.max(np.abs(found.astype(np.float64) - expected)))
    if not error <= tolerance:
        raise AssertionError(f"{case.name} differs by {error:.3g}, at most {tolerance:.3g} is right; seed {seed}")
    return error


def steps() -> list[Step]:
    """Return the steps of this path."""

    def run(case: Case, seed: int) -> Row:
        device = load.device()
        if case.hopper and getattr(device, "target", "") != "sm_90a":
            return {"skipped": "no Hopper"}
        return {"error_found": check(case, device, seed)}

    return [Step("conformance", "conformance", case.name, partial(run, case)) for case in CASES]
