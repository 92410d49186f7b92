"""Attention masks as small values that combine with ``&``, ``|`` and ``~``."""

from kxfast.masks.by_array import block_sparse, dense, function
from kxfast.masks.by_position import causal, sliding_window, strided
from kxfast.masks.by_token import documents, padding, permutation, prefix_lm, unilm
from kxfast.masks.mask import Mask

__all__ = [
    "Mask",
    "block_sparse",
    "causal",
    "dense",
    "documents",
    "function",
    "padding",
    "permutation",
    "prefix_lm",
    "sliding_window",
    "strided",
    "unilm",
]
