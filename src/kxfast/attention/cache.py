"""Keys and values of the tokens so far, for generation one token at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.attention.core import scaled_dot_product_attention
from kxfast.masks import Mask, causal, dense, padding

Array = NDArray[Any]


class KVCache:
    """Keys and values of the tokens so far; memory doubles when it is full.

    Parameters
    ----------
    batch, heads : int
        Number of sequences, and of key heads Hkv.
    head_dim : int
        D, length of a key.
    value_dim : int, optional
        Dv, length of a value; D if not given.
    dtype : str or dtype
        Type in which keys and values are kept: float32, float64, float16 or bfloat16.
    capacity : int
        Number of tokens to make room for at first.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> cache = kx.attention.KVCache(batch=1, heads=2, head_dim=4)
    >>> cache.append(np.ones((1, 2, 3, 4)), np.ones((1, 2, 3, 4)))
    >>> len(cache), cache.keys.shape
    (3, (1, 2, 3, 4))

    """

    def __init__(
        self,
        batch: int,
        heads: int,
        head_dim: int,
        value_dim: int | None = None,
        *,
        dtype: Any = "float32",
        capacity: int = 64,
    ) -> None:
        """Make an empty cache."""
        sizes = {"batch": batch, "heads": heads, "head_dim": head_dim}
        sizes["value_dim"] = head_dim if value_dim is None else value_dim
        b, h, d, dv = (checks.integer(name, value, low=0) for name, value in sizes.items())
        kind = np.dtype(dtype)
        if kind not in (np.dtype("f"), np.dtype("d"), *checks.half_types()):
            raise TypeError(f"dtype must be float32, float64, float16 or bfloat16; got {kind}")
        room = checks.integer("capacity", capacity, low=1)
        self._keys, self._values = np.empty((b, h, room, d), kind), np.empty((b, h, room, dv), kind)
        self._length = 0

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self._length

    @property
    def keys(self) -> Array:
        """Keys so far, shape (B, Hkv, n, D): a view."""
        return self._keys[:, :, : self._length]

    @property
    def values(self) -> Array:
        """Values so far, shape (B, Hkv, n, Dv): a view."""
        return self._values[:, :, : self._length]

    def append(self, k: Any, v: Any) -> None:
        """Add keys (B, Hkv, n, D) and values (B, Hkv, n, Dv) of n tokens."""
        pair = []
        for name, value, kept in ("k", k, self._keys), ("v", v, self._values):
            x = checks.floating(name, value, ndim=4, half=True)
            b, h, _, d = kept.shape
            checks.shape(name, x, (b, h, x.shape[2], d), f"({b}, {h}, n, {d})", "to match the cache")
            pair.append(x)
        new_k, new_v = pair
        end = self._length + new_k.shape[2]
        checks.shape("v", new_v, (*new_k.shape[:3], new_v.shape[3]), f"(..., {new_k.shape[2]}, Dv)", "to match k")
        room = self._keys.shape[2]
        if end > room:
            grow = [(0, 0), (0, 0), (0, max(end, 2 * room) - room), (0, 0)]
            self._keys, self._values = np.pad(self._keys, grow), np.pad(self._values, grow)
        self._keys[:, :, self._length : end] = new_k
        self._values[:, :, self._length : end] = new_v
        self._length = end

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first `length`."""
        self._length = checks.integer("length", length, 0, self._length)

    def select(self, rows: Any) -> None:
        """Make sequence i of the batch a copy of sequence ``rows[i]``, as beams are reordered."""
        index = checks.integers("rows", rows, ndim=1, low=0)
        batch = self._keys.shape[0]
        if index.size and int(index.max()) >= batch:
            raise ValueError(f"rows must be below {batch}, the cache's batch; got {int(index.max())}")
        self._keys, self._values = self._keys[index], self._values[index]


def decode(
    q: Any,
    k: Any,
    v: Any,
    cache: KVCache,
    *,
    mask: Any = None,
    bias: Any = None,
    scale: float | None = None,
    backend: str | None = None,
) -> Any:
    """Add n new tokens to a cache and attend from them to all tokens so far, each up to itself.

    Parameters
    ----------
    q : array, shape (B, H, n, D)
        Queries of the new tokens; usually n = 1.
    k, v : arrays, shapes (B, Hkv, n, D) and (B, Hkv, n, Dv)
        Keys and values of the new tokens; kept in the cache's type.
    cache : KVCache
        Changed in place, unless an error is raised.
    mask : Mask or boolean array, optional
        Over (B, H, n, all tokens so far), in addition to the causal order: padding, for instance.
    bias, scale, backend
        As in `scaled_dot_product_attention`.

    Returns
    -------
    array, shape (B, H, n, Dv)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    n tokens at once give what n calls with one token give, and what causal attention over all tokens gives. Source:
    article 6933 of kexue.fm and the decoders of bert4keras.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> cache = kx.attention.KVCache(batch=1, heads=1, head_dim=1, dtype="float64")
    >>> zero = np.zeros((1, 1, 1, 1))
    >>> [float(kx.attention.decode(zero, zero, zero + x, cache).item()) for x in (1, 2, 6)]
    [1.0, 1.5, 3.0]

    """
    if not isinstance(cache, KVCache):
        raise TypeError(f"cache must be a KVCache; got {type(cache).__name__}")
    array = checks.floating("q", q, ndim=4, half=True)
    before = len(cache)
    cache.append(k, v)
    try:
        new = len(cache) - before
        if array.shape[2] != new:
            raise ValueError(f"q must have shape (B, H, {new}, D) to match k's {new} new tokens; got {array.shape}")
        if new > 1:
            given = mask if mask is None or isinstance(mask, Mask) else dense(mask)
            mask = causal() if given is None else given & causal()
        keys, values = cache.keys, cache.values
        if new == 1 and mask is None and bias is None:  # all the memory as it stands: a view would be copied
            keys, values, mask = cache._keys, cache._values, padding(len(cache))
        return scaled_dot_product_attention(q, keys, values, mask=mask, bias=bias, scale=scale, backend=backend)
    except BaseException:
        cache.truncate(before)
        raise
