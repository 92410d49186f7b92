"""A tagger that cuts Chinese text into words: a stack of dilated gated convolutions over characters.

python examples/plot_conv_segmentation.py --gold gold_gsdsimp_dev.txt [--steps 400] [--output .]

Each line of the gold file is a sentence cut by spaces. Of every character the network says whether a word begins there.
Four fifths of the sentences are learned, the rest are cut; where torch is installed the same network is trained with it
from the same weights on the same batches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from training import Adam, Array, Weights, draw, train

import kxfast as kx
from kxfast.corpus import documents

WIDTH, DILATIONS, ROWS, DROP = 96, (1, 2, 4, 1, 2, 4, 1, 1), 32, 0.1
Batch = tuple[Array, Array, Array, int]


class Tagger:
    """Embedding, gated convolutions, and one logit a character."""

    def __init__(self, words: int) -> None:
        rng = np.random.default_rng(0)
        self.weights: Weights = {"embedding": rng.standard_normal((words, WIDTH)).astype("f")}
        for i in range(len(DILATIONS)):
            kernel = rng.standard_normal((3, WIDTH, 2 * WIDTH)) / np.sqrt(3 * WIDTH)
            self.weights |= {f"{i} weight": kernel.astype("f"), f"{i} bias": np.zeros(2 * WIDTH, "f")}
        self.weights |= {"out": np.zeros(WIDTH, "f"), "out bias": np.zeros(1, "f")}

    def layers(self) -> list[kx.conv.GatedLayer]:
        """Return the stack."""
        w = self.weights
        return [kx.conv.GatedLayer(w[f"{i} weight"], w[f"{i} bias"], r) for i, r in enumerate(DILATIONS)]

    def logits(self, ids: Array, mask: Array) -> Array:
        """Return how likely a word begins at each character, (B, L)."""
        h = kx.conv.dgcnn(self.weights["embedding"][ids], self.layers(), mask=mask)
        return h @ self.weights["out"] + self.weights["out bias"]

    def loss(self, ids: Array, begins: Array, mask: Array, seed: int) -> tuple[float, Weights]:
        """Return the mean surprise of a character (nats) and the gradients."""
        w, layers, x = self.weights, self.layers(), self.weights["embedding"][ids]
        h, kept = kx.conv.dgcnn(x, layers, mask=mask, drop_gate=DROP, seed=seed, return_kept=True)
        p = 1 / (1 + np.exp(-(h @ w["out"] + w["out bias"])))
        surprise = -np.log(np.where(begins, p, 1 - p) + 1e-9)[mask].mean()
        d = ((p - begins) * mask / mask.sum()).astype("f")
        dx, gradients = kx.conv.dgcnn_backward(
            d[..., None] * w["out"], x, layers, mask, drop_gate=DROP, seed=seed, kept=kept
        )
        made = {
            "out": np.tensordot(d, h, 2),
            "out bias": d.sum(keepdims=True)[0],
            "embedding": np.zeros_like(w["embedding"]),
        }
        np.add.at(made["embedding"], ids, dx)
        for i, (dweight, dbias) in enumerate(gradients):
            made |= {f"{i} weight": dweight, f"{i} bias": dbias}
        return float(surprise), made


def padded(sentences: list[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return ids, word beginnings and mask of ragged sentences."""
    longest = max(len(ids) for ids, _ in sentences)
    ids, begins = np.zeros((len(sentences), longest), int), np.zeros((len(sentences), longest), bool)
    mask = np.zeros_like(begins)
    for i, (some, starts) in enumerate(sentences):
        ids[i, : len(some)], begins[i, : len(some)], mask[i, : len(some)] = some, starts, True
    return ids, begins, mask


def f1(found: list[Array], right: list[Array]) -> float:
    """Return the F1 of words from the beginnings of words in every sentence."""

    def words(begins: Array) -> set[tuple[int, int]]:
        edges = [*np.flatnonzero(begins).tolist(), len(begins)]
        return set(zip(edges[:-1], edges[1:], strict=True))

    pairs = [(words(a), words(b)) for a, b in zip(found, right, strict=True)]
    both, all_found, all_right = (
        sum(each) for each in zip(*((len(a & b), len(a), len(b)) for a, b in pairs), strict=True)
    )
    return 2 * both / (all_found + all_right)


def score(logits_of: Callable[[Array, Array], Array], sentences: list[tuple[Array, Array]]) -> tuple[float, float]:
    """Return F1 and characters a second."""
    found, count, start = [], 0, time.perf_counter()
    for at in range(0, len(sentences), 64):
        ids, _, mask = padded(sentences[at : at + 64])
        for row, real in zip(logits_of(ids, mask) > 0, mask, strict=True):
            row[0] = True
            found.append(row[real])
            count += int(real.sum())
    taken = time.perf_counter() - start
    return f1(found, [begins for _, begins in sentences]), count / taken


def with_torch(weights: Weights, batches: list[Batch], test: list[tuple[Array, Array]]) -> None:
    """Train the same network with torch on the same batches, and say how well and how fast."""
    try:
        import torch
    except ImportError:
        print("torch is not installed: nothing to compare with")
        return
    torch.set_num_threads(kx.get_num_threads())
    held = {name: torch.from_numpy(each.copy()).requires_grad_() for name, each in weights.items()}

    def forward(ids: Array, mask: Array, drop: float) -> Any:
        x, real = held["embedding"][torch.from_numpy(ids)].mT, torch.from_numpy(mask)[:, None].float()
        for i, r in enumerate(DILATIONS):
            kernel = held[f"{i} weight"].permute(2, 1, 0)
            h = torch.nn.functional.conv1d(x * real, kernel, held[f"{i} bias"], padding=r, dilation=r)
            candidate, gate = h.chunk(2, 1)
            if drop:
                gate = torch.nn.functional.dropout(gate, drop)
            s = torch.sigmoid(gate)
            x = (x * (1 - s) + candidate * s) * real
        return x.mT @ held["out"] + held["out bias"]

    optimizer, start = (
        Adam({name: each.detach().numpy() for name, each in held.items()}, 3e-3, len(batches)),
        time.time(),
    )
    for ids, begins, mask, _ in batches:
        logits = forward(ids, mask, DROP)
        target = torch.from_numpy(begins).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target, torch.from_numpy(mask).float(), reduction="sum"
        )
        gradients = torch.autograd.grad(loss / mask.sum(), list(held.values()))
        optimizer.step({name: g.numpy() for name, g in zip(held, gradients, strict=True)})
    ms = 1e3 * (time.time() - start) / len(batches)
    with torch.no_grad():
        value, speed = score(lambda ids, mask: forward(ids, mask, 0).numpy(), test)
    print(f"torch:  F1 {value:.3f} on the test, {speed:,.0f} characters/s, {ms:.0f} ms a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    lines = [line.split() for line in documents(options.gold) if line.strip()]
    number: dict[str, int] = {}
    for line in lines[: len(lines) * 4 // 5]:
        for character in "".join(line):
            number.setdefault(character, len(number) + 1)  # 0 is for characters not seen in training
    sentences = []
    for line in lines:
        begins = np.concatenate([np.arange(len(word)) == 0 for word in line])
        sentences.append((np.array([number.get(character, 0) for character in "".join(line)]), begins))
    known, test = sentences[: len(lines) * 4 // 5], sentences[len(lines) * 4 // 5 :]
    rng, model = np.random.default_rng(1), Tagger(len(number) + 1)
    batches: list[Batch] = []
    for seed in range(options.steps):
        rows = [known[i] for i in rng.choice(len(known), min(ROWS, len(known)), replace=False)]
        ids, begins, mask = padded(rows)
        batches.append((np.where(rng.random(ids.shape) < 0.05, 0, ids), begins, mask, seed))  # some stay unknown
    first = {name: each.copy() for name, each in model.weights.items()}
    start = time.time()
    losses = train(model.weights, model.loss, iter(batches).__next__, options.steps, 3e-3)
    ms = 1e3 * (time.time() - start) / options.steps
    value, speed = score(model.logits, test)
    print(f"kxfast: F1 {value:.3f} on the test, {speed:,.0f} characters/s, {ms:.0f} ms a step")
    with_torch(first, batches, test)
    draw(losses, "Word segmentation by dilated gated convolutions", options.output / "conv_segmentation.png")


if __name__ == "__main__":
    main()
