"""The reading-comprehension net of article 6906 in PyTorch, twice: plain layers and kxfast's, on the same batches.

python examples/plot_torch_reading.py [--corpus zh_novels_dev.txt.xz] [--steps 150] [--output .]

Questions are made of real text (see plot_conv_span.py). The two nets begin with the same weights; what differs is who
computes the gated convolutions.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from comparing import draw_both, train_both
from plot_conv_span import Item, questions
from torch import Tensor, nn
from torch.nn import functional

import kxfast.torch as kt
from kxfast.corpus import documents

WIDTH, ROWS, LENGTH, ASKED = 128, 16, 256, 16


class PlainGated(nn.Module):
    """The gated layer of PyTorch's own operators."""

    def __init__(self, layer: kt.DilatedGatedConv1d) -> None:
        super().__init__()
        self.dilation = layer.dilation
        self.weight = nn.Parameter(layer.weight.detach().permute(2, 1, 0).contiguous())
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (B, L, C) for x (B, L, C) and a mask (B, L)."""
        shown = (x * mask[..., None]).mT
        h = functional.conv1d(shown, self.weight, self.bias, padding=self.dilation, dilation=self.dilation)
        c, g = h.mT.chunk(2, -1)
        return (x + torch.sigmoid(g) * (c - x)) * mask[..., None]


class Reader(nn.Module):
    """Question and passage through gated convolutions; where the answer starts and ends, and whether there is one."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, WIDTH)
        self.asked = nn.ModuleList(kt.DilatedGatedConv1d(WIDTH, WIDTH, dilation=r) for r in (1, 2, 1))
        self.passage = nn.ModuleList(kt.DilatedGatedConv1d(WIDTH, WIDTH, dilation=r) for r in (1, 2, 4, 8, 16, 1))
        self.pool = kt.AttentionPooling1d(WIDTH)
        self.pool_all = kt.AttentionPooling1d(2 * WIDTH)
        self.join = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.answered, self.ends = nn.Linear(2 * WIDTH, 1), nn.Linear(2 * WIDTH, 2)

    def plain(self) -> Reader:
        """Replace the gated layers by PyTorch's."""
        self.asked = nn.ModuleList(map(PlainGated, self.asked))
        self.passage = nn.ModuleList(map(PlainGated, self.passage))
        return self

    def forward(self, question: Tensor, passage: Tensor) -> Tensor:
        """Return the probabilities (B, L, 2) of start and end."""
        known, mask = (question > 0).float(), (passage > 0).float()
        q, p = self.embedding(question), self.embedding(passage)
        for layer in self.asked:
            q = layer(q, known)
        vector = self.pool(q, known)[:, None].expand(-1, passage.shape[1], -1)
        p = self.join(torch.cat([p, vector], -1))
        for layer in self.passage:
            p = layer(p, mask)
        p = torch.cat([p, vector], -1)
        answered = torch.sigmoid(self.answered(self.pool_all(p, mask)))[:, None]
        return answered * torch.sigmoid(self.ends(p))


def focal(p: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Return the focal loss of the article (alpha 1/4, gamma 2), times 100."""
    p = p.clamp(1e-8, 1 - 1e-8)
    each = -0.25 * y * torch.log(p) * (1 - p) ** 2 - 0.75 * (1 - y) * torch.log(1 - p) * p**2
    return 100 * (each * mask[..., None]).sum() / mask.sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/zh_novels.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    paragraphs = [line for line in documents(options.corpus) if len(line) > 40][:20_000]
    if len(paragraphs) < 50:
        raise SystemExit(f"--corpus must hold at least 50 lines of over 40 characters; got {len(paragraphs)}")
    known = questions(paragraphs, 4000, 1)
    number = {each: i + 2 for i, each in enumerate(sorted({c for item in known for c in item[1]}))}
    rng = np.random.default_rng(3)

    def numbered(texts: list[str], length: int) -> Tensor:
        ids = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = torch.tensor([number.get(each, 1) for each in text])
        return ids

    def batch(_: int) -> tuple[Tensor, Tensor, Tensor]:
        items: list[Item] = [known[i] for i in rng.integers(0, len(known), ROWS)]
        y = torch.zeros(ROWS, LENGTH, 2)
        for i, (_, _, first, last) in enumerate(items):
            y[i, first, 0] = y[i, last, 1] = 1
        return numbered([item[0] for item in items], ASKED), numbered([item[1] for item in items], LENGTH), y

    nets = {}
    for name in ("kxfast", "torch"):
        torch.manual_seed(0)
        net = Reader(len(number) + 2)
        nets[name] = net if name == "kxfast" else net.plain()

    def loss_of(net: Reader):
        return lambda given: focal(net(*given[:2]), given[2], (given[1] > 0).float())

    losses, seconds = train_both({name: loss_of(net) for name, net in nets.items()}, nets, batch, options.steps, 1e-3)
    title = "Reading comprehension by dilated gated convolutions"
    draw_both(losses, seconds, title, "focal loss x 100", options.output / "torch_reading.png")


if __name__ == "__main__":
    main()
