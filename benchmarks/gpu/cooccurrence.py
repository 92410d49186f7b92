"""Co-occurrence counts: the compiled CPU code's number by number; pairs a second, the reading of text left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import kxfast as kx
from benchmarks.gpu import with_jax
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import on_the_clock
from kxfast.backends.cuda import load
from kxfast.backends.cuda.cooccurrence import Counter

WINDOW, SENTENCE = 5, 20
SIZES = {"32-bit keys": 30_000, "64-bit keys": 100_000}


def corpus(seed: int, tokens: int, words: int) -> Any:
    """Return ids whose frequencies fall as those of words do, in sentences of 20."""
    rng = np.random.default_rng(seed)
    ids = (words ** rng.random(tokens, np.float32) - 1).astype(np.int32)
    ids[:: SENTENCE + 1] = -1
    ids[1] = words - 1
    return ids


def check(words: int, weighting: str, direction: str, seed: int, tokens: int = 2_000_000) -> Row:
    """Compare the counts of the GPU and of the CPU."""
    count = partial(
        kx.cooccurrence.count, corpus(seed, tokens, words), window=WINDOW, weighting=weighting, direction=direction
    )
    ours, theirs = (count(backend=backend).matrix for backend in ("cuda", "native"))
    for name in "indptr", "indices", "data":
        if not np.array_equal(getattr(ours, name), getattr(theirs, name)):
            raise AssertionError(f"{name} is not the CPU's; seed {seed}")
    return {"cells": int(ours.nnz), "tokens": tokens}


def _timed(words: int, backend: str, seed: int) -> Row:
    tokens = 2**26 if backend == "cuda" else 2**22
    ids = corpus(seed, tokens, words)
    found = on_the_clock(lambda: kx.cooccurrence.count(ids, window=WINDOW, backend=backend), 3)
    pairs = tokens // (SENTENCE + 1) * 2 * sum(SENTENCE - d for d in range(1, WINDOW + 1))
    return {**found, "pairs_per_second": pairs / found["seconds"], "tokens": tokens}


def _kernel(words: int, seed: int) -> Row:
    """Time what runs on the GPU alone: keys, their order, their runs."""
    tokens = 2**26
    counter = Counter(corpus(seed, tokens, words), words, WINDOW, None)
    device, kept = load.device(), {}

    def run() -> None:
        keys = device.empty(tokens * WINDOW, counter.kind)
        counter.keys(keys, 0, tokens, 1, WINDOW)
        kept["runs"] = device.runs(keys)

    found = on_the_clock(run)
    pairs = tokens // (SENTENCE + 1) * 2 * sum(SENTENCE - d for d in range(1, WINDOW + 1))
    return {**found, "pairs_per_second": pairs / found["seconds"], "tokens": tokens}


def _unique(words: int, seed: int) -> Row:
    """Time CuPy's own unique on pairs of the same number, which it makes by slices."""
    cp, tokens = load.cupy(), 2**24
    ids = cp.asarray(corpus(seed, tokens, words)).astype(cp.int64)

    def run() -> None:
        pairs = cp.concatenate([ids[:-d] * words + ids[d:] for d in range(1, WINDOW + 1)])
        cp.unique(pairs, return_counts=True)
        cp.cuda.Device().synchronize()

    found = on_the_clock(run)
    return {**found, "pairs_per_second": 2 * WINDOW * tokens / found["seconds"], "tokens": tokens}


def _jax(words: int, seed: int) -> Row:
    """Time JAX's own unique on the same."""
    jax, tokens = with_jax.imported(), 2**24
    call = with_jax.counts_of_pairs(corpus(seed, tokens, words), words, WINDOW)
    found = on_the_clock(lambda: jax.block_until_ready(call()))
    return {**found, "pairs_per_second": 2 * WINDOW * tokens / found["seconds"], "tokens": tokens}


def steps() -> list[Step]:
    """Return the steps of this path."""
    kinds = [(w, d) for w in ("uniform", "harmonic") for d in ("symmetric", "left", "right")]
    found = [
        Step("cooccurrence", "check", f"{label} {weighting} {direction}", partial(check, words, weighting, direction))
        for label, words in SIZES.items()
        for weighting, direction in kinds[: len(kinds) if words < 2**16 else 2]
    ]
    for label, words in SIZES.items():
        found += [
            Step("cooccurrence", "bench", label, partial(_kernel, words), "on the GPU alone"),
            Step("cooccurrence", "bench", label, partial(_timed, words, "cuda"), "to the matrix"),
            Step("cooccurrence", "peers", label, partial(_timed, words, "native"), "kxfast on the CPU"),
            Step("cooccurrence", "peers", label, partial(_unique, words), "cupy.unique"),
            Step("cooccurrence", "peers", label, partial(_jax, words), "jax.numpy.unique"),
        ]
    return found
