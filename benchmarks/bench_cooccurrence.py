"""Counts, PMI and vectors beside peers: seconds, tokens a second, peak memory, loss.

python benchmarks/bench_cooccurrence.py --data DIR [--job JOB], where DIR/text has en_books*.txt.xz. Each call runs in a
process of its own, all of a job in turn; a job's rows take the place of its rows in the file of results. Peers: GloVe's
programs and simpler_glove where they are on the PATH; SciPy; polars, pandas, scikit-learn, NLTK where installed.
"""

from __future__ import annotations

import argparse
import json
import lzma
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, processor, write
from peers import cooccurrence as peers

import kxfast as kx

C = kx.cooccurrence
OPTIONS: dict[str, Any] = {"window": peers.WINDOW, "weighting": "harmonic", "min_count": peers.MIN_COUNT}
LIMIT = 512 << 20
DIM = 100
BUDGET = 20.0  # seconds after which a call is not repeated
Found = dict[str, float]


def timed(work: Callable[[], Any]) -> Found:
    start = time.perf_counter()
    figure = work()
    return {"seconds": time.perf_counter() - start, "figure": float(figure)}


def peak() -> int:
    """Return the kilobytes this process or a program it ran has had at most.

    Not ru_maxrss of this process: where a process is started, Linux counts what its parent had.
    """
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


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


def c_epochs(name: str, weighting: int) -> Callable[[Path, Path], Found]:
    def run(text: Path, folder: Path) -> Found:
        peers.shuffled(text, folder, weighting)
        seconds, loss = peers.glove_epochs(folder, name, DIM, 3, kx.get_num_threads())
        return {"seconds": seconds, "figure": loss}

    return run


def plain(work: Callable[[Path, Path], int]) -> Callable[[Path, Path], Found]:
    return lambda text, folder: timed(lambda: work(text, folder))


def by_svd(co: Any) -> Any:
    return C.word_vectors(co, dim=DIM, method="svd", seed=0).vectors


Job = dict[str, Callable[[Path, Path], Found]]
JOBS: dict[str, Job] = {
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Time cooccurrence beside its peers, each in its own process.")
    parser.add_argument("--data", type=Path, required=True, help="folder with the development data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", choices=list(JOBS), help="one job only")
    parser.add_argument("--json", type=Path, default=RESULTS / f"cooccurrence_{processor()}.json")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        job, name, text, folder = chosen.child
        found = JOBS[job][name](Path(text), Path(folder))
        print(json.dumps({**found, "peak": peak() << 10}))
        return
    rows = [] if not chosen.json.exists() else json.loads(chosen.json.read_text())["rows"]
    with tempfile.TemporaryDirectory(prefix="kxfast-bench-") as folder:
        text = Path(folder) / "text.txt"
        with lzma.open(next((chosen.data / "text").glob("en_books*.txt.xz"))) as source, open(text, "wb") as target:
            shutil.copyfileobj(source, target)
        (text.parent / "men.tsv").write_bytes((chosen.data / "text" / "sim_en_men3k.tsv").read_bytes())
        for job in JOBS if chosen.job is None else (chosen.job,):
            rows = [row for row in rows if row["job"] != job] + measure(job, text, chosen)
    write(chosen.json, rows)


def part_of(text: Path, tokens: int) -> Path:
    path = text.with_name(f"part{tokens}.txt")
    with open(text, "rb") as source, open(path, "wb") as target:
        while tokens > 0:
            line = source.readline()
            tokens -= line.count(b" ") + 1
            target.write(line)
    return path


def measure(job: str, text: Path, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    text = part_of(text, PARTS[job]) if job in PARTS else text
    with open(text, "rb") as stream:
        tokens = sum(len(line.split()) for line in stream)
    found: dict[str, list[Found]] = {}
    for _ in range(chosen.rounds):
        for name in JOBS[job]:
            if sum(each["seconds"] for each in found.get(name, [])) > BUDGET:
                continue
            with tempfile.TemporaryDirectory(dir=text.parent) as folder:
                command = [sys.executable, __file__, "--data", str(chosen.data)]
                child = [*command, "--child", job, name, str(text), folder]
                done = subprocess.run(child, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"({name} is left out: {done.stderr.strip().splitlines()[-1]})")
                continue
            found.setdefault(name, []).append(json.loads(done.stdout))
    print(f"\n{job}, {tokens} tokens")
    rows = []
    ours = statistics.median(each["seconds"] for each in found["kxfast"])
    for name, runs in found.items():
        seconds = statistics.median(each["seconds"] for each in runs)
        most = max(each["peak"] for each in runs)
        rate, ratio, figure = tokens / seconds, seconds / ours, runs[0]["figure"]
        print(f"  {name:<24} {seconds:8.3f} s {rate / 1e6:8.2f} Mtok/s {most >> 20:6d} MiB {ratio:7.2f}  {figure:.6g}")
        row = {"job": job, "name": name, "seconds": seconds, "rate": rate, "unit": "token", "ratio": ratio}
        more = {key: statistics.median(each[key] for each in runs) for key in runs[0] if key not in ("seconds", "peak")}
        rows.append({**row, "peak_bytes": most, **more})
    return rows


if __name__ == "__main__":
    main()
