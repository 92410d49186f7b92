"""A small transformer in NumPy, attention by kxfast: forward and backward, for the examples beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from training import Array, Weights

import kxfast as kx


class Transformer:
    """Pre-norm blocks of attention and two dense layers; the embedding is the output layer too.

    Parameters
    ----------
    words : int
        Size of the vocabulary, V.
    width, heads, blocks : int
        Channels E, heads, and number of blocks.

    """

    def __init__(self, words: int, width: int = 128, heads: int = 4, blocks: int = 2, seed: int = 0) -> None:
        self.width, self.heads, self.blocks = width, heads, blocks
        rng = np.random.default_rng(seed)

        def dense(n: int, m: int) -> Array:
            return (rng.standard_normal((n, m)) * n**-0.5).astype(np.float32)

        self.weights: Weights = {"embedding": dense(words, width) * np.float32(words / width) ** 0.5 * 0.1}
        self.weights["norm"] = np.ones(width, np.float32)
        for i in range(blocks):
            self.weights |= {
                f"{i} norm 1": np.ones(width, np.float32),
                f"{i} norm 2": np.ones(width, np.float32),
                f"{i} qkv": dense(width, 3 * width),
                f"{i} out": dense(width, width) * np.float32(0.5),
                f"{i} up": dense(width, 4 * width),
                f"{i} down": dense(4 * width, width) * np.float32(0.5),
            }

    def count(self) -> int:
        """Return the number of parameters."""
        return sum(each.size for each in self.weights.values())

    def forward(self, ids: Array, mask: kx.masks.Mask) -> tuple[Array, list[Any]]:
        """Return hidden states (B, L, E) for ids (B, L), and what the gradients need."""
        w, kept = self.weights, []
        positions = kx.attention.sinusoidal(np.arange(ids.shape[1], dtype=np.float32), self.width)
        x = w["embedding"][ids] * np.float32(self.width**0.5) + positions
        for i in range(self.blocks):
            a, norm1 = normalize(x, w[f"{i} norm 1"])
            q, k, v = np.ascontiguousarray(self.split(a @ w[f"{i} qkv"]))
            o, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, return_lse=True)
            merged = self.merge(o)
            x = x + merged @ w[f"{i} out"]
            b, norm2 = normalize(x, w[f"{i} norm 2"])
            up = b @ w[f"{i} up"]
            x = x + np.maximum(up, 0) @ w[f"{i} down"]
            kept.append((a, norm1, q, k, v, o, lse, merged, b, norm2, up))
        h, last = normalize(x, w["norm"])
        return h, [ids, mask, kept, h, last]

    def backward(self, dh: Array, kept: list[Any]) -> Weights:
        """Return the gradients of all weights; those of the embedding as an output layer are the caller's."""
        w, made = self.weights, {}
        ids, mask, blocks, _, last = kept
        dx, made["norm"] = normalize_backward(dh, last, w["norm"])
        for i in reversed(range(self.blocks)):
            a, norm1, q, k, v, o, lse, merged, b, norm2, up = blocks[i]
            made[f"{i} down"] = outer(np.maximum(up, 0), dx)
            dup = (dx @ w[f"{i} down"].T) * (up > 0)
            made[f"{i} up"] = outer(b, dup)
            db, made[f"{i} norm 2"] = normalize_backward(dup @ w[f"{i} up"].T, norm2, w[f"{i} norm 2"])
            dx = dx + db
            made[f"{i} out"] = outer(merged, dx)
            do = np.ascontiguousarray(self.split(dx @ w[f"{i} out"].T, 1)[0])
            grads = kx.attention.scaled_dot_product_attention_backward(do, q, k, v, o, lse, mask=mask)
            dqkv = np.concatenate([self.merge(each) for each in grads], -1)
            made[f"{i} qkv"] = outer(a, dqkv)
            da, made[f"{i} norm 1"] = normalize_backward(dqkv @ w[f"{i} qkv"].T, norm1, w[f"{i} norm 1"])
            dx = dx + da
        made["embedding"] = np.zeros_like(w["embedding"])
        np.add.at(made["embedding"], ids, dx * np.float32(self.width**0.5))
        return made

    def loss(self, ids: Array, mask: kx.masks.Mask, counted: Array) -> tuple[float, Weights]:
        """Return the mean surprise (nats) of the next token at the places that count, and its gradients."""
        h, kept = self.forward(ids[:, :-1], mask)
        rows = np.nonzero(counted[:, 1:].ravel())[0]
        target, states = ids[:, 1:].ravel()[rows], h.reshape(-1, self.width)[rows]
        p = softmax(states @ self.weights["embedding"].T)
        surprise = -np.log(p[np.arange(len(rows)), target] + 1e-9).mean()
        p[np.arange(len(rows)), target] -= 1
        p /= np.float32(len(rows))
        dh = np.zeros_like(h).reshape(-1, self.width)
        dh[rows] = p @ self.weights["embedding"]
        gradients = self.backward(dh.reshape(h.shape), kept)
        gradients["embedding"] += p.T @ states
        return float(surprise), gradients

    def next_token(self, mask: kx.masks.Mask, most: int) -> Callable[[Array, Array], Array]:
        """Return the step that `kx.attention.sample` and `beam_search` ask for; `mask` is for `most` tokens."""
        whole = np.broadcast_to(mask.to_dense(1, 1, most, most), (1, 1, most, most))

        def step(ids: Array, rows: Array) -> Array:
            n = ids.shape[1]
            h, _ = self.forward(ids, kx.masks.dense(whole[:, :, :n, :n]))
            return softmax((h[:, -1] @ self.weights["embedding"].T).astype(np.float64))

        return step

    def split(self, x: Array, parts: int = 3) -> Array:
        """Return (B, L, parts E) as (parts, B, H, L, E / H)."""
        b, length, _ = x.shape
        return x.reshape(b, length, parts, self.heads, -1).transpose(2, 0, 3, 1, 4)

    def merge(self, x: Array) -> Array:
        """Return (B, H, L, E / H) as (B, L, E)."""
        return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def outer(x: Array, dy: Array) -> Array:
    return x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])


def softmax(x: Array) -> Array:
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return p


def normalize(x: Array, scale: Array) -> tuple[Array, tuple[Array, Array]]:
    deviation = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6))
    normal = x / deviation
    return normal * scale, (normal, deviation)


def normalize_backward(dy: Array, kept: tuple[Array, Array], scale: Array) -> tuple[Array, Array]:
    normal, deviation = kept
    dn = dy * scale
    dx = (dn - normal * (dn * normal).mean(-1, keepdims=True)) / deviation
    return dx, (dy * normal).reshape(-1, len(scale)).sum(0)


def beside_torch(model: Transformer, rows: int, length: int, mask: kx.masks.Mask) -> None:
    """Print the time of one layer's attention, both directions, beside torch's where that is installed."""
    try:
        import torch
    except ImportError:
        print("attention beside torch: torch is not installed")
        return
    shape = (rows, model.heads, length, model.width // model.heads)
    x = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    allowed = torch.from_numpy(mask.to_dense(rows, 1, length, length))
    q, k, v, grad = (torch.from_numpy(each).requires_grad_(i < 3) for i, each in enumerate(x))

    def ours() -> None:
        out, lse = kx.attention.scaled_dot_product_attention(*x[:3], mask=mask, return_lse=True)
        kx.attention.scaled_dot_product_attention_backward(x[3], *x[:3], out, lse, mask=mask)

    def theirs() -> None:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        torch.autograd.grad(out, (q, k, v), grad)

    times: dict[str, list[float]] = {"kxfast": [], "torch": []}
    for _ in range(7):
        for name, call in ("kxfast", ours), ("torch", theirs):
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    medians = {name: 1e3 * float(np.median(each)) for name, each in times.items()}
    print("one layer's attention and gradients: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in medians.items()))
