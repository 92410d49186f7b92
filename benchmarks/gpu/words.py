"""Counts of n-grams with the entropies on both sides: the compiled CPU code's; characters a second."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu import with_jax
from benchmarks.gpu.checks import judged
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import on_the_clock
from kxfast.backends.cuda import load
from kxfast.backends.cuda.words import counted, entropies_of
from kxfast.backends.cuda.words_order import Text
from kxfast.dispatch import implementation

ORDER, MIN_COUNT, RUN = 4, 32, 12
ALPHABETS = {"keys of one word": 4_000, "keys of two words": 9_000}
TOLERANCE = 1e-12


def corpus(seed: int, characters: int, letters: int) -> Any:
    """Return characters whose frequencies fall as those of a language do, in runs of 12."""
    rng = np.random.default_rng(seed)
    codes = (0x4E00 + letters ** rng.random(characters, np.float32) - 1).astype(np.uint32)
    codes[1:] = np.where(rng.random(characters - 1) < 0.3, codes[:-1] ^ 1, codes[1:])  # some pairs are words
    codes[:: RUN + 1] = 0
    return codes


def check(letters: int, order: int, seed: int, characters: int = 2_000_000) -> Row:
    """Compare the tables and entropies of the GPU and of the CPU."""
    codes = corpus(seed, characters, letters)
    ours, theirs = (
        implementation("words", "count_with_entropies", backend)(codes, order, 2, 0, None)
        for backend in ("cuda", "native")
    )
    errors = [0.0]
    for n in range(order):
        for mine, other in zip(ours[0][n], theirs[0][n], strict=True):
            if not np.array_equal(mine, other):
                raise AssertionError(f"the table of order {n + 1} is not the CPU's; seed {seed}")
        for mine, other in zip(ours[2][n], theirs[2][n], strict=True):
            errors.append(float(np.abs(mine - other).max(initial=0.0)))
    ngrams = sum(len(counts) for _, counts in ours[0])
    return {**judged(errors, TOLERANCE, seed), "ngrams": ngrams, "characters": characters}


def _row(found: Row, characters: int) -> Row:
    return {**found, "characters_per_second": characters / found["seconds"], "characters": characters}


def _timed(letters: int, backend: str, seed: int) -> Row:
    characters = 2**26 if backend == "cuda" else 2**22
    codes = corpus(seed, characters, letters)
    serve = implementation("words", "count_with_entropies", backend)
    return _row(on_the_clock(lambda: serve(codes, ORDER, MIN_COUNT, 0, None), 3), characters)


def on_the_gpu(codes: Any) -> Any:
    """Count characters that are on the GPU already; everything stays there but the last entropies."""
    text = Text(codes, "count_with_entropies")
    tables, right = counted(text, ORDER, MIN_COUNT, True)
    left = entropies_of(text, [grams for grams, _ in tables], -1, MIN_COUNT)
    return load.device().download(right[-1]), load.device().download(left[-1])


def _kernels(letters: int, seed: int) -> Row:
    characters = 2**26
    codes = load.device().upload(corpus(seed, characters, letters))
    return _row(on_the_clock(lambda: on_the_gpu(codes)), characters)


def _unique(letters: int, seed: int) -> Row:
    """Time CuPy's own unique on the n-grams of each n as numbers, without entropies."""
    cp, characters = load.cupy(), 2**24
    codes = cp.asarray(corpus(seed, characters, letters)).astype(cp.uint64) % 2**14

    def run() -> None:
        for n in range(1, ORDER + 1):
            grams = codes[: characters - n + 1]
            for j in range(1, n):
                grams = grams * 2**14 + codes[j : characters - n + 1 + j]
            cp.unique(grams, return_counts=True)
        cp.cuda.Device().synchronize()

    return _row(on_the_clock(run), characters)


def _jax(letters: int, seed: int) -> Row:
    """Time JAX's own unique on the same."""
    jax, characters = with_jax.imported(), 2**24
    call = with_jax.counts_of_grams(corpus(seed, characters, letters), ORDER)
    return _row(on_the_clock(lambda: jax.block_until_ready(call())), characters)


def steps() -> list[Step]:
    """Return the steps of this path."""
    found = [
        Step("words", "check", f"{label} n = 1..{order}", partial(check, letters, order))
        for label, letters in ALPHABETS.items()
        for order in (1, ORDER)
    ]
    found.append(Step("words", "check", "n = 1..8", partial(check, ALPHABETS["keys of two words"], 8)))
    for label, letters in ALPHABETS.items():
        found += [
            Step("words", "bench", label, partial(_kernels, letters), "on the GPU alone"),
            Step("words", "bench", label, partial(_timed, letters, "cuda"), "to the tables"),
            Step("words", "peers", label, partial(_timed, letters, "native"), "kxfast on the CPU"),
            Step("words", "peers", label, partial(_unique, letters), "cupy.unique, counts only"),
            Step("words", "peers", label, partial(_jax, letters), "jax.numpy.unique, counts only"),
        ]
    return found
