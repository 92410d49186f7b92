"""Masked multi-head attention, positions, and decoding step by step (articles 4765 and 6933 of kexue.fm)."""

from kxfast.attention.cache import KVCache, decode
from kxfast.attention.core import scaled_dot_product_attention, scaled_dot_product_attention_backward
from kxfast.attention.generation import beam_search, sample
from kxfast.attention.positions import rotary, sinusoidal
from kxfast.attention.trie import Trie

__all__ = [
    "KVCache",
    "Trie",
    "beam_search",
    "decode",
    "rotary",
    "sample",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "sinusoidal",
]
