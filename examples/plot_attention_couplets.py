"""The second half of a couplet from the first: one network is encoder and decoder by the UniLM mask.

python examples/plot_attention_couplets.py --corpus zh_poems_dev.txt.xz [--steps 1500] [--output .]

Lines of the form AAAAA，BBBBB。 are pairs; the first half sees itself both ways, the second sees the first and its own
past, and only the second half is learned. Some couplets are kept aside and completed at the end.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

import numpy as np
from training import draw, train
from transformer import Transformer, beside_torch

import kxfast as kx
from kxfast.corpus import documents

HALF, ROWS, WORDS = 5, 128, 2500
UNKNOWN, COMMA, END = 0, 1, 2
PAIR = re.compile(rf"[\u4e00-\u9fa5]{{{HALF}}}，[\u4e00-\u9fa5]{{{HALF}}}。")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    pairs = [line for line in documents(options.corpus) if PAIR.fullmatch(line)]
    if len(pairs) < 1000:
        raise SystemExit(f"--corpus must hold at least 1000 lines of couplets; got {len(pairs)} in '{options.corpus}'")
    common = [word for word, _ in Counter("".join(pairs)).most_common(WORDS - 1) if word not in "，。"]
    words = ["□", "，", "。", *common][:WORDS]
    number = {word: i for i, word in enumerate(words)}
    ids = np.array([[number.get(each, UNKNOWN) for each in pair] for pair in pairs])
    rng = np.random.default_rng(0)
    rng.shuffle(ids)
    test, ids = ids[:500], ids[500:]
    length = ids.shape[1] - 1
    segments = (np.arange(length) > HALF).astype(int)  # the comma belongs to the first half
    mask = kx.masks.unilm(segments)
    learned = np.arange(length + 1) > HALF
    model = Transformer(len(words))
    print(f"{len(ids):,} couplets, {model.count():,} parameters")

    def batch() -> tuple[np.ndarray, kx.masks.Mask, np.ndarray]:
        rows = ids[rng.integers(0, len(ids), ROWS)]
        return rows, mask, learned & (rows != UNKNOWN)

    losses = train(model.weights, model.loss, batch, options.steps, 3e-3)
    held, _ = model.loss(test, mask, learned & (test != UNKNOWN))
    print(f"loss of couplets kept aside: {held:.3f} nats a character")
    step = model.next_token(mask, length)
    for row in test[(test[:, :HALF] != UNKNOWN).all(1)][:6]:
        first = row[: HALF + 1]
        options_of = {"end_id": END, "max_length": HALF + 1, "min_length": length + 1, "start": first}
        best, _ = kx.attention.beam_search(step, beam=5, **options_of)
        drawn = kx.attention.sample(step, 1, top_k=10, seed=1, **options_of)[0]
        shown = ["".join(words[i] for i in each) for each in (row, best, drawn)]
        print(f"poet: {shown[0]}   beam: {shown[1][HALF + 1 :]}   sample: {shown[2][HALF + 1 :]}")
    beside_torch(model, ROWS, length, mask)
    draw(losses, "Couplets: second half from the first, UniLM mask", options.output / "attention_couplets.png")


if __name__ == "__main__":
    main()
