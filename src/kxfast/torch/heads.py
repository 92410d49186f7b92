"""Multi-head attention as a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kxfast.masks import Mask
from kxfast.torch.attention import scaled_dot_product_attention
from kxfast.torch.products import Linear, linear


class MultiHeadAttention(nn.Module):
    """Multi-head attention under any mask of `kxfast.masks`; sequences are (B, L, E).

    Parameters have the names and shapes of ``torch.nn.MultiheadAttention``'s (with keys and values as wide as
    queries): ``load_state_dict`` takes either's state.

    Parameters
    ----------
    embed_dim : int
        E.
    num_heads : int
        H; it divides E.
    bias : bool
        Whether the projections have biases.

    Examples
    --------
    >>> import torch, kxfast as kx, kxfast.torch as kt
    >>> heads = kt.MultiHeadAttention(16, 2)
    >>> heads(torch.zeros(1, 5, 16), mask=kx.masks.causal()).shape
    torch.Size([1, 5, 16])

    """

    def __init__(
        self, embed_dim: int, num_heads: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"num_heads must divide embed_dim {embed_dim}; got {num_heads}")
        place = {"device": device, "dtype": dtype}
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim, **place))
        self.register_parameter("in_proj_bias", nn.Parameter(torch.zeros(3 * embed_dim, **place)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **place)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Return (B, Lq, E) for query (B, Lq, E), key and value (B, Lk, E); both are the query if not given."""
        key = query if key is None else key
        value = key if value is None else value
        if key is query and value is query:
            projected = linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            weights = self.in_proj_weight.chunk(3)
            biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
            inputs = query, key, value
            projected = [linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected)
        out = scaled_dot_product_attention(q, k, v, mask=mask, bias=bias)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.embed_dim}, {self.num_heads}"
