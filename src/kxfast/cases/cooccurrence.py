"""Cases of the stem cooccurrence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kxfast.cases import Case, largest_difference
from kxfast.cooccurrence import Cooccurrence, count
from kxfast.corpus import documents

KERNELS = {"count": ("pairs", "Tokenizer"), "word_vectors": ("pmi", "trainer")}


def _corpora(rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
    yield "nothing", np.zeros(0, np.int64)
    yield "breaks", np.array([-1, -1, 0, -1])
    yield "one word", np.zeros(9, np.int64)
    yield "strings", [" ".join(f"w{i}" for i in rng.zipf(1.6, 12) % 40) for _ in range(30)]
    ids = rng.zipf(1.5, 400) % 60
    ids[rng.random(400) < 0.1] = -1
    yield "ids", ids


def _same_vectors(result: Any, expected: Any) -> float:
    """Compare inner products: singular vectors are determined up to rotations of equal values."""
    a, b = (each.vectors @ each.vectors.T for each in (result, expected))
    return largest_difference(a, b)


def random(rng: np.random.Generator) -> Iterator[Case]:
    """Yield small fresh cases."""
    for name, corpus in _corpora(rng):
        for weighting in "uniform", "harmonic":
            for direction in "symmetric", "left", "right":
                for window in 0, 1, 4, 60:
                    keywords = {"window": window, "weighting": weighting, "direction": direction}
                    label = f"{name} {weighting} {direction} window={window}"
                    tolerance = (1e-13 if window > 40 else 1e-15) if weighting == "harmonic" else 0.0  # exact up to 40
                    yield Case("cooccurrence.count", label, (corpus,), keywords, tolerance)
    text = [" ".join(f"w{i}" for i in rng.zipf(1.6, 12) % 30) for _ in range(40)]
    yield Case("cooccurrence.count", "rare words left out", (text,), {"min_count": 3, "max_size": 9})
    yield Case("cooccurrence.count", "subsampled", (text,), {"subsample": 0.01, "seed": 5})
    yield Case("cooccurrence.count", "ids again", (rng.integers(-1, 50, 500),), {"window": 7})
    for weighting in "uniform", "harmonic":
        yield from _of_counts(count(text, weighting=weighting, min_count=2), weighting)


def _of_counts(co: Cooccurrence, name: str) -> Iterator[Case]:
    keywords: dict[str, Any]
    for keywords in (
        {}, {"positive": True, "shift": 0.2}, {"smoothing": 0.75}, {"normalized": True}, {"marginals": "rows"}
    ):  # fmt: skip
        yield Case("cooccurrence.pmi", f"{name} {keywords}", (co,), keywords, 1e-13)
    for model in 0, 1, 2:
        for truncate in True, False:
            keywords = {"dim": 5, "epochs": 2, "model": model, "truncate": truncate, "seed": 1, "x_max": 10}
            for dtype, tolerance in ("float64", 1e-9), ("float32", 1e-4):
                label = f"{name} model {model} {truncate} {dtype}"
                yield Case("cooccurrence.word_vectors", label, (co,), {**keywords, "dtype": dtype}, tolerance)
    for dtype, tolerance in ("float64", 1e-6), ("float32", 1e-3):
        keywords = {"dim": 3, "method": "svd", "seed": 1, "dtype": dtype}
        label = f"{name} svd {dtype}"
        yield Case("cooccurrence.word_vectors", label, (co,), keywords, tolerance, _same_vectors, port="svd_vectors")


def real(data: Path, quick: bool) -> Iterator[Case]:
    """Yield counts and vectors of real text, in tokens and pairs."""
    for path in sorted((data / "text").glob("en_books*.txt.xz")):
        text = list(islice(documents(path), 8_000 if quick else None))
        tokens = float(sum(map(str.count, text, [" "] * len(text))) + len(text))
        for window, weighting in (5, "uniform"), (10, "harmonic"):
            keywords = {"window": window, "weighting": weighting, "min_count": 5}
            label = f"{path.name} window={window} {weighting}"
            yield Case("cooccurrence.count", label, (text,), keywords, 1e-15, amount=tokens, unit="token")
        small = count(text[:2000], max_size=300 if quick else 2000)
        keywords = {"dim": 50, "epochs": 1, "seed": 0}
        pairs = float(small.matrix.nnz)
        yield Case("cooccurrence.word_vectors", path.name, (small,), keywords, 1e-4, amount=pairs, unit="pair")
