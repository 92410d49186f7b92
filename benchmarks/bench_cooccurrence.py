"""Counts, PMI and vectors beside peers: seconds, tokens a second, peak memory, loss.

python benchmarks/bench_cooccurrence.py --data DIR [--job JOB], where DIR/text has en_books*.txt.xz. Peers: GloVe's
programs and simpler_glove where they are on the PATH; SciPy; polars, pandas, scikit-learn, NLTK where installed.
"""

from __future__ import annotations

import lzma
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from children import Call, Found, Suite, timed
from peers import cooccurrence as peers

import kxfast as kx

C = kx.cooccurrence
OPTIONS: dict[str, Any] = {"window": peers.WINDOW, "weighting": "harmonic", "min_count": peers.MIN_COUNT}
LIMIT = 512 << 20
DIM = 100


def ids_of(text: Path) -> tuple[Any, int]:
    ids, size = peers.numbered(text)
    return ids, size


def ours_from_ids(text: Path, folder: Path) -> Found:
    ids, _ = ids_of(text)
    return timed(lambda: C.count(ids, window=peers.WINDOW, weighting="harmonic").matrix.nnz)


def scipy_from_ids(text: Path, folder: Path) -> Found:
    ids, size = ids_of(text)
    return timed(lambda: peers.scipy_pairs(ids, size).nnz)


def stages(text: Path, folder: Path) -> Found:
    """The parts of our own count."""
    from kxfast.backends.native import cooccurrence as native
    from kxfast.cooccurrence import counting

    clock = [time.perf_counter()]
    rules = counting.Rules(10, "harmonic", "symmetric", peers.MIN_COUNT, None, None, 0, "strict", None, 0)
    tokens = counting.read(text, None, rules, None, None)
    clock.append(time.perf_counter())
    counter = rules.counter(list(tokens.pieces), tokens.rank, len(tokens.vocabulary))
    clock.append(time.perf_counter())
    run = counter.count(0, counter.groups, None)
    clock.append(time.perf_counter())
    cells = len(native.decoded(run, 10, "harmonic", 0)[2])
    clock.append(time.perf_counter())
    names = ("read and number", "index", "count", "matrix")
    parts = dict(zip(names, np.diff(clock).tolist(), strict=True))
    return {"seconds": clock[-1] - clock[0], "figure": cells, **parts}


def vectors(text: Path, make: Callable[[Any], Any]) -> Found:
    co = C.count(text, window=peers.WINDOW, min_count=peers.MIN_COUNT)
    start = time.perf_counter()
    found = C.WordVectors(make(co), co.vocabulary)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "figure": similarity(found, text.parent)}


def similarity(found: Any, folder: Path) -> float:
    """The rank correlation with MEN, where its file is beside the text."""
    from kxfast.cooccurrence.quality import correlation, pairs_of

    return correlation(found, pairs_of(folder / "men.tsv"))[0]


def epochs(text: Path, folder: Path) -> Found:
    co = C.count(text, window=peers.WINDOW, min_count=peers.MIN_COUNT)
    ends: list[tuple[float, float]] = []
    pairs = co.matrix.nnz - np.count_nonzero(co.matrix.diagonal())
    C.word_vectors(co, dim=DIM, epochs=3, seed=1, on_epoch=lambda _, loss: ends.append((time.perf_counter(), loss)))
    return {"seconds": (ends[-1][0] - ends[0][0]) / 2, "figure": ends[-1][1] / pairs}


def c_epochs(name: str, weighting: int) -> Call:
    def run(text: Path, folder: Path) -> Found:
        peers.shuffled(text, folder, weighting)
        seconds, loss = peers.glove_epochs(folder, name, DIM, 3, kx.get_num_threads())
        return {"seconds": seconds, "figure": loss}

    return run


def plain(work: Callable[[Path, Path], int]) -> Call:
    return lambda text, folder: timed(lambda: work(text, folder))


def by_svd(co: Any) -> Any:
    return C.word_vectors(co, dim=DIM, method="svd", seed=0).vectors


JOBS: dict[str, dict[str, Call]] = {
    "file to CSR, window 10": {
        "kxfast": lambda text, folder: timed(lambda: C.count(text, **OPTIONS).matrix.nnz),
        "GloVe": plain(peers.glove_count),
        "scipy": plain(peers.scipy_count),
        "polars": plain(peers.polars_count),
    },
    "stages of file to CSR": {"kxfast": stages},
    "ids to CSR, window 10": {"kxfast": ours_from_ids, "scipy": scipy_from_ids},
    "file to CSR, limit 512 MiB": {
        "kxfast": lambda text, folder: timed(lambda: C.count(text, memory_limit=LIMIT, **OPTIONS).matrix.nnz),
        "GloVe": plain(lambda text, folder: peers.glove_count(text, folder, 0.5)),
    },
    "part of the text to CSR": {
        "kxfast": lambda text, folder: timed(lambda: C.count(text, **OPTIONS).matrix.nnz),
        "pandas": plain(peers.pandas_count),
        "NLTK, one side": plain(peers.nltk_count),
    },
    "whole lines as windows": {
        "kxfast": lambda text, folder: timed(lambda: C.count(text, window=None).matrix.nnz),
        "scikit-learn, X'X": plain(peers.sklearn_count),
    },
    "PPMI and SVD": {
        "kxfast": lambda text, folder: vectors(text, by_svd),
        "scipy + scikit-learn": lambda text, folder: vectors(
            text, lambda co: peers.sklearn_vectors(co.matrix, co.vocabulary.counts, DIM)
        ),
    },
    "an epoch of training": {
        "kxfast": epochs,
        "simpler_glove": c_epochs("simpler_glove", 0),
        "GloVe (its own loss)": c_epochs("glove", 0),
    },
}
PARTS = {"part of the text to CSR": 500_000, "whole lines as windows": 2_000_000}  # tokens, for slow peers


def prepare(source: Path, folder: Path) -> None:
    with lzma.open(next(source.glob("en_books*.txt.xz"))) as packed, open(folder / "text.txt", "wb") as target:
        shutil.copyfileobj(packed, target)
    (folder / "men.tsv").write_bytes((source / "sim_en_men3k.tsv").read_bytes())


def part_of(text: Path, tokens: int) -> Path:
    path = text.with_name(f"part{tokens}.txt")
    with open(text, "rb") as source, open(path, "wb") as target:
        while tokens > 0:
            line = source.readline()
            tokens -= line.count(b" ") + 1
            target.write(line)
    return path


def tokens_of(text: Path) -> float:
    with open(text, "rb") as stream:
        return sum(len(line.split()) for line in stream)


SUITE = Suite(
    "cooccurrence", JOBS, prepare, lambda job, text: part_of(text, PARTS[job]) if job in PARTS else text, tokens_of,
    "token",
)  # fmt: skip

if __name__ == "__main__":
    SUITE.run(__file__, "Time cooccurrence beside its peers.")
