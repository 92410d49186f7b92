"""Linear layers of float32 in the processor's tiles of bfloat16; torch's own product is the way of all others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kxfast.dispatch import implementation, unable
from kxfast.settings import forced_backend
from kxfast.torch.arrays import PLAIN, Operator, array, one_by_one, tensor, transforms_active

LEAST_SIZE, LEAST_WORK = 32, 2**26  # of each side; multiplications of a product, below which gradients lose


@torch.compiler.assume_constant_result
def _served() -> bool:
    exact = torch.get_float32_matmul_precision() == "highest"  # else torch multiplies fewer parts, and is faster
    return exact and forced_backend.get() in (None, "native") and unable("linear", "native") is None


def _in_pieces(x: Tensor) -> Tensor:
    """Return a matrix whose rows or columns are in one piece."""
    return x if 1 in x.stride() else x.contiguous()


def _forward(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    serve = implementation("linear", "product", dtype="f")
    pieces = (array(name, _in_pieces(x)) for name, x in (("x", a), ("weight", b)))
    return tensor(serve(*pieces, None if bias is None else array("bias", bias.contiguous())))


def _shapes(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return a.new_empty((a.shape[0], b.shape[0]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    need = ctx.needs_input_grad
    da = _operator(grad, b.t(), None) if need[0] else None
    db = _operator(grad.t(), a.t(), None) if need[1] else None
    dbias = (grad.new_ones(1, len(grad)) @ grad)[0] if need[2] else None  # half the time of a sum
    return da, db, dbias


def _batch(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    results, dims = one_by_one(lambda *each: (nn.functional.linear(*each),), info, in_dims, inputs)
    return results[0], dims[0]


_operator = Operator("linear", _forward, _shapes, _batch, _save, _gradients)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear``, in tiles where they are faster.

    Parameters
    ----------
    x : Tensor, shape (..., E)
    weight : Tensor, shape (F, E)
    bias : Tensor, shape (F,), optional

    Returns
    -------
    Tensor, shape (..., F)

    Notes
    -----
    Tiles take float32 on processors with AMX, from 2**26 multiplications on: each number is the sum of three of
    bfloat16, and six of the nine products of parts are summed in float32, with the rounding of float32 products. A sum
    that has an infinite term is NaN there, and numbers below 1e-33 lose digits. Gradients of any order are products
    of the same kind. All other tensors, autocast, and what `torch.set_float32_matmul_precision` asks for go to torch.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.linear(torch.ones(2, 3), torch.ones(4, 3)).shape
    torch.Size([2, 4])

    """
    if not _in_tiles(x, weight, bias):
        return nn.functional.linear(x, weight, bias)
    made: Tensor = _operator(x.reshape(-1, x.shape[-1]), weight, bias)
    return made.view(*x.shape[:-1], weight.shape[0])


def _in_tiles(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if not all(each.dtype is torch.float32 and each.is_cpu for each in tensors) or torch.is_autocast_enabled("cpu"):
        return False
    if not torch.compiler.is_compiling() and (not all(type(each) in PLAIN for each in tensors) or transforms_active()):
        return False
    if weight.dim() != 2 or x.shape[-1] != weight.shape[1] or (bias is not None and bias.shape != weight.shape[:1]):
        return False  # torch says what is wrong
    (columns, depth), rows = weight.shape, x.shape[:-1].numel()
    large: bool = min(rows, columns, depth) >= LEAST_SIZE and rows * columns * depth >= LEAST_WORK
    return large and _served()


class Linear(nn.Linear):
    """``torch.nn.Linear``, its products in tiles where they are faster (`kxfast.torch.linear`).

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.Linear(3, 4)(torch.zeros(2, 3)).shape
    torch.Size([2, 4])

    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        """Return (..., F) for an input (..., E)."""
        return linear(input, self.weight, self.bias)
