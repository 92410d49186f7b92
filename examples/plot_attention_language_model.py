"""A character language model of classical poems: causal attention, trained in minutes on two cores, then sampled.

python examples/plot_attention_language_model.py --corpus zh_poems_dev.txt.xz [--steps 1000] [--output .]

Four lines of poems that follow each other are one sequence. Without --corpus the novel in the package is read.
"""

from __future__ import annotations

import argparse
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
from training import draw, train
from transformer import Transformer, beside_torch

import kxfast as kx
from kxfast.corpus import documents

LENGTH, ROWS, WORDS = 48, 32, 2500
UNKNOWN, END = 0, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/zh_novels.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    text = "\n".join(documents(options.corpus))[:3_000_000]
    common = [word for word, _ in Counter(text).most_common(WORDS - 2)]
    number = {word: i + 2 for i, word in enumerate(common)}
    ids = np.array([number.get(each, UNKNOWN) for each in text])
    model = Transformer(WORDS)
    print(f"{len(text):,} characters, {model.count():,} parameters")
    rng, mask = np.random.default_rng(0), kx.masks.causal()

    def batch() -> tuple[np.ndarray, kx.masks.Mask, np.ndarray]:
        rows = ids[rng.integers(0, len(ids) - LENGTH, ROWS)[:, None] + np.arange(LENGTH + 1)]
        return rows, mask, rows != UNKNOWN

    losses = train(model.weights, model.loss, batch, options.steps, 3e-3)
    words = ["□", "", *common]
    start = [number[each] for each in text[:1]]
    step = model.next_token(mask, LENGTH)
    for drawn in kx.attention.sample(
        step, 4, end_id=END, max_length=LENGTH - 1, top_k=20, temperature=0.8, start=start, seed=1
    ):
        print("sample:", "".join(words[i] for i in drawn).replace("\n", " "))
    best, score = kx.attention.beam_search(step, end_id=END, max_length=24, beam=4, start=start)
    print("beam search:", "".join(words[i] for i in best).replace("\n", " "), f"(log-probability {score:.1f})")
    beside_torch(model, ROWS, LENGTH, mask)
    draw(losses, "Character language model, causal mask", options.output / "attention_language_model.png")


if __name__ == "__main__":
    main()
