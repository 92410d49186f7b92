"""Peers of the stem cooccurrence: GloVe's programs, SciPy, polars, scikit-learn, NLTK.

Each function is one job: it gets a text file (or what an earlier call has prepared), does all of the work and returns
the number of cells or another figure to compare. Programs are looked for on the PATH: vocab_count, cooccur, shuffle and
glove of GloVe, simpler_glove of bojone/simpler_glove.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

WINDOW, MIN_COUNT = 10, 5


def program(name: str) -> str:
    """Return the path of a program."""
    path = shutil.which(name)
    if path is None:
        raise ImportError(f"no {name} on the PATH")
    return path


def call(command: list[str], given: Path, result: Path) -> str:
    """Run a program from one file to another; return what it says."""
    with open(given, "rb") as source, open(result, "wb") as target:
        done = subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.PIPE, check=True)
    return done.stderr.decode()


def glove_count(path: Path, folder: Path, memory: float = 4.0) -> int:
    """GloVe: the vocabulary, then the records of pairs in a file."""
    command = [program("vocab_count"), "-min-count", str(MIN_COUNT), "-verbose", "0"]
    call(command, path, folder / "vocab.txt")
    command = [program("cooccur"), "-window-size", str(WINDOW), "-vocab-file", str(folder / "vocab.txt")]
    command += ["-memory", str(memory), "-verbose", "0", "-overflow-file", str(folder / "overflow")]
    call(command, path, folder / "pairs.bin")
    return (folder / "pairs.bin").stat().st_size // 16


def numbered(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    """Return a text's ids, -1 behind each line, rare words left out, and the vocabulary's size: with a dict."""
    from collections import Counter

    with open(path, encoding="utf-8") as stream:
        lines = [line.split() for line in stream]
    counts = Counter(word for line in lines for word in line)
    kept = sorted((word for word, n in counts.items() if n >= MIN_COUNT), key=lambda word: (-counts[word], word))
    ids = {word: i for i, word in enumerate(kept)}
    flat = [ids.get(word, -2) for line in lines for word in (*line, "\n")]
    array = np.array(flat, np.int64)
    array[np.cumsum([len(line) + 1 for line in lines]) - 1] = -1
    return array[array > -2], len(kept)


def scipy_pairs(ids: np.ndarray[Any, Any], size: int) -> Any:
    """SciPy: for each distance a sum of duplicates, then both sides."""
    document = np.cumsum(ids < 0)
    total = sparse.csr_array((size, size))
    for d in range(1, WINDOW + 1):
        a, b = ids[:-d], ids[d:]
        together = (a >= 0) & (b >= 0) & (document[:-d] == document[d:])
        ones = np.full(np.count_nonzero(together), 1 / d)
        total = total + sparse.coo_array((ones, (a[together], b[together])), (size, size)).tocsr()
    return sparse.csr_array(total + total.T)


def scipy_count(path: Path, folder: Path) -> int:
    """A dict for the words, SciPy for the pairs."""
    return int(scipy_pairs(*numbered(path)).nnz)


def polars_count(path: Path, folder: Path) -> int:
    """A dict for the words, the group-by of polars for the pairs, on all threads."""
    import polars as pl

    ids, size = numbered(path)
    document = np.cumsum(ids < 0)
    tables = []
    for d in range(1, WINDOW + 1):
        a, b = ids[:-d], ids[d:]
        together = (a >= 0) & (b >= 0) & (document[:-d] == document[d:])
        a, b = a[together], b[together]
        pair = np.concatenate([a * size + b, b * size + a])
        table = pl.DataFrame({"pair": pair, "x": np.full(len(pair), 1 / d)})
        tables.append(table.group_by("pair").agg(pl.col("x").sum()))
    found = pl.concat(tables).group_by("pair").agg(pl.col("x").sum()).sort("pair")
    pair = found["pair"].to_numpy()
    matrix = sparse.coo_array((found["x"].to_numpy(), (pair // size, pair % size)), (size, size)).tocsr()
    return int(matrix.nnz)


def pandas_count(path: Path, folder: Path) -> int:
    """A dict for the words, the group-by of pandas for the pairs."""
    import pandas as pd

    ids, size = numbered(path)
    document = np.cumsum(ids < 0)
    parts = []
    for d in range(1, WINDOW + 1):
        a, b = ids[:-d], ids[d:]
        together = (a >= 0) & (b >= 0) & (document[:-d] == document[d:])
        a, b = a[together], b[together]
        pair = np.concatenate([a * size + b, b * size + a])
        parts.append(pd.Series(np.full(len(pair), 1 / d)).groupby(pair).sum())
    found = pd.concat(parts)
    return len(found.groupby(level=0).sum())


def nltk_count(path: Path, folder: Path) -> int:
    """NLTK's finder of pairs in a window; one side, not weighted."""
    from nltk.collocations import BigramCollocationFinder

    with open(path, encoding="utf-8") as stream:
        documents = [line.split() for line in stream]
    finder = BigramCollocationFinder.from_documents(documents)
    whole = [word for line in documents for word in line]
    finder = BigramCollocationFinder.from_words(whole, window_size=WINDOW + 1)
    return len(finder.ngram_fd)


def sklearn_count(path: Path, folder: Path) -> int:
    """scikit-learn: every two words of a line (a window it cannot count), X'X of the counts of words."""
    from sklearn.feature_extraction.text import CountVectorizer

    with open(path, encoding="utf-8") as stream:
        counts = CountVectorizer(analyzer=str.split, min_df=1).fit_transform(stream)
    return int((counts.T @ counts).nnz)


def sklearn_vectors(matrix: Any, counts: np.ndarray[Any, Any], dim: int) -> np.ndarray[Any, Any]:
    """PPMI with SciPy and NumPy, then scikit-learn's randomized SVD."""
    from sklearn.utils.extmath import randomized_svd

    cells = matrix.tocoo()
    rows, columns = cells.coords
    apart = rows != columns
    rows, columns, x = rows[apart], columns[apart], cells.data[apart].astype(float)
    values = np.log(x) - np.log(x.sum()) - np.log(counts)[rows] - np.log(counts)[columns] + 2 * np.log(counts.sum())
    above = values > 0
    ppmi = sparse.csr_matrix((values[above], (rows[above], columns[above])), matrix.shape)
    u, s, _ = randomized_svd(ppmi, dim, n_iter=4, random_state=0)
    vectors: np.ndarray[Any, Any] = u * np.sqrt(s)
    return vectors


def glove_epochs(folder: Path, name: str, dim: int, epochs: int, threads: int) -> tuple[float, float]:
    """Train one of the C programs on the shuffled pairs of a folder; seconds of an epoch, and the last loss of a pair.

    The programs say when an epoch ends; the first is left out, as it is not known when it began.
    """
    command = [program(name), "-input-file", str(folder / "shuffled.bin"), "-vocab-file", str(folder / "vocab.txt")]
    command += ["-vector-size", str(dim), "-iter", str(epochs), "-threads", str(threads), "-verbose", "2"]
    command += ["-save-file", str(folder / "vectors"), "-x-max", "100"]
    ends, loss = [], 0.0
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=folder) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if match := re.search(r"iter: \d+, cost: (\S+)", line):
                ends.append(time.perf_counter())
                loss = float(match.group(1))
    if child.returncode != 0:
        raise RuntimeError(f"{name} ended with status {child.returncode}")
    return (ends[-1] - ends[0]) / (len(ends) - 1), loss


def shuffled(path: Path, folder: Path, weighting: int) -> None:
    """Make what the trainers read: the vocabulary and the shuffled pairs of a text, flat (0) or 1/d (1)."""
    call([program("vocab_count"), "-min-count", str(MIN_COUNT), "-verbose", "0"], path, folder / "vocab.txt")
    command = [program("cooccur"), "-window-size", str(WINDOW), "-vocab-file", str(folder / "vocab.txt")]
    command += ["-distance-weighting", str(weighting), "-verbose", "0", "-overflow-file", str(folder / "overflow")]
    call(command, path, folder / "pairs.bin")
    command = [program("shuffle"), "-verbose", "0", "-seed", "1", "-temp-file", str(folder / "temp")]
    call(command, folder / "pairs.bin", folder / "shuffled.bin")
    (folder / "pairs.bin").unlink()
