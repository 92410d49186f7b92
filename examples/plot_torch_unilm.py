"""A transformer that knows nothing of kxfast, trained with the UniLM mask: as it is, and with its attention served.

python examples/plot_torch_unilm.py [--corpus zh_novels_dev.txt.xz] [--steps 100] [--output .]

The model calls torch.nn.functional.scaled_dot_product_attention with a boolean mask, as models of a hub do. Under
kxfast.torch.install_sdpa() the same calls cost what the mask lets through. The task: continue a text; its first half
is seen whole, the second half is learned character by character.
"""

from __future__ import annotations

import argparse
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from comparing import draw_both, train_both
from torch import Tensor, nn
from torch.nn import functional

import kxfast.torch as kt
from kxfast.corpus import documents

WORDS, WIDTH, HEADS, BLOCKS, ROWS, LENGTH = 2000, 128, 2, 2, 2, 1024


class SelfAttention(nn.Module):
    """Attention as hub models write it."""

    def __init__(self) -> None:
        super().__init__()
        self.query_key_value, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (B, L, E)."""
        q, k, v = self.query_key_value(hidden_states).unflatten(-1, (3, HEADS, -1)).unbind(2)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        return self.out(context.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-normalised block."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norms = SelfAttention(), nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (B, L, E)."""
        hidden_states = hidden_states + self.attention(self.norms[0](hidden_states), attention_mask)
        return hidden_states + self.mlp(self.norms[1](hidden_states))


class LanguageModel(nn.Module):
    """Embeddings, blocks, and logits of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        nn.init.normal_(self.tokens.weight, std=0.05)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(BLOCKS)), nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits (B, L, V)."""
        hidden_states = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            hidden_states = block(hidden_states, attention_mask)
        return self.norm(hidden_states) @ self.tokens.weight.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    packaged = Path(str(resources.files("kxfast"))) / "data/text/zh_novels.txt.xz"
    parser.add_argument("--corpus", type=Path, default=packaged)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    text = "".join(line for _, line in zip(range(50_000), documents(options.corpus), strict=False))
    if len(text) < 20 * LENGTH:
        raise SystemExit(f"--corpus must hold at least {20 * LENGTH} characters; got {len(text)}")
    number = {each: i + 1 for i, (each, _) in enumerate(Counter(text).most_common(WORDS - 1))}
    ids = torch.tensor([number.get(each, 0) for each in text])
    rng = np.random.default_rng(0)
    second = torch.arange(LENGTH) >= LENGTH // 2
    counts = second.cumsum(0)
    mask = counts[None] <= counts[:, None]  # the UniLM rule

    def batch(_: int) -> Tensor:
        starts = rng.integers(0, len(ids) - LENGTH - 1, ROWS)
        return torch.stack([ids[start : start + LENGTH + 1] for start in starts])

    def loss(net: LanguageModel, rows: Tensor) -> Tensor:
        logits = net(rows[:, :-1], mask)[:, LENGTH // 2 - 1 :]
        return functional.cross_entropy(logits.flatten(0, 1), rows[:, LENGTH // 2 :].flatten())

    nets, served = {}, []
    for name in ("kxfast", "torch"):
        torch.manual_seed(0)
        nets[name] = LanguageModel()

    def with_kxfast(rows: Tensor) -> Tensor:
        with kt.install_sdpa() as switch:
            found = loss(nets["kxfast"], rows)
        served.append(switch.counts())
        return found

    calls = {"kxfast": with_kxfast, "torch": lambda rows: loss(nets["torch"], rows)}
    losses, seconds = train_both(calls, nets, batch, options.steps, 1e-3)
    print(f"attention calls served: {sum(each.served for each in served)}, passed: {sum(e.passed for e in served)}")
    title = "Continue a text: UniLM mask, 1024 characters"
    draw_both(losses, seconds, title, "nats a character", options.output / "torch_unilm.png")


if __name__ == "__main__":
    main()
