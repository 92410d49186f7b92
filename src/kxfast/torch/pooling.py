"""From a sequence to one vector; of torch's own operators, which are enough for so little work."""

from __future__ import annotations

import torch
from torch import Tensor


def _real(x: Tensor, mask: Tensor | None) -> Tensor | None:
    """Return the mask as booleans (B, L, 1)."""
    if x.ndim != 3:
        raise ValueError(f"x must have 3 dimensions; got shape {tuple(x.shape)}")
    if mask is None:
        return None
    if mask.shape not in (x.shape[:2], (*x.shape[:2], 1)):
        raise ValueError(f"mask must have shape {tuple(x.shape[:2])} to match x; got {tuple(mask.shape)}")
    return (mask != 0).reshape(*x.shape[:2], 1)


def attention_pooling(
    x: Tensor,
    hidden: Tensor,
    output: Tensor,
    *,
    mask: Tensor | None = None,
    activation: str = "tanh",
    hidden_bias: Tensor | None = None,
) -> Tensor:
    """`kxfast.conv.attention_pooling` for tensors: average over time with learnt weights.

    Parameters
    ----------
    x : Tensor, shape (B, L, D)
    hidden : Tensor, shape (D, H)
    output : Tensor, shape (H,)
    mask : Tensor, shape (B, L) or (B, L, 1), optional
        1 for real positions.
    activation : {"tanh", "swish"}
    hidden_bias : Tensor, shape (H,), optional

    Returns
    -------
    Tensor, shape (B, D)
        0 for rows without a real position.

    Raises
    ------
    ValueError
        If an argument has the wrong shape.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> x = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> kt.attention_pooling(x, torch.zeros(1, 2), torch.ones(2), mask=torch.tensor([[1, 1, 0]])).tolist()
    [[2.0]]

    """
    if activation not in ("tanh", "swish"):
        raise ValueError(f"activation must be one of 'tanh', 'swish'; got {activation!r}")
    real = _real(x, mask)
    x = x if real is None else torch.where(real, x, 0.0)
    inner = x @ hidden if hidden_bias is None else x @ hidden + hidden_bias
    logits = (torch.tanh(inner) if activation == "tanh" else inner * torch.sigmoid(inner)) @ output
    if real is not None:
        logits = logits.masked_fill(~real[..., 0], torch.finfo(logits.dtype).min)
    weights = torch.softmax(logits, 1)[:, None]
    return (weights.to(x.dtype) @ x)[:, 0]


def masked_max_pooling(x: Tensor, *, mask: Tensor | None = None, keepdims: bool = False) -> Tensor:
    """`kxfast.conv.masked_max_pooling` for tensors: the largest value of each channel over real positions.

    Parameters
    ----------
    x : Tensor, shape (B, L, D)
    mask : Tensor, shape (B, L) or (B, L, 1), optional
        1 for real positions.
    keepdims : bool
        Whether the result keeps an axis of length 1 for time.

    Returns
    -------
    Tensor, shape (B, D) or (B, 1, D)
        0 for rows without a real position.

    Raises
    ------
    ValueError
        If an argument has the wrong shape.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.masked_max_pooling(torch.tensor([[[-1.0], [5.0]]]), mask=torch.tensor([[1, 0]])).tolist()
    [[-1.0]]

    """
    real = _real(x, mask)
    if real is not None:
        x = torch.where(real, x, -torch.inf)
    found = x.amax(1, keepdim=True)
    found = found if real is None else torch.where(real.any(1, keepdim=True), found, 0.0)
    return found if keepdims else found[:, 0]


def masked_mean_pooling(x: Tensor, *, mask: Tensor | None = None, keepdims: bool = False) -> Tensor:
    """`kxfast.conv.masked_mean_pooling` for tensors: the mean of each channel over real positions.

    Parameters
    ----------
    x : Tensor, shape (B, L, D)
    mask : Tensor, shape (B, L) or (B, L, 1), optional
        1 for real positions.
    keepdims : bool
        Whether the result keeps an axis of length 1 for time.

    Returns
    -------
    Tensor, shape (B, D) or (B, 1, D)
        0 for rows without a real position.

    Raises
    ------
    ValueError
        If an argument has the wrong shape.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.masked_mean_pooling(torch.tensor([[[1.0], [2.0], [5.0]]]), mask=torch.tensor([[1, 1, 0]])).tolist()
    [[1.5]]

    """
    real = _real(x, mask)
    if real is None:
        found = x.mean(1, keepdim=True)
    else:
        found = torch.where(real, x, 0.0).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
    return found if keepdims else found[:, 0]
