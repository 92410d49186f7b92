"""Attention under masks as an operator of torch."""

from __future__ import annotations

import hashlib
import pickle
import uuid
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor

from kxfast import attention
from kxfast.masks import Mask
from kxfast.torch.arrays import Operator, autocast, common_type, fold, found, given, one_by_one

# Operators of torch take tensors, numbers and strings: a mask travels under a name. Names of masks in compiled graphs
# tell their content, since graphs are kept between processes, and hold them for good.
_names: WeakKeyDictionary[Mask, str] = WeakKeyDictionary()
_masks: WeakValueDictionary[str, Mask] = WeakValueDictionary()
_compiled: dict[str, Mask] = {}
_numbers = count()
_process = uuid.uuid4().hex


def _name(mask: Mask) -> str:
    name = _names.get(mask)
    if name is None:
        name = _names[mask] = f"{next(_numbers)}"
        _masks[name] = mask
    return name


@torch.compiler.assume_constant_result
def _lasting_name(mask: Mask) -> str:
    """Return a name for a graph; run when the graph is made, and again whenever it meets another mask."""
    try:
        name = hashlib.sha256(pickle.dumps(mask)).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError):  # a function that has no name
        name = f"{_process}-{_name(mask)}"
    _compiled[name] = mask
    return name


def _mask(name: str, mask: Tensor | None) -> Any:
    if not name:
        return given("mask", mask)
    known = _masks.get(name)
    known = known if known is not None else _compiled.get(name)
    if known is None:
        raise RuntimeError("a compiled graph was loaded whose mask is not there; compile it again in this process")
    return known


def _forward(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, name: str, scale: float | None
) -> tuple[Tensor, Tensor]:
    out, lse = attention.scaled_dot_product_attention(
        given("q", q),
        given("k", k),
        given("v", v),
        mask=_mask(name, mask),
        bias=given("bias", bias),
        scale=scale,
        return_lse=True,
    )
    return found(out), found(lse)


def _laid_out(like: Tensor, rows: int, columns: int, kind: torch.dtype) -> Tensor:
    """Return an empty tensor (B, H, rows, columns), on the CPU with heads inside of rows in memory if `like` is so."""
    batch, heads = like.shape[:2]
    if like.device.type == "cpu" and like.stride(3) == 1 and like.stride(1) < like.stride(2):
        return like.new_empty((batch, rows, heads, columns), dtype=kind).transpose(1, 2)
    return like.new_empty((batch, heads, rows, columns), dtype=kind)


def _shapes(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *others: Any) -> tuple[Tensor, Tensor]:
    kind = common_type(q, k, v, bias)
    lse = torch.float32 if kind.itemsize == 2 else kind
    return _laid_out(q, q.shape[2], v.shape[3], kind), q.new_empty(q.shape[:3], dtype=lse)


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    out: Tensor,
    lse: Tensor,
    name: str,
    scale: float | None,
    need_dbias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tensors = {"grad": grad, "q": q, "k": k, "v": v, "out": out, "lse": lse}
    results = attention.scaled_dot_product_attention_backward(
        *(given(each, x) for each, x in tensors.items()),
        mask=_mask(name, mask),
        bias=given("bias", bias),
        scale=scale,
        need_dbias=need_dbias,
    )
    first = (found(dx, x.dtype) for dx, x in zip(results, (q, k, v), strict=False))
    dbias = q.new_empty(0) if bias is None or not need_dbias else found(results[3], bias.dtype)
    return *first, dbias


def _backward_shapes(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *others: Any
) -> tuple[Tensor, ...]:
    dbias = torch.empty_like(bias).contiguous() if bias is not None and others[-1] else q.new_empty(0)
    return *(_laid_out(x, x.shape[2], x.shape[3], x.dtype) for x in (q, k, v)), dbias


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, name, scale = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)
    ctx.options = name, scale
    ctx.mask = _masks.get(name)  # it lives as long as the graph
    ctx.mark_non_differentiable(output[1])


def _gradients(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 7
    need = ctx.needs_input_grad
    found = _gradient_operator(grad, *ctx.saved_tensors, *ctx.options, need[3])
    return *(dx if wanted else None for dx, wanted in zip(found, need[:4], strict=True)), None, None, None


def _batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    plain = inputs[3] is None and inputs[4] is None and not inputs[5]
    if not plain or any(d is None for d in in_dims[:3]):
        return one_by_one(_operator, info, in_dims, inputs)
    folded = (fold(x, d) for x, d in zip(inputs[:3], in_dims[:3], strict=True))
    found = _operator(*folded, *inputs[3:])
    return tuple(x.unflatten(0, (info.batch_size, -1)) for x in found), (0, 0)


def _backward_batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    return one_by_one(_gradient_operator, info, in_dims, inputs)


_gradient_operator = Operator("attention_backward", _backward, _backward_shapes, _backward_batch)
_operator = Operator("attention", _forward, _shapes, _batch, _save, _gradients)


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Mask | Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """`kxfast.attention.scaled_dot_product_attention` for tensors, with gradients and ``torch.compile``.

    Parameters
    ----------
    q : Tensor, shape (B, H, Lq, D)
    k : Tensor, shape (B, Hkv, Lk, D)
    v : Tensor, shape (B, Hkv, Lk, Dv)
    mask : Mask or boolean Tensor, optional
        A mask of `kxfast.masks` costs what it lets through. Make masks outside of compiled functions: each is a
        constant of the graph, and another one compiles again; what changes with every batch is best a tensor there.
    bias : Tensor, optional
        Broadcasts to (B, H, Lq, Lk); added before scaling.
    scale : float, optional
        ``1 / sqrt(D)`` if not given.

    Returns
    -------
    Tensor, shape (B, H, Lq, Dv)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    BackendError
        If a tensor is on a GPU that backend 'cuda' cannot serve, or on another device.

    Notes
    -----
    Gradients of gradients are not offered. Memory for the backward pass: the result and a number a query and head.
    Source: Vaswani et al., arXiv:1706.03762; articles 4765 and 6933 of kexue.fm.

    Examples
    --------
    >>> import torch, kxfast as kx, kxfast.torch as kt
    >>> q, k = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2)
    >>> v = torch.tensor([[[[1.0], [2.0], [6.0]]]], requires_grad=True)
    >>> kt.scaled_dot_product_attention(q, k, v, mask=kx.masks.causal()).flatten().tolist()
    [1.0, 1.5, 3.0]

    """
    a, b, c, d = autocast(q, k, v, bias)
    name, given = "", mask
    if isinstance(mask, Mask):
        name, given = _lasting_name(mask) if torch.compiler.is_compiling() else _name(mask), None
    elif mask is not None and not isinstance(mask, Tensor):
        raise TypeError(f"mask must be a kxfast mask, a boolean tensor or None; got {type(mask).__name__}")
    out: Tensor = _operator(a, b, c, d, given, name, scale)[0]
    return out
