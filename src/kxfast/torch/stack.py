"""A stack of gated convolutions as one function of autograd: a call's cost is paid once, not by every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kxfast import conv
from kxfast.conv import GatedLayer
from kxfast.torch.arrays import array, needs_gradient, tensor

Options = tuple[int, str, str, str, bool | None]  # dilation, skip, gate, padding, mask_input


def dgcnn(x: Tensor, mask: Tensor | None, options: Sequence[Options], *weights: Tensor | None) -> Tensor:
    """Return `kxfast.conv.dgcnn` of a tensor on the CPU; `weights` are weight and bias of each layer, all of one type.

    Gradients of gradients are not offered.
    """
    if needs_gradient(x, *weights):
        y: Tensor = _Stack.apply(x, mask, options, *weights)
        return y
    return tensor(conv.dgcnn(array("x", x), _layers(options, weights), mask=array("mask", mask)))


def _layers(options: Sequence[Options], weights: Sequence[Tensor | None]) -> list[GatedLayer]:
    arrays = [array("weight", each) for each in weights]
    return [GatedLayer(w, b, *each) for w, b, each in zip(arrays[::2], arrays[1::2], options, strict=True)]


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor | None, options: Sequence[Options], *weights: Tensor | None
    ) -> Tensor:
        given = array("x", x), _layers(options, weights)
        y, kept = conv.dgcnn(*given, mask=array("mask", mask), return_kept=True)
        ctx.options = options
        ctx.save_for_backward(x, mask, *weights, *map(tensor, (*kept.inputs[1:], *kept.parts)))
        return tensor(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        n = len(ctx.options)
        x, mask, *saved = ctx.saved_tensors
        a, *kept = (each.numpy() for each in (x.detach(), *saved[2 * n :]))
        layers = _layers(ctx.options, saved[: 2 * n])
        of_forward = conv.Kept((a, *kept[: n - 1]), tuple(kept[n - 1 :]))
        dx, gradients = conv.dgcnn_backward(array("grad", grad), a, layers, array("mask", mask), kept=of_forward)
        pairs = (None if each is None else tensor(each) for pair in gradients for each in pair)
        return tensor(dx), None, None, *pairs
