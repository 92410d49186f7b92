"""Co-occurrence counts: pairs become numbers, equal numbers runs of what is sorted. Text is read on the CPU."""

from __future__ import annotations

from math import lcm
from typing import Any

import numpy as np
from scipy import sparse

from kxfast.backends.cuda import load
from kxfast.errors import BackendError

try:
    from kxfast.backends.native.cooccurrence import Tokenizer
except ImportError:  # not compiled
    from kxfast.backends.reference.cooccurrence import Tokenizer  # type: ignore[assignment,unused-ignore]  # its twin

__all__ = ["Tokenizer", "missing", "pairs"]

Array = np.ndarray[Any, Any]
FROM_HOST = True
_TEXT = '#include "cooccurrence.cuh"\n'
_THREADS, _MOST_KEYS = 256, 2**30
_WORKING = 6  # times the bytes of a slab's keys: sorting needs another array, its runs two more


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


def pairs(
    numbers: list[Array], rank: Array | None, vocabulary_size: int, window: int, weighting: str, direction: str,
    threads: int, progress: Any,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """See the reference, whose sums these are, in its order."""
    if vocabulary_size >= 2**31:
        raise BackendError(
            f"backend 'cuda' cannot serve cooccurrence.pairs of {vocabulary_size} words; at most 2**31 - 1"
        )
    ids = np.concatenate([np.zeros(0, np.int32), *numbers])
    if rank is not None:
        ids = rank[ids]
    ids = ids[ids >= -1]
    breaks = np.flatnonzero(np.concatenate([[True], ids < 0, [True]]))
    harmonic, reach = weighting == "harmonic", min(window, int(np.diff(breaks).max()) - 2)
    counter = Counter(ids, vocabulary_size, max(reach, 0), progress)
    if not harmonic:
        total = _turned(counter.count(1, reach), direction)
    else:
        scale = lcm(*range(1, min(reach, 64) + 1))
        exact = reach < 64 and 2 * scale * len(ids) * max(reach, 1) < 2**63
        total = sparse.csr_array((vocabulary_size,) * 2, dtype=np.int64 if exact else np.float64)
        for d in range(1, reach + 1):
            found = _turned(counter.count(d, 1), direction)
            total = total + (found * (scale // d) if exact else found / d)
    total.sort_indices()
    return total.indptr, total.indices, total.data / scale if harmonic and exact else total.data


def _turned(left: sparse.csr_array, direction: str) -> sparse.csr_array:
    """Return the counts of a direction from those of pairs with the left word in front."""
    if direction == "left":
        return left
    right = left.T.tocsr()
    return right if direction == "right" else left + right


class Counter:
    """A corpus on the device."""

    def __init__(self, ids: Array, size: int, reach: int, progress: Any) -> None:
        self._device = load.device()
        self._tokens, self._size, self._reach, self._progress = len(ids), size, reach, progress
        self._ids = self._device.upload(ids.astype(np.int32))
        self._document = self._device.upload(np.cumsum(ids < 0, dtype=np.int32))
        narrow = size * size < 2**32
        self.kind = np.dtype(np.uint32 if narrow else np.uint64)
        self._kernel = self._device.kernel(_TEXT, f"pair_keys_{32 if narrow else 64}")
        self._done = 0

    def count(self, nearest: int, distances: int) -> sparse.csr_array:
        """Count pairs at the distances from `nearest` on, the left word in front."""
        total = sparse.csr_array((self._size, self._size), dtype=np.int64)
        keys = min(_MOST_KEYS, max(1, self._device.free_bytes() // (_WORKING * self.kind.itemsize)))
        deep = max(1, min(distances, keys // max(self._tokens, 1)))
        for begin in range(0, distances, deep):
            for first in range(0, self._tokens, keys):
                slab = min(keys, self._tokens - first), min(deep, distances - begin)
                total = total + self._slab(first, slab[0], nearest + begin, slab[1])
                self._done += slab[0] * slab[1]
                if self._progress:
                    self._progress(self._done // self._reach, self._tokens)
        return total

    def keys(self, keys: Any, first: int, positions: int, nearest: int, distances: int) -> None:
        """Write the keys of a slab."""
        blocks = min(-(-len(keys) // _THREADS), 2**20)
        sizes = (self._tokens, self._size, first, positions, nearest, distances)
        self._kernel(blocks, _THREADS, 0, [self._ids, self._document, *map(np.int64, sizes), keys])

    def _slab(self, first: int, positions: int, nearest: int, distances: int) -> sparse.csr_array:
        keys = self._device.empty(positions * distances, self.kind)
        self.keys(keys, first, positions, nearest, distances)
        found, counts = self._device.runs(keys)
        inside = found != 2 ** (8 * self.kind.itemsize) - 1
        rows, columns = np.divmod(found[inside].astype(np.int64), self._size)
        return sparse.coo_array((counts[inside], (rows, columns)), (self._size, self._size)).tocsr()
