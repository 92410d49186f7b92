"""n-gram counts, discovery and segmentation beside peers.

python benchmarks/bench_words.py --data DIR, where DIR/text has zh_wiki*.txt.xz and dict_jieba.txt.xz; peers: polars,
duckdb, jieba, rjieba, where installed.
"""

from __future__ import annotations

import lzma
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from harness import Calls, arguments, available, in_turn, report, write
from peers import words as peers

import kxfast as kx
from kxfast.dispatch import implementation
from kxfast.words.text import accepted


def main() -> None:
    chosen = arguments("words")
    with lzma.open(next((chosen.data / "text").glob("zh_wiki*.txt.xz")), "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    size = float(sum(len(line.encode()) for line in lines))
    codes = implementation("words", "runs")(lines, False, accepted("chinese"))

    calls: Calls = {"kxfast": partial(kx.words.count_ngrams, lines)}
    calls["kxfast, min_count=32"] = partial(kx.words.count_ngrams, lines, min_count=32)
    for name, count in available(peers.NGRAMS).items():
        calls[name] = partial(count, codes)
    expected = len(np.unique(peers.packed(codes, 4)))
    assert len(kx.words.count_ngrams(lines).ngrams(4)[1]) == expected, "counts differ"
    rows = report("n-grams 1..4", in_turn(calls, chosen.rounds), "kxfast", size, "B")

    calls = {"kxfast": partial(kx.words.discover, lines)}
    for method in kx.words.METHODS[1:]:
        calls[f"kxfast, {method}"] = partial(kx.words.discover, lines, method=method)
    calls["kxfast, cut, counts of KenLM"] = partial(kx.words.discover, lines, counts="kenlm")
    calls["kxfast, cut, 64 MiB"] = partial(kx.words.discover, lines, memory_limit=64 << 20)
    rows += report("discovery, method cut, min_count 32", in_turn(calls, chosen.rounds), "kxfast", size, "B")
    ngrams = kx.words.count_ngrams(lines, max_order=3, min_count=32)
    calls = {"kxfast": lambda: [ngrams.entropies(n) for n in (1, 2, 3)]}
    rows += report("left and right entropy, n = 1..3", in_turn(calls, chosen.rounds), "kxfast", size, "B")

    with tempfile.TemporaryDirectory() as folder:
        dictionary = Path(folder) / "dict.txt"
        dictionary.write_bytes(lzma.decompress((chosen.data / "text" / "dict_jieba.txt.xz").read_bytes()))
        rows += segmentation(lines, dictionary, chosen.rounds)
    write(chosen.json, rows)


def segmentation(lines: list[str], dictionary: Path, rounds: int) -> list[dict[str, object]]:
    ours = kx.words.Segmenter.jieba(dictionary)
    part = lines[: len(lines) // 10]  # jieba is slow
    size = float(sum(len(line.encode()) for line in part))
    cutters = available(
        {
            "jieba": lambda: peers.JiebaCutter(dictionary).cut,
            "rjieba": lambda: peers.RjiebaCutter(dictionary).cut,
        }
    )
    expected = ours.cut_many(part)
    for name, cut in cutters.items():
        differ = sum(a != b for a, b in zip(cut(part), expected, strict=True))
        print(f"lines cut otherwise than by {name}: {differ} of {len(part)}")
    calls: Calls = {
        "kxfast, lists": partial(ours.cut_many, part),
        "kxfast, lists, 1 thread": partial(ours.cut_many, part, threads=1),
        "kxfast, offsets": partial(ours.ends_many, part),
        "kxfast, joined text": partial(ours.join_many, part),
        **{name: partial(cut, part) for name, cut in cutters.items()},
    }
    title = f"segmentation with {len(ours)} words, jieba's rules"
    rows = report(title, in_turn(calls, rounds), "kxfast, lists", size, "B")
    saved = dictionary.with_suffix(".saved")
    ours.save(saved)
    loads: Calls = {
        "kxfast": lambda: kx.words.Segmenter.jieba(dictionary),
        "kxfast, saved": lambda: kx.words.Segmenter.load(saved),
        "jieba": lambda: peers.JiebaCutter(dictionary),
    }
    loads = {name: load for name, load in loads.items() if name.startswith("kxfast") or name in cutters}
    return rows + report("loading a dictionary", in_turn(loads, rounds), "kxfast", float(len(ours)), "words")


if __name__ == "__main__":
    main()
