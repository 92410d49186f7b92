"""The words of a classical novel, found in its bare text, with the names of its heroes on top.

python examples/plot_words_novel.py [--corpus zh_novels_dev.txt.xz] [--lines 3246] [--min-count 16] [--output .]

Words are found by how firmly their characters hold together (kx.words.discover). A picture shows candidates of two
characters: the PMI of each against the smaller entropy of its neighbours, filled where it became a word. Heroes are the
words behind which the text says again and again that they speak: a word's share of occurrences before 道.
"""

from __future__ import annotations

import argparse
from importlib import resources
from itertools import islice
from pathlib import Path

import numpy as np

import kxfast as kx
from kxfast.corpus import documents

HAN = ["\u4e00-\u9fa5"]
SAY = "道"
SHARES = 0.02, 0.4  # of the occurrences of a name; verbs of speaking stand before 道 more often
ENDS = set("道笑说问听见忙便又因")  # what ends a verb, not a name


def heroes(ngrams: kx.words.NGrams, lexicon: kx.words.Lexicon) -> list[tuple[str, int, int]]:
    """Return (name, times it speaks, count), who speaks most first."""
    found = []
    for word, count in lexicon.items():
        if 2 <= len(word) < ngrams.max_order and not ENDS & set(word):
            speaks = ngrams[word + SAY]
            if SHARES[0] * count <= speaks <= SHARES[1] * count:
                found.append((word, speaks, count))
    return sorted(found, key=lambda each: -each[1])


def picture(ngrams: kx.words.NGrams, lexicon: kx.words.Lexicon, names: list[str], least: int, path: Path) -> None:
    """Draw the PMI of pairs of characters against the entropy of their neighbours."""
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    grams, counts = ngrams.ngrams(2)
    frequent = counts >= least
    pmi, free = ngrams.cohesion(2)[frequent], np.minimum(*ngrams.entropies(2))[frequent]
    listed = [gram for gram, each in zip(grams, frequent, strict=True) if each]
    words = np.array([gram in lexicon for gram in listed], bool)
    figure = Figure(figsize=(7, 5.5), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    axes.scatter(pmi[~words], free[~words], s=4, color="#bbbbbb", linewidths=0, label="not a word")
    axes.scatter(pmi[words], free[words], s=6, color="#4477aa", linewidths=0, label="a word")
    fonts = {font.name for font in font_manager.fontManager.ttflist}
    font = next((name for name in fonts if "CJK" in name or name in ("SimHei", "WenQuanYi Micro Hei")), None)
    places = {gram: place for place, gram in enumerate(listed)}
    for rank, name in enumerate(names, 1):
        if name in places:
            at = pmi[places[name]], free[places[name]]
            axes.plot(*at, "o", color="#cc3311", markersize=4)
            text = name if font else str(rank)  # without a font for Chinese: its place in the printed list
            axes.annotate(text, at, xytext=(4, 3), textcoords="offset points", fontfamily=font, fontsize=9)
    axes.set_xlabel("PMI of the two characters (nats)")
    axes.set_ylabel("smaller entropy of the neighbours (nats)")
    axes.set_title(f"pairs of characters that come {least} times or more; red: heroes")
    axes.legend(frameon=False, loc="upper left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/zh_novels.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--lines", type=int, help="so many lines of the corpus; default: all")
    parser.add_argument("--min-count", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    text = list(islice(documents(options.corpus), options.lines))
    ngrams = kx.words.count_ngrams(text, max_order=5, characters=HAN)
    lexicon = kx.words.discover(text, ngrams=ngrams, min_count=options.min_count, characters=HAN)
    long = [word for word in lexicon if len(word) > 1]
    print(f"{sum(map(len, text)):,} characters, {len(long)} words of two characters or more, the first:")
    print(" ".join(long[:20]))
    speakers = heroes(ngrams, lexicon)[:20]
    print("heroes (times they speak, times they are named):")
    for rank, (name, speaks, count) in enumerate(speakers, 1):
        print(f"{rank:3} {name} {speaks} {count}")
    path = options.output / "words_novel.png"
    picture(ngrams, lexicon, [name for name, _, _ in speakers], options.min_count, path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
