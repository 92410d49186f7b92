"""How good the words are: dictionary recall and precision among the top k, and F1 of segmenting with them.

python benchmarks/quality_words.py --data DIR --json FILE, where DIR/text has zh_wiki*.txt.xz, dict_jieba.txt.xz,
dict_thuocl.txt.xz and gold_gsdsimp_dev.txt. A dictionary word is reachable if it comes at least min_count times in the
corpus. Gold sentences are halved by turns: options are chosen by the F1 of the one half, the F1 of the other tells what
the choice is worth.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kxfast as kx

HAN = ["\u4e00-\u9fa5"]  # runs of Chinese characters alone: digits and letters make no words
SETTINGS: dict[str, dict[str, Any]] = {
    "original (counts of KenLM)": {"counts": "kenlm"},
    "the same, exact counts": {},
    "exact, Chinese characters": {"characters": HAN},
    "exact, Chinese characters, min_count 24": {"characters": HAN, "min_count": 24},
    "exact, Chinese characters, min_count 16": {"characters": HAN, "min_count": 16},
    "exact, Chinese characters, min_count 8": {"characters": HAN, "min_count": 8},
    "exact, Chinese characters, min_count 4": {"characters": HAN, "min_count": 4},
    "exact, Chinese, min_count 8, PMI 0 1.5 3 4.5": {"characters": HAN, "min_count": 8, "min_pmi": (0, 1.5, 3, 4.5)},
    "exact, Chinese, min_count 8, PMI 0 3 5 7": {"characters": HAN, "min_count": 8, "min_pmi": (0, 3, 5, 7)},
    "strict, Chinese characters": {"characters": HAN, "method": "strict"},
}


def spans(words: Iterable[str]) -> set[tuple[int, int]]:
    """Return where words begin and end."""
    found, at = set(), 0
    for word in words:
        found.add((at, at + len(word)))
        at += len(word)
    return found


def f1(lexicon: kx.words.Lexicon, gold: list[list[str]]) -> float:
    """Return the F1 of segmenting the gold sentences with a lexicon."""
    cut = kx.words.Segmenter.jieba(lexicon).cut_many(["".join(words) for words in gold])
    right = sum(len(spans(a) & spans(b)) for a, b in zip(cut, gold, strict=True))
    return 2 * right / (sum(map(len, cut)) + sum(map(len, gold)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    text = chosen.data / "text"
    corpus = next(text.glob("zh_wiki*.txt.xz"))
    gold = [line.split() for line in (text / "gold_gsdsimp_dev.txt").read_text(encoding="utf-8").splitlines()]
    ngrams = kx.words.count_ngrams(corpus, max_order=4, min_count=1)
    dictionaries = {}
    for name in ("jieba", "thuocl"):
        with lzma.open(text / f"dict_{name}.txt.xz", "rt", encoding="utf-8") as file:
            words = {line.split()[0] for line in file if line.strip()}
        dictionaries[name] = {word: ngrams[word] for word in words if 2 <= len(word) <= 4}
    rows = []
    for label, options in SETTINGS.items():
        lexicon = kx.words.discover(corpus, **options)
        long = [word for word in lexicon if len(word) > 1]
        row: dict[str, Any] = {"settings": label, "words": len(long), "F1": f1(lexicon, gold)}
        row |= {"F1 chosen on": f1(lexicon, gold[::2]), "F1 others": f1(lexicon, gold[1::2])}
        for name, dictionary in dictionaries.items():
            reachable = sum(count >= options.get("min_count", 32) for count in dictionary.values())
            row[f"recall {name}"] = sum(word in dictionary for word in long) / reachable
            for k in (1000, 5000):
                row[f"P@{k} {name}"] = sum(word in dictionary for word in long[:k]) / min(k, len(long))
        rows.append(row)
        shown = ((key, f"{value:.3f}" if isinstance(value, float) else value) for key, value in row.items())
        print(", ".join(f"{key} {value}" for key, value in shown))
    best = max(rows, key=lambda row: float(row["F1 chosen on"]))
    print(f"best on the sentences to choose on: {best['settings']}; F1 on the others {best['F1 others']:.3f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
