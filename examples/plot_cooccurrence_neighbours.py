"""Word vectors of a shelf of novels: the loss curve of their fit, and a map of some words with their neighbours.

python examples/plot_cooccurrence_neighbours.py [--corpus en_books_dev.txt.xz] [--epochs 10] [--words war sea …]

Pairs of words are counted (kx.cooccurrence.count), and vectors are made of them twice: fitted to the PMI
(word_vectors), whose loss is drawn, and by the singular vectors of the positive PMI, which know more on little text.
The map is the plane in which the latter's words differ most (their first two principal components).
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import numpy as np

import kxfast as kx

C = kx.cooccurrence
COLORS = ("#4477aa", "#cc3311", "#228833", "#aa3377", "#ccbb44", "#66ccee", "#777777")
WORDS = ("daughter", "sea", "music", "horse", "war", "money", "red")


def picture(vectors: C.WordVectors, losses: list[float], groups: dict[str, list[str]], path: Path) -> None:
    """Draw the losses and the map."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 5), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    left.plot(range(1, len(losses) + 1), losses, "o-", color="#4477aa", markersize=3)
    left.set_xlabel("epoch")
    left.set_ylabel("mean loss of a pair")
    left.set_title("fit of the PMI")
    left.ticklabel_format(axis="y", useOffset=False)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    listed = [
        (word, color) for (head, near), color in zip(groups.items(), COLORS, strict=False) for word in (head, *near)
    ]
    points = np.stack([vectors[word] for word, _ in listed])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    centred = points - points.mean(axis=0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    for (word, color), (x, y) in zip(listed, plane, strict=True):
        right.plot(x, y, "o", color=color, markersize=6 if word in groups else 3)
        weight = "bold" if word in groups else "normal"
        right.annotate(word, (x, y), xytext=(3, 2), textcoords="offset points", color=color, fontsize=8, weight=weight)
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("words and their nearest")
    for axes in left, right:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/en_books.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--words", nargs="+", default=list(WORDS), help="words whose neighbours are drawn")
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    co = C.count(options.corpus, window=10, weighting="harmonic", min_count=5, subsample=1e-4, seed=1)
    print(f"{co.vocabulary.counts.sum():,} tokens, {len(co.vocabulary):,} words, {co.matrix.nnz:,} pairs")
    pairs = co.matrix.nnz - np.count_nonzero(co.matrix.diagonal())
    losses: list[float] = []
    C.word_vectors(co, dim=50, epochs=options.epochs, seed=1, on_epoch=lambda _, loss: losses.append(loss / pairs))
    print(f"loss of a pair: {losses[0]:.5f} after the first epoch, {losses[-1]:.5f} after the last")
    vectors = C.word_vectors(co, dim=min(100, len(co.vocabulary)), method="svd", seed=1)
    groups = {}
    for word in options.words[: len(COLORS)]:
        if word not in vectors.vocabulary:
            print(f"({word} comes too seldom)")
            continue
        near = [each for each, _ in vectors.most_similar(word, 6) if each != word][:5]
        groups[word] = near
        print(f"{word}: {', '.join(near)}")
    if not groups:
        raise SystemExit("--words must hold a word of the corpus; got none")
    path = options.output / "cooccurrence_neighbours.png"
    picture(vectors, losses, groups, path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
