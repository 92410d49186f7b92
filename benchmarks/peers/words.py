"""Peers of the stem words that count and discover: sorting and group-by, KenLM's counter, the author's program.

Each function does a whole job, from a file to a figure that can be compared: the number of n-grams or words. Programs
are looked for on the PATH: count_ngrams of KenLM, and word_discovery.py of bojone/word-discovery.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Keys = NDArray[np.uint64]
OTHERS = re.compile("[^\u4e00-\u9fa50-9a-zA-Z]+")
MIN_COUNT = 32


def codes_of(path: Path) -> Codes:
    """Return the code points of a file, 0 for what ends a run."""
    codes = np.frombuffer(path.read_bytes().decode().encode("utf-32-le"), np.uint32)
    accepted = np.zeros(0x110000, np.uint32)
    for low, high in ("\u4e00\u9fa5", "09", "AZ", "az"):
        accepted[ord(low) : ord(high) + 1] = 1
    return codes * accepted[codes]


def packed(codes: Codes, order: int) -> Keys:
    """Return the n-grams of one order as 16-bit codes in one word; n-grams across a break are left out."""
    key = np.zeros(len(codes) - order + 1, np.uint64)
    inside = np.ones(len(key), bool)
    for k in range(order):
        part = codes[k : len(codes) - order + 1 + k]
        key |= part.astype(np.uint64) << np.uint64(16 * (order - 1 - k))
        inside &= part != 0
    return key[inside]


def numpy_sort(path: Path) -> int:
    """np.unique, which sorts with AVX-512."""
    codes = codes_of(path)
    return sum(len(np.unique(packed(codes, n), return_counts=True)[0]) for n in (1, 2, 3, 4))


def polars_group(path: Path) -> int:
    """The group-by of polars, on all threads."""
    import polars

    codes = codes_of(path)
    return sum(len(polars.DataFrame({"g": packed(codes, n)}).group_by("g").len()) for n in (1, 2, 3, 4))


def duckdb_group(path: Path) -> int:
    """The group-by of DuckDB, on all threads."""
    import duckdb

    codes, total = codes_of(path), 0
    for n in (1, 2, 3, 4):
        keys = {"g": packed(codes, n)}  # noqa: F841  (DuckDB finds it by its name)
        total += len(duckdb.sql("select g, count(*) c from keys group by g").fetchnumpy()["g"])
    return total


def sklearn_count(path: Path) -> int:
    """scikit-learn's CountVectorizer over the runs."""
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(analyzer="char", ngram_range=(1, 4), lowercase=False)
    counts.fit_transform(OTHERS.sub("\n", path.read_text(encoding="utf-8")).split("\n"))
    return sum("\n" not in gram for gram in counts.vocabulary_)


def counter(path: Path) -> int:
    """collections.Counter."""
    runs = OTHERS.sub("\n", path.read_text(encoding="utf-8")).split("\n")
    return len(Counter(run[i : i + n] for run in runs for n in (1, 2, 3, 4) for i in range(len(run) - n + 1)))


def kenlm_count(path: Path, folder: Path) -> int:
    """KenLM's counter, which counts the highest order alone; the text with spaces between characters is given to it."""
    program = shutil.which("count_ngrams")
    if program is None:
        raise ImportError("no count_ngrams on the PATH")
    spaced = folder / "spaced"
    with open(path, encoding="utf-8") as text, open(spaced, "w", encoding="utf-8") as out:
        for line in text:
            out.writelines(" ".join(run) + "\n" for run in OTHERS.split(line) if run)
    command = [program, "-o", "4", "--memory=50%", "--write_vocab_list", str(folder / "vocabulary")]
    with open(spaced, "rb") as source, open(folder / "ngrams", "wb") as target:
        subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.DEVNULL, cwd=folder, check=True)
    return (folder / "ngrams").stat().st_size // 24


def numpy_entropies(path: Path) -> float:
    """Entropies left and right of the n-grams up to 3 that come often enough, by sorted keys; their sum."""
    codes, total = codes_of(path), 0.0
    for n in (1, 2, 3):
        grams, counts = np.unique(packed(codes, n), return_counts=True)
        grams = grams[counts >= MIN_COUNT]
        both = np.ones(len(codes) - n - 1, bool)
        for k in range(n + 2):
            both &= codes[k : k + len(both)] != 0
        gram = np.zeros(len(both), np.uint64)
        for k in range(n):
            gram = gram << np.uint64(16) | codes[1 + k : 1 + k + len(both)].astype(np.uint64)
        for neighbor in codes[: len(both)], codes[n + 1 : n + 1 + len(both)]:
            keys, times = np.unique(gram[both] << np.uint64(16) | neighbor[both], return_counts=True)
            begins = np.flatnonzero(np.r_[True, np.diff(keys >> np.uint64(16)) != 0])
            each = np.add.reduceat(times, begins)
            share = times / np.repeat(each, np.diff(np.r_[begins, len(keys)]))
            entropy = -np.add.reduceat(share * np.log(share), begins)
            total += float(entropy[np.isin(keys[begins] >> np.uint64(16), grams)].sum())
    return total


def word_discovery(path: Path, folder: Path) -> int:
    """The author's program at its own settings, in the steps of its last part; the text is the file's lines."""
    source, program = shutil.which("word_discovery.py"), shutil.which("count_ngrams")
    if source is None or program is None:
        raise ImportError("no word_discovery.py or count_ngrams on the PATH")
    (folder / "count_ngrams").symlink_to(program)
    os.chdir(folder)
    original: dict[str, Any] = {}
    exec(Path(source).read_text(encoding="utf-8").split("import re\nimport glob")[0], original)  # its classes alone

    def texts() -> Iterator[str]:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                yield re.sub("[^\u4e00-\u9fa50-9a-zA-Z ]+", "\n", line.replace("\u3000", " ").strip())

    original["write_corpus"](texts(), "corpus")
    original["count_ngrams"]("corpus", 4, "characters", "ngrams", 0.5)
    counted = original["KenlmNgrams"]("characters", "ngrams", 4, MIN_COUNT)
    kept = original["filter_ngrams"](counted.ngrams, counted.total, [0, 2, 4, 6])
    trie = original["SimpleTrie"]()
    for word in kept:
        trie.add_word(word)
    found: Counter[str] = Counter(word for text in texts() for word in trie.tokenize(text))
    often = {word: count for word, count in found.items() if count >= MIN_COUNT}
    return len(original["filter_vocab"](often, kept, 4))


NGRAMS: dict[str, Callable[[Path], int]] = {
    "NumPy's sort": numpy_sort,
    "polars": polars_group,
    "duckdb": duckdb_group,
}
SLOW_NGRAMS: dict[str, Callable[[Path], int]] = {
    "scikit-learn, CountVectorizer": sklearn_count,
    "collections.Counter": counter,
}
