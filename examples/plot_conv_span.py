"""Reading comprehension in small: find in a passage what a question leaves out.

python examples/plot_conv_span.py [--corpus zh_novels_dev.txt.xz] [--steps 300] [--output .]

The program makes its own data of real text: of a paragraph, a piece of 2 to 4 characters is the answer, and what stands
before and after it is the question. Characters with features of their match (kx.conv.match_features) pass through a
stack of dilated gated convolutions; two sigmoids a character point at start and end, trained by focal loss. At the end
several passages are read for each question of paragraphs kept aside, and their answers vote.
"""

from __future__ import annotations

import argparse
import time
from importlib import resources
from pathlib import Path

import numpy as np
from training import Array, Weights, draw, train

import kxfast as kx
from kxfast.corpus import documents

WIDTH, DILATIONS, ROWS, LENGTH, AROUND = 64, (1, 2, 4, 8, 1), 32, 160, 6
Item = tuple[str, str, int, int]  # question, passage, first and last character of the answer


def questions(paragraphs: list[str], count: int, seed: int) -> list[Item]:
    """Make questions of paragraphs."""
    rng, made = np.random.default_rng(seed), []
    while len(made) < count:
        passage = paragraphs[rng.integers(len(paragraphs))][:LENGTH]
        size = int(rng.integers(2, 5))
        at = int(rng.integers(AROUND, len(passage) - AROUND - size))
        answer = passage[at : at + size]
        if passage.count(answer) == 1 and answer.isalpha():
            made.append(
                (passage[at - AROUND : at] + passage[at + size : at + size + AROUND], passage, at, at + size - 1)
            )
    return made


class Reader:
    """Embedding and match features, gated convolutions, two logits a character."""

    def __init__(self, number: dict[str, int]) -> None:
        self.number, rng = number, np.random.default_rng(0)
        self.weights: Weights = {
            "embedding": rng.standard_normal((len(number) + 1, WIDTH)).astype("f"),
            "features": rng.standard_normal((3, WIDTH)).astype("f"),
            "out": np.zeros((WIDTH, 2), "f"),
            "out bias": np.full(2, -3, "f"),
        }
        for i in range(len(DILATIONS)):
            kernel = rng.standard_normal((3, WIDTH, 2 * WIDTH)) / np.sqrt(3 * WIDTH)
            self.weights |= {f"{i} weight": kernel.astype("f"), f"{i} bias": np.zeros(2 * WIDTH, "f")}

    def layers(self) -> list[kx.conv.GatedLayer]:
        """Return the stack."""
        w = self.weights
        return [kx.conv.GatedLayer(w[f"{i} weight"], w[f"{i} bias"], r) for i, r in enumerate(DILATIONS)]

    def inputs(self, pairs: list[tuple[str, str]]) -> tuple[Array, Array, Array]:
        """Return ids, features and mask of questions and their passages."""
        ids, mask = np.zeros((len(pairs), LENGTH), int), np.zeros((len(pairs), LENGTH), bool)
        features = np.zeros((len(pairs), LENGTH, 3), "f")
        for i, (question, passage) in enumerate(pairs):
            ids[i, : len(passage)] = [self.number.get(each, 0) for each in passage]
            features[i, : len(passage)] = kx.conv.match_features(question, passage)
            mask[i, : len(passage)] = True
        return ids, features, mask

    def probabilities(self, pairs: list[tuple[str, str]]) -> Array:
        """Return (n, L, 2): that the answer starts, and ends, at each character."""
        ids, features, mask = self.inputs(pairs)
        x = self.weights["embedding"][ids] + features @ self.weights["features"]
        h = kx.conv.dgcnn(x, self.layers(), mask=mask)
        return np.where(mask[..., None], 1 / (1 + np.exp(-(h @ self.weights["out"] + self.weights["out bias"]))), 0)

    def loss(self, items: list[Item]) -> tuple[float, Weights]:
        """Return the focal loss (alpha 1/4, gamma 2; times 100) and its gradients."""
        ids, features, mask = self.inputs([item[:2] for item in items])
        y = np.zeros((len(items), LENGTH, 2), bool)
        for i, (_, _, first, last) in enumerate(items):
            y[i, first, 0] = y[i, last, 1] = True
        w, layers = self.weights, self.layers()
        x = w["embedding"][ids] + features @ w["features"]
        h, kept = kx.conv.dgcnn(x, layers, mask=mask, return_kept=True)
        p = np.clip(1 / (1 + np.exp(-(h @ w["out"] + w["out bias"]))), 1e-8, 1 - 1e-8)
        n, q = p, 1 - p
        each = np.where(y, -0.25 * q**2 * np.log(n), -0.75 * n**2 * np.log(q))
        slope = np.where(y, 0.25 * q**2 * (2 * n * np.log(n) - q), 0.75 * n**2 * (n - 2 * q * np.log(q)))
        scale = 100 / mask.sum()
        d = (slope * mask[..., None] * scale).astype("f")
        dx, gradients = kx.conv.dgcnn_backward(d @ w["out"].T, x, layers, mask, kept=kept)
        made = {"out": np.tensordot(h, d, ([0, 1], [0, 1])), "out bias": d.sum((0, 1))}
        made |= {"embedding": np.zeros_like(w["embedding"]), "features": np.tensordot(features, dx, ([0, 1], [0, 1]))}
        np.add.at(made["embedding"], ids, dx)
        for i, (dweight, dbias) in enumerate(gradients):
            made |= {f"{i} weight": dweight, f"{i} bias": dbias}
        return float((each * mask[..., None]).sum() * scale), made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/zh_novels.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    paragraphs = [line for line in documents(options.corpus) if len(line) > 40][:20_000]
    if len(paragraphs) < 50:
        raise SystemExit(f"--corpus must hold at least 50 lines of over 40 characters; got {len(paragraphs)}")
    aside = len(paragraphs) // 10
    known, test = questions(paragraphs[aside:], 4000, 1), questions(paragraphs[:aside], 300, 2)
    number = {each: i + 1 for i, each in enumerate(sorted({c for item in known for c in item[1]}))}
    model, rng = Reader(number), np.random.default_rng(3)

    def batch() -> tuple[list[Item]]:
        return ([known[i] for i in rng.integers(0, len(known), ROWS)],)

    losses = train(model.weights, model.loss, batch, options.steps, 3e-3)
    right, start = 0, time.time()
    for question, passage, first, last in test:
        others = [test[i][1] for i in rng.integers(0, len(test), 3)]
        pages = [passage, *(page for page in others if page != passage)]
        found = [
            kx.conv.extract_span(*p[: len(page)].T, page)
            for p, page in zip(model.probabilities([(question, page) for page in pages]), pages, strict=True)
        ]
        answer, _ = kx.conv.vote(found)
        right += answer == passage[first : last + 1]
    taken = 1e3 * (time.time() - start) / len(test)
    print(f"{right} of {len(test)} questions of paragraphs kept aside are answered, {taken:.1f} ms each")
    question, passage, first, last = test[0]
    print(f"for example: {question[:AROUND]}…{question[AROUND:]}  answer: {passage[first : last + 1]}")
    draw(losses, "Spans by dilated gated convolutions", options.output / "conv_span.png", "focal loss x 100")


if __name__ == "__main__":
    main()
