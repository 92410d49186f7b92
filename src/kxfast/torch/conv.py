"""Dilated gated convolution as an operator of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kxfast import conv
from kxfast.torch.arrays import Operator, autocast, common_type, fold, found, given, needs_gradient, one_by_one

_NAMES = ("x", "weight", "bias", "shortcut[0]", "shortcut[1]", "norm[0]", "norm[1]", "norm[2]")


def _arrays(inputs: tuple[Tensor | None, ...], mask: Tensor | None) -> tuple[Any, Any, dict[str, Any]]:
    """Return x, weight and the keyword arguments that are arrays."""
    x, weight, bias, *others = (given(name, each) for name, each in zip(_NAMES, inputs, strict=True))
    s, s_bias, gamma, beta, alpha = others
    keywords: dict[str, Any] = {"bias": bias, "mask": given("mask", mask)}
    keywords["shortcut"] = None if s is None else (s, s_bias)
    keywords["norm"] = None if gamma is None else (gamma, beta, float(alpha))
    return x, weight, keywords


def _options(
    dilation: int, skip: str, gate: str, padding: str, mask_input: bool | None, drop: float, seed: Tensor | None
) -> dict[str, Any]:
    return {
        "dilation": dilation,
        "skip": skip,
        "gate": gate,
        "padding": padding,
        "mask_input": mask_input,
        "drop_gate": drop,
        "seed": None if seed is None else int(seed),
    }


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    shortcut_bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    alpha: Tensor | None,
    mask: Tensor | None,
    seed: Tensor | None,
    dilation: int,
    skip: str,
    gate: str,
    padding: str,
    mask_input: bool | None,
    drop: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    inputs = x, weight, bias, shortcut, shortcut_bias, gamma, beta, alpha
    a, w, keywords = _arrays(inputs, mask)
    keywords |= _options(dilation, skip, gate, padding, mask_input, drop, seed)
    if keep:
        y, parts = conv.dilated_gated_conv1d(a, w, return_parts=True, **keywords)
        return found(y), found(parts)
    return found(conv.dilated_gated_conv1d(a, w, **keywords)), x.new_empty(0)


def _shapes(x: Tensor, weight: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    batch, length, _ = x.shape
    kind = common_type(x, weight, *others[:5])
    y = x.new_empty((batch, length, weight.shape[2] // 2), dtype=kind)
    if not others[-1]:
        return y, x.new_empty(0)
    wide = torch.float32 if kind.itemsize == 2 else kind
    return y, x.new_empty((batch, length, weight.shape[2]), dtype=wide)


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shortcut: Tensor | None,
    shortcut_bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    alpha: Tensor | None,
    mask: Tensor | None,
    seed: Tensor | None,
    parts: Tensor | None,
    dilation: int,
    skip: str,
    gate: str,
    padding: str,
    mask_input: bool | None,
    drop: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    inputs = x, weight, bias, shortcut, shortcut_bias, gamma, beta, alpha
    a, w, keywords = _arrays(inputs, mask)
    keywords |= _options(dilation, skip, gate, padding, mask_input, drop, seed)
    keywords["parts"] = given("parts", parts)
    dx, dweight, dbias, *rest = conv.dilated_gated_conv1d_backward(given("grad", grad), a, w, **keywords)
    ds, ds_bias = rest.pop(0) if shortcut is not None else (None, None)
    dgamma, dbeta, dalpha = rest.pop(0) if gamma is not None else (None, None, None)
    absent = x.new_empty(0)

    def result(value: Any, like: Tensor | None) -> Tensor:
        if like is None:
            return absent.clone()
        if like.ndim == 0 and not isinstance(value, Tensor):
            return like.new_tensor(float(value))
        return found(value, like.dtype)

    values = dx, dweight, dbias, ds, ds_bias, dgamma, dbeta, dalpha
    return tuple(map(result, values, inputs))


def _backward_shapes(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return tuple(grad.new_empty(0) if x is None else torch.empty_like(x).contiguous() for x in inputs[:8])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    parts = output[1]
    ctx.save_for_backward(*inputs[:10], parts if inputs[-1] else None)
    ctx.set_materialize_grads(False)  # else zeros as large as the parts are made for their gradient
    ctx.options = inputs[10:-1]
    ctx.mark_non_differentiable(parts)


def _gradients(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * (10 + len(ctx.options) + 1)
    gradients = _gradient_operator(grad, *ctx.saved_tensors, *ctx.options)
    inputs = ctx.saved_tensors[:8]
    wanted = ctx.needs_input_grad
    first = (g if x is not None and need else None for g, x, need in zip(gradients, inputs, wanted, strict=False))
    return *first, *(None,) * (2 + len(ctx.options) + 1)


def _batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    if any(d is not None for d in (*in_dims[1:8], in_dims[9])) or inputs[9] is not None:
        return one_by_one(_operator, info, in_dims, inputs)  # weights of their own, or gates dropped alike
    x, mask = inputs[0], inputs[8]
    if in_dims[0] is None:
        x = x.expand(info.batch_size, *x.shape).flatten(0, 1)
    folded = fold(x, in_dims[0])
    if mask is not None and in_dims[8] is None:
        mask = mask.expand(info.batch_size, *mask.shape).flatten(0, 1)
    elif mask is not None:
        mask = fold(mask, in_dims[8])
    y, parts = _operator(folded, *inputs[1:8], mask, *inputs[9:])
    y = y.unflatten(0, (info.batch_size, -1))
    return (y, parts.unflatten(0, (info.batch_size, -1)) if inputs[-1] else parts), (0, 0 if inputs[-1] else None)


def _backward_batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    return one_by_one(_gradient_operator, info, in_dims, inputs)


_gradient_operator = Operator("dilated_gated_conv1d_backward", _backward, _backward_shapes, _backward_batch)
_operator = Operator("dilated_gated_conv1d", _forward, _shapes, _batch, _save, _gradients)


def dilated_gated_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    mask: Tensor | None = None,
    skip: str = "gated",
    gate: str = "last",
    padding: str = "same",
    mask_input: bool | None = None,
    shortcut: tuple[Tensor, Tensor | None] | None = None,
    norm: tuple[Tensor, Tensor, Tensor] | None = None,
    drop_gate: float = 0.0,
    seed: Tensor | None = None,
) -> Tensor:
    """`kxfast.conv.dilated_gated_conv1d` for tensors, with gradients and ``torch.compile``.

    Parameters
    ----------
    x : Tensor, shape (B, L, D)
    weight : Tensor, shape (K, D, 2F)
    bias : Tensor, shape (2F,), optional
    dilation, mask, skip, gate, padding, mask_input
        As there; `mask` is a tensor of booleans or 0/1.
    shortcut : pair of tensors, shapes (D, F) and (F,) or None, optional
    norm : triple of tensors, shapes (F,), (F,) and (), optional
    drop_gate : float
        Share of gates dropped, for training.
    seed : int64 Tensor, shape (), optional
        Of the dropped gates; drawn from torch's generator where it is not given.

    Returns
    -------
    Tensor, shape (B, L, F)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    BackendError
        If a tensor is on a GPU that backend 'cuda' cannot serve, or on another device.

    Notes
    -----
    Gradients of gradients are not offered. Candidates and gates are kept for the backward pass: 2 F values a position.
    On a GPU all tensors are of one type; the scalar of `norm` is read from there, which waits for it.
    Source: articles 5409 and 6906 of kexue.fm.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> x = torch.ones(1, 3, 2, requires_grad=True)
    >>> y = kt.dilated_gated_conv1d(x, torch.zeros(3, 2, 4))
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]]

    """
    s, s_bias = shortcut if shortcut is not None else (None, None)
    inputs = autocast(x, weight, bias, s, s_bias, *(norm if norm is not None else (None, None, None)))
    if drop_gate and seed is None:
        seed = torch.randint(2**63 - 1, ())
    options = dilation, skip, gate, padding, mask_input, float(drop_gate)
    y: Tensor = _operator(*inputs, mask, seed if drop_gate else None, *options, needs_gradient(*inputs))[0]
    return y
