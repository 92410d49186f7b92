"""``torch.nn.functional.scaled_dot_product_attention`` served by kxfast, where it is able and faster."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kxfast import masks
from kxfast.masks import Mask
from kxfast.torch.arrays import array
from kxfast.torch.attention import scaled_dot_product_attention

# Below so many multiplications torch's own is as quick; measured by benchmarks/bench_torch.py.
_WORTH = 2_000_000
_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_CAUSAL = masks.causal(align="start")  # torch's convention: the first query stands at the first key


@dataclass
class Served:
    """How many calls were served here, and how many were passed on to torch.

    Attributes
    ----------
    served, passed : int
    reasons : dict
        How often a call was passed on, by the reason.

    """

    served: int
    passed: int
    reasons: dict[str, int]


class _Patterns:
    """The masks of the last boolean tensors: their intervals are found once, and compared ever after."""

    def __init__(self) -> None:
        self._last: deque[tuple[Any, Mask]] = deque(maxlen=4)

    def of(self, given: Tensor) -> Mask:
        """Return what a boolean tensor says as a mask."""
        values = array("attn_mask", given)
        for known, mask in self._last:
            if known.shape == values.shape and np.array_equal(known, values):
                return mask
        mask = masks.dense(values)
        self._last.append((mask.array, mask))  # type: ignore[attr-defined]  # dense masks have it
        return mask


class install_sdpa:  # noqa: N801  # used as a function
    """Serve ``torch.nn.functional.scaled_dot_product_attention`` on CPU tensors by kxfast, until undone.

    Called as a function it holds for the process until `uninstall`; as a context manager for its block. A call is
    served if kxfast can do it (no dropout, no nested or other special tensors) and is faster (it is large enough);
    all else goes to torch as it was. Boolean masks of one run of keys a query (causal, UniLM, prefix, padding,
    windows) cost what they let through. The name imported before, by ``from torch.nn.functional import …``, is not
    replaced.

    Parameters
    ----------
    always : bool
        Serve small calls too.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> q = torch.randn(1, 2, 256, 32)
    >>> with kt.install_sdpa() as switch:
    ...     out = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    >>> switch.counts().served
    1

    """

    def __init__(self, *, always: bool = False) -> None:
        self._always = always
        self._served = 0
        self._reasons: dict[str, int] = {}
        self._lock = threading.Lock()
        self._patterns = _Patterns()
        self._original: Callable[..., Tensor] | None = functional.scaled_dot_product_attention
        self._serve = self._wrapped(self._original)
        functional.scaled_dot_product_attention = self._serve

    def uninstall(self) -> None:
        """Put back what was there before; once is enough, twice does no harm."""
        if self._original is None:
            return
        if functional.scaled_dot_product_attention is not self._serve:
            raise RuntimeError("scaled_dot_product_attention has been replaced since; undo that first")
        functional.scaled_dot_product_attention = self._original
        self._original = None

    def counts(self) -> Served:
        """Return how many calls were served and how many passed on, with the reasons."""
        return Served(self._served, sum(self._reasons.values()), dict(self._reasons))

    def __enter__(self) -> install_sdpa:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    def _wrapped(self, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def scaled_dot_product_attention(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            attn_mask: Tensor | None = None,
            dropout_p: float = 0.0,
            is_causal: bool = False,
            scale: float | None = None,
            enable_gqa: bool = False,
        ) -> Tensor:
            reason = _reason(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
            if reason is None and not self._always and query.numel() * key.shape[-2] < _WORTH:
                reason = "small"
            if not torch.compiler.is_compiling():
                with self._lock:
                    if reason is None:
                        self._served += 1
                    else:
                        self._reasons[reason] = self._reasons.get(reason, 0) + 1
            if reason is not None:
                options = {"scale": scale, "enable_gqa": enable_gqa}
                return original(query, key, value, attn_mask, dropout_p, is_causal, **options)
            return self._answer(query, key, value, attn_mask, is_causal, scale)

        return scaled_dot_product_attention

    def _answer(
        self, q: Tensor, k: Tensor, v: Tensor, given: Tensor | None, causal: bool, scale: float | None
    ) -> Tensor:
        flat = q.ndim == 3
        if flat:
            q, k, v = q[None], k[None], v[None]
            given = given[None] if given is not None and given.ndim == 3 else given
        mask: Mask | Tensor | None = _CAUSAL if causal else None
        bias = None
        if given is not None and given.dtype is torch.bool:
            mask = given if torch.compiler.is_compiling() else self._patterns.of(given)
        elif given is not None:  # torch adds it after scaling
            bias = given / (q.shape[-1] ** -0.5 if scale is None else scale)
        out = scaled_dot_product_attention(q, k, v, mask=mask, bias=bias, scale=scale)
        return out[0] if flat else out


def _reason(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, causal: bool, grouped: bool
) -> str | None:
    """Return why kxfast cannot serve a call, or None if it can."""
    if any(type(x) not in (Tensor, torch.nn.Parameter) or x.is_nested for x in (q, k, v)):
        return "special tensors"
    if any(x.device.type != "cpu" for x in (q, k, v)):
        return "not on the CPU"
    if dropout:
        return "dropout"
    usual = q.ndim in (3, 4) and q.ndim == k.ndim == v.ndim and q.dtype == k.dtype == v.dtype and q.dtype in _TYPES
    if not usual or not _fitting(q, k, v, grouped) or (mask is not None and (causal or not _masking(mask, q, k))):
        return "shapes or types"  # among them torch's own errors
    return None


def _fitting(q: Tensor, k: Tensor, v: Tensor, grouped: bool) -> bool:
    heads, groups = q.shape[-3], k.shape[-3]
    alike = q.shape[:-3] == k.shape[:-3] and k.shape[:-1] == v.shape[:-1] and q.shape[-1] == k.shape[-1]
    return alike and (heads == groups or (grouped and groups > 0 and heads % groups == 0))


def _masking(mask: Tensor, q: Tensor, k: Tensor) -> bool:
    leading = mask.shape[:-2]
    if mask.dtype not in (torch.bool, q.dtype) or not 2 <= mask.ndim <= q.ndim:
        return False
    if mask.shape[-2:] != (q.shape[-2], k.shape[-2]):
        return False
    return all(a in (1, b) for a, b in zip(leading, q.shape[q.ndim - 2 - len(leading) : -2], strict=True))
