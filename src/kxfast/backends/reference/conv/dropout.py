"""Which gates are dropped: a counter-based generator, so that backward finds the mask of forward again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)


def philox(key: int, index: Array, part: Array) -> Array:
    """Philox4x32-10 (Salmon et al. 2011) of counter (part, index): four 32-bit words along a last axis."""
    index, part = np.broadcast_arrays(index.astype(np.uint64), part.astype(np.uint64))
    x = [part & _LOW, part >> _WORD, index & _LOW, index >> _WORD]
    for turn in range(10):
        k0 = np.uint64((key + turn * 0x9E3779B9) & 0xFFFFFFFF)
        k1 = np.uint64(((key >> 32) + turn * 0xBB67AE85) & 0xFFFFFFFF)
        a, b = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(b >> _WORD) ^ x[1] ^ k0, b & _LOW, (a >> _WORD) ^ x[3] ^ k1, a & _LOW]
    return np.stack(x, -1)


def gate_scale(shape: tuple[int, ...], rate: float, seed: int, dtype: np.dtype[Any]) -> Array | float:
    """Return 0 for dropped gates and 1/(1-rate) for kept ones (spec section 2, gate dropout).

    Gate o at position t of row b is word o % 4 of the block with index b L + t and part o // 4; it is dropped if that
    word is below rate 2^32.
    """
    if rate == 0:
        return 1.0
    batch, length, channels = shape
    index, part = np.arange(batch * length)[:, None], np.arange(-(-channels // 4))[None]
    words = philox(seed, index, part).reshape(batch, length, 4 * part.size)[..., :channels]
    return np.where(words < np.uint64(round(rate * 2**32)), 0, 1 / (1 - rate)).astype(dtype)
