"""Real text for the dense operations: characters of novels, embedded with a seeded table."""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@cache
def paragraphs(data: Path, characters: int = 200_000) -> tuple[str, ...]:
    """Return the first paragraphs of the novels in ``data/text``, about so many characters."""
    files = sorted((data / "text").glob("zh_novels*.txt.xz"))
    if not files:
        raise FileNotFoundError(f"data must hold text/zh_novels*.txt.xz; got '{data}'")
    with lzma.open(files[0], "rt", encoding="utf-8") as stream:
        return tuple(line.rstrip("\n") for line in stream.readlines(characters))


def embedded(text: str, channels: int, seed: int = 0) -> Array:
    """Return one float32 vector for each character; equal characters have equal vectors."""
    _, ids = np.unique(np.array(list(text)), return_inverse=True)
    table = np.random.default_rng(seed).standard_normal((ids.max(initial=0) + 1, channels), np.float32)
    return table[ids]


def full(data: Path, batch: int, length: int, channels: int) -> Array:
    """Return running text as (B, L, D), without padding."""
    text = "".join(paragraphs(data))[: batch * length]
    return embedded(text, channels).reshape(batch, length, channels)


def lengths(data: Path, batch: int, most: int) -> NDArray[np.int64]:
    """Return the lengths of `batch` paragraphs that make at least a tenth of `most`, cut at `most`."""
    found = [len(p) for p in paragraphs(data) if len(p) >= most // 10][:batch]
    return np.minimum(found, most).astype(np.int64)


def ragged(data: Path, batch: int, length: int, channels: int) -> tuple[Array, NDArray[np.bool_]]:
    """Return text as (B, L, D) whose rows are as long as real paragraphs, and its mask (B, L)."""
    mask = np.arange(length) < lengths(data, batch, length)[:, None]
    return full(data, batch, length, channels) * mask[..., None], mask
