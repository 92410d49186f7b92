"""One problem of dilated gated convolutions, for kxfast and for PyTorch in the layouts and modes it offers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

import kxfast as kx

KERNEL = 3
Call = Callable[[], Any]


class Problem:
    """Arrays of one layer or a stack, all of the same width."""

    def __init__(
        self, shape: tuple[int, int, int], dilations: tuple[int, ...], *, ragged: bool = False, half: bool = False
    ) -> None:
        batch, length, channels = shape
        rng = np.random.default_rng(7)
        self.shape, self.dilations = shape, dilations
        normal = partial(self._normal, rng, ml_dtypes.bfloat16 if half else np.float32)
        self.x, self.grad = normal(shape), normal(shape)
        scale = 1 / np.sqrt(KERNEL * channels)
        self.weights = [normal((KERNEL, channels, 2 * channels), scale) for _ in dilations]
        self.biases = [normal((2 * channels,)) for _ in dilations]
        lengths = np.linspace(length / 3, length, batch).astype(int)
        self.mask = np.arange(length) < lengths[:, None] if ragged else None
        self._layers = self._stack(self.x.dtype)
        self._kept = [layer.repack() for layer in self._stack(self.x.dtype)]  # for serving, where weights stay

    @staticmethod
    def _normal(rng: np.random.Generator, kind: Any, shape: tuple[int, ...], scale: float = 1.0) -> Any:
        return (scale * rng.standard_normal(shape)).astype(kind)

    def _stack(self, kind: Any) -> list[kx.conv.GatedLayer]:
        arrays = zip(self.weights, self.biases, self.dilations, strict=True)
        return [kx.conv.GatedLayer(w.astype(kind), b.astype(kind), dilation=d) for w, b, d in arrays]

    @property
    def work(self) -> float:
        """Useful operations of one forward."""
        batch, length, channels = self.shape
        rows = batch * length if self.mask is None else int(self.mask.sum())
        return 2.0 * rows * KERNEL * channels * 2 * channels * len(self.dilations)

    def forward(self) -> Any:
        if len(self.dilations) > 1:
            return kx.conv.dgcnn(self.x, self._kept, mask=self.mask)
        options = {"dilation": self.dilations[0], "mask": self.mask}
        return kx.conv.dilated_gated_conv1d(self.x, self.weights[0], self.biases[0], **options)

    def both(self) -> Any:
        if len(self.dilations) > 1:
            y, kept = kx.conv.dgcnn(self.x, self._layers, mask=self.mask, return_kept=True)
            return y, kx.conv.dgcnn_backward(self.grad, self.x, self._layers, self.mask, kept=kept)
        options = {"dilation": self.dilations[0], "mask": self.mask}
        arrays = (self.x, self.weights[0], self.biases[0])
        y, parts = kx.conv.dilated_gated_conv1d(*arrays, return_parts=True, **options)
        return y, kx.conv.dilated_gated_conv1d_backward(self.grad, *arrays, parts=parts, **options)

    def error(self) -> float:
        """Return the largest error of the forward, relative to the largest value of a float64 one."""
        layers = self._stack(np.float64)
        exact = kx.conv.dgcnn(self.x.astype(np.float64), layers, mask=self.mask, backend="reference")
        return float(np.abs(self.forward().astype(np.float64) - exact).max() / np.abs(exact).max())


def peers(problem: Problem) -> dict[str, tuple[Call, Call]]:
    """Return forward and forward with backward of every peer; a stack compiled too."""
    import torch
    from torch.nn import functional

    def tensor(array: Any) -> Any:
        given = torch.from_numpy(array.astype(np.float32))
        return given if array.dtype == np.float32 else given.to(torch.bfloat16)

    biases = [tensor(each) for each in problem.biases]
    reach = [(KERNEL - 1) * d // 2 for d in problem.dilations]

    def pair(x: Any, weights: Any, mask: Any, grad: Any, convolve: Any, *, compiled: bool) -> tuple[Call, Call]:
        def run(x: Any, weights: Any, biases: Any) -> Any:
            for weight, bias, r, d in zip(weights, biases, reach, problem.dilations, strict=True):
                candidate, gate = convolve(x if mask is None else x * mask, weight, bias, r, d).chunk(2, 1)
                y = x + torch.sigmoid(gate) * (candidate - x)
                x = y if mask is None else y * mask
            return x

        call = torch.compile(run) if compiled else run

        def forward() -> Any:
            with torch.inference_mode():
                return call(x, weights, biases)

        leaves = [each.clone().requires_grad_() for each in (x, *weights, *biases)]
        n = len(weights)

        def both() -> Any:
            return torch.autograd.grad(call(leaves[0], leaves[1 : n + 1], leaves[n + 1 :]), leaves, grad)

        return forward, both

    def narrow(x: Any, w: Any, b: Any, r: int, d: int) -> Any:
        return functional.conv1d(x, w, b, padding=r, dilation=d)

    def flat(x: Any, w: Any, b: Any, r: int, d: int) -> Any:
        return functional.conv2d(x, w, b, padding=(0, r), dilation=(1, d))

    x, grad = (tensor(each).transpose(1, 2).contiguous() for each in (problem.x, problem.grad))
    weights = [tensor(each).permute(2, 1, 0).contiguous() for each in problem.weights]
    mask = None if problem.mask is None else torch.from_numpy(problem.mask).to(x.dtype)[:, None]
    last = {"memory_format": torch.channels_last}
    x2, grad2, *weights2 = [each.unsqueeze(2).contiguous(**last) for each in (x, grad, *weights)]
    mask2 = None if mask is None else mask.unsqueeze(2)
    made = {
        "torch": pair(x, weights, mask, grad, narrow, compiled=False),
        "torch channels last": pair(x2, weights2, mask2, grad2, flat, compiled=False),
    }
    if len(problem.dilations) > 1:
        made["torch compiled"] = pair(x, weights, mask, grad, narrow, compiled=True)
        made["torch channels last, compiled"] = pair(x2, weights2, mask2, grad2, flat, compiled=True)
    return made
