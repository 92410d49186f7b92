"""n-gram counts, discovery and segmentation beside peers, each from a file: seconds, MB/s, peak memory.

python benchmarks/bench_words.py --data DIR [--job JOB], where DIR/text has zh_wiki*.txt.xz and dict_jieba.txt.xz.
Peers: NumPy; polars, DuckDB, scikit-learn, jieba, jieba_fast, rjieba, pyahocorasick, sentencepiece where installed;
count_ngrams of KenLM and word_discovery.py of its author where they are on the PATH. A row's figure is the number of
n-grams or words, the sum of all entropies, or a checksum of all words of all lines.
"""

from __future__ import annotations

import lzma
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import Call, Found, Suite, timed
from peers import segmenters
from peers import words as peers

import kxfast as kx

W = kx.words
PARTS = {"part of the text: n-grams 1..4": 1 << 21, "part of the text: a lexicon": 1 << 22}  # bytes, for slow peers
CUTTING = "segmentation with jieba's dictionary"
LOADING = "loading jieba's dictionary"
PARTS[CUTTING] = 1 << 23


def plain(work: Callable[[Path], Any], figure: Callable[[Any], float] = float) -> Call:
    return lambda text, folder: timed(lambda: work(text), figure)


def entropies(text: Path) -> float:
    ngrams = W.count_ngrams(text, max_order=3, min_count=peers.MIN_COUNT, entropies=True)
    return float(sum(side.sum() for n in (1, 2, 3) for side in ngrams.entropies(n)))


def dictionary_of(text: Path) -> Path:
    return text.with_name("dict.txt")


def cutting(make: Callable[[Path, Path], Any], words_of: Callable[[Any, list[str]], Any] | None = None) -> Call:
    """Time cutting all lines, after some that fill caches; what is done once for a dictionary is not timed."""

    def run(text: Path, folder: Path) -> Found:
        cut = make(dictionary_of(text), folder)
        lines = text.read_text(encoding="utf-8").split("\n")
        cut(lines[: len(lines) // 20])
        return timed(lambda: cut(lines), lambda found: checksum(words_of(found, lines) if words_of else found))

    return run


def checksum(lists: list[list[str]]) -> float:
    """Return a number that differs where lines are cut otherwise."""
    return float(zlib.crc32("\n".join("\0".join(words) for words in lists).encode()))


def from_ends(found: Any, lines: list[str]) -> list[list[str]]:
    ends, first = (each.tolist() for each in found)
    joined, lists, begin = "".join(lines), [], 0
    for low, high in zip(first[:-1], first[1:], strict=True):
        words = []
        for end in ends[low:high]:
            words.append(joined[begin:end])
            begin = end
        lists.append(words)
    return lists


def ours(how: str, **options: Any) -> Callable[[Path, Path], Any]:
    def make(dictionary: Path, folder: Path) -> Any:
        method = getattr(W.Segmenter.jieba(dictionary), how)
        return lambda lines: method(lines, **options)

    return make


def loading(text: Path, folder: Path) -> Found:
    return timed(lambda: W.Segmenter.jieba(dictionary_of(text)), len)


def loading_saved(text: Path, folder: Path) -> Found:
    W.Segmenter.jieba(dictionary_of(text)).save(folder / "saved")
    return timed(lambda: W.Segmenter.load(folder / "saved"), len)


def loading_of(name: str) -> Call:
    return lambda text, folder: timed(
        lambda: segmenters.CUTTERS[name](dictionary_of(text), folder), lambda cut: len(cut(["词"]))
    )


JOBS: dict[str, dict[str, Call]] = {
    "n-grams 1..4": {
        "kxfast": plain(W.count_ngrams, len),
        "kxfast, min_count=32": plain(lambda text: W.count_ngrams(text, min_count=32), len),
        **{name: plain(count) for name, count in peers.NGRAMS.items()},
        "KenLM (n = 4 alone)": lambda text, folder: timed(lambda: peers.kenlm_count(text, folder)),
    },
    "part of the text: n-grams 1..4": {
        "kxfast": plain(W.count_ngrams, len),
        **{name: plain(count) for name, count in peers.SLOW_NGRAMS.items()},
    },
    "left and right entropy, n = 1..3": {
        "kxfast": plain(entropies),
        "NumPy": plain(peers.numpy_entropies),
    },
    "discovery, the original's settings": {
        "kxfast": plain(W.discover, len),
        "kxfast, counts of KenLM": plain(lambda text: W.discover(text, counts="kenlm"), len),
        "kxfast, in 64 MiB": plain(lambda text: W.discover(text, memory_limit=64 << 20), len),
        **{
            f"kxfast, {method}": plain(lambda text, method=method: W.discover(text, method=method), len)
            for method in W.METHODS[1:]
        },
        "word-discovery": lambda text, folder: timed(lambda: peers.word_discovery(text, folder)),
    },
    "part of the text: a lexicon": {
        "kxfast": plain(lambda text: W.discover(text, min_count=8), len),
        "sentencepiece, training": lambda text, folder: timed(lambda: segmenters.sentencepiece_training(text, folder)),
    },
    CUTTING: {
        "kxfast": cutting(ours("ends_many"), from_ends),
        "kxfast, joined text": cutting(
            ours("join_many", separator="\0"), lambda found, lines: [line.split("\0") for line in found]
        ),
        "kxfast, lists": cutting(ours("cut_many")),
        "kxfast, lists, 1 thread": cutting(ours("cut_many", threads=1)),
        **{name: cutting(make) for name, make in segmenters.CUTTERS.items()},
    },
    LOADING: {
        "kxfast": loading,
        "kxfast, saved": loading_saved,
        **{name: loading_of(name) for name in ("rjieba", "jieba_fast", "jieba")},
    },
}


def prepare(source: Path, folder: Path) -> None:
    for name, target in ("zh_wiki*.txt.xz", "text.txt"), ("dict_jieba.txt.xz", "dict.txt"):
        with lzma.open(next(source.glob(name))) as packed, open(folder / target, "wb") as plain_file:
            shutil.copyfileobj(packed, plain_file)


def text_of(job: str, text: Path) -> Path:
    if job == LOADING:
        return dictionary_of(text)
    if job not in PARTS:
        return text
    part = text.with_name(f"part{PARTS[job]}.txt")
    with open(text, "rb") as whole:
        part.write_bytes(whole.read(PARTS[job]).rpartition(b"\n")[0])
    return part


SUITE = Suite("words", JOBS, prepare, text_of, lambda text: float(text.stat().st_size), "B")

if __name__ == "__main__":
    SUITE.run(__file__, "Time words beside its peers.")
