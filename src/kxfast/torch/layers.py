"""Modules around the gated convolution; sequences are (B, L, D), channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kxfast.torch.arrays import plain
from kxfast.torch.conv import dilated_gated_conv1d
from kxfast.torch.pooling import attention_pooling
from kxfast.torch.stack import dgcnn

_BIAS = "bias"


class DilatedGatedConv1d(nn.Module):
    """One dilated gated convolution (variants A, A0, B, C and D of `kxfast.conv.dilated_gated_conv1d`).

    Parameters
    ----------
    in_channels, out_channels : int
        D and F. Where they differ and `skip` is not "none", x is brought to F channels by a 1x1 convolution.
    kernel_size, dilation : int
    skip : {"gated", "none", "add"}
    gate : {"last", "first"}
    padding : {"same", "causal"}
    bias : bool
    norm : bool
        Normalise what is added, times a scalar that starts at 0 (variant D; needs ``skip="add"``).
    drop_gate : float
        Share of gates dropped while training.
    mask_input : bool, optional
        Whether padding is hidden from the convolution; None: wherever a mask is given.

    Attributes
    ----------
    weight : Parameter, shape (K, D, 2F)
    bias : Parameter, shape (2F,), or None

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> layer = kt.DilatedGatedConv1d(16, 16, dilation=2)
    >>> layer(torch.zeros(2, 9, 16), mask=torch.ones(2, 9)).shape
    torch.Size([2, 9, 16])

    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        *,
        skip: str = "gated",
        gate: str = "last",
        padding: str = "same",
        bias: bool = True,
        norm: bool = False,
        drop_gate: float = 0.0,
        mask_input: bool | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if skip not in ("gated", "none", "add"):
            raise ValueError(f"skip must be one of 'gated', 'none', 'add'; got {skip!r}")
        if norm and skip != "add":
            raise ValueError(f"norm must be False unless skip='add' (variant D); got skip={skip!r}")
        place = {"device": device, "dtype": dtype}
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.dilation, self.skip, self.gate, self.padding = dilation, skip, gate, padding
        self.drop_gate, self.mask_input = drop_gate, mask_input
        self.weight = nn.Parameter(torch.empty(kernel_size, in_channels, 2 * out_channels, **place))
        self.register_parameter(_BIAS, nn.Parameter(torch.empty(2 * out_channels, **place)) if bias else None)
        other = skip != "none" and in_channels != out_channels
        self.shortcut = nn.Linear(in_channels, out_channels, bias=not norm, **place) if other else None
        self.norm = nn.LayerNorm(out_channels, eps=1e-7, **place) if norm else None
        self.register_parameter("alpha", nn.Parameter(torch.zeros((), **place)) if norm else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as torch draws those of a convolution."""
        bound = (self.kernel_size * self.in_channels) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        for module in (self.shortcut, self.norm):
            if module is not None:
                module.reset_parameters()
        if self.alpha is not None:
            nn.init.zeros_(self.alpha)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, L, F) for x (B, L, D) and a mask (B, L) or (B, L, 1), 1 for real positions."""
        shortcut = None if self.shortcut is None else (self.shortcut.weight.t(), self.shortcut.bias)
        norm = None if self.norm is None else (self.norm.weight, self.norm.bias, self.alpha)
        return dilated_gated_conv1d(
            x,
            self.weight,
            self.bias,
            dilation=self.dilation,
            mask=mask,
            skip=self.skip,
            gate=self.gate,
            padding=self.padding,
            mask_input=self.mask_input,
            shortcut=shortcut,
            norm=norm,
            drop_gate=self.drop_gate if self.training else 0.0,
        )

    def extra_repr(self) -> str:
        """Show the sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, dilation={self.dilation}"
        usual = {"skip": "gated", "gate": "last", "padding": "same", "drop_gate": 0.0}
        return text + "".join(f", {k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v)

    @classmethod
    def from_conv1d(cls, candidates: nn.Conv1d, gates: nn.Conv1d | None = None, **options: Any) -> DilatedGatedConv1d:
        """Return a layer with the weights of two convolutions, or of one with 2F channels out.

        The same numbers as ``candidates(x) * sigmoid(gates(x))`` under ``skip="none"``; `options` are those of the
        class. The convolutions must have odd kernels, stride 1 and one group.
        """
        convolutions = [candidates] if gates is None else [candidates, gates]
        for each in convolutions:
            if each.stride != (1,) or each.groups != 1:
                raise ValueError(f"convolutions must have stride 1 and one group; got {each}")
        halves = convolutions[::-1] if options.get("gate") == "first" else convolutions
        weight = torch.cat([each.weight.detach() for each in halves])  # (2F, D, K)
        biases = [each.bias.detach() for each in halves if each.bias is not None]
        if len(biases) not in (0, len(halves)):
            raise ValueError("candidates and gates must both have a bias, or neither")
        (kernel_size,), (dilation,) = candidates.kernel_size, candidates.dilation
        if options.get("padding", "same") == "same" and kernel_size % 2 == 0:
            raise ValueError(f"convolutions must have odd kernels; got {kernel_size}")
        layer = cls(
            *(candidates.in_channels, len(weight) // 2, kernel_size, dilation),
            **{"bias": bool(biases), "device": weight.device, "dtype": weight.dtype} | options,
        )
        with torch.no_grad():
            layer.weight.copy_(weight.permute(2, 1, 0))
            if biases:
                layer.bias.copy_(torch.cat(biases))
        return layer

    def to_conv1d(self) -> tuple[nn.Conv1d, nn.Conv1d]:
        """Return two convolutions over (B, D, L), of candidates and of gates, with copies of the weights."""
        pad = 0 if self.padding == "causal" else self.dilation * (self.kernel_size - 1) // 2
        if self.padding == "same" and self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, as nn.Conv1d pads both ends alike; got {self.kernel_size}")
        found = []
        halves = (0, 1) if self.gate == "last" else (1, 0)
        for half in halves:
            part = slice(half * self.out_channels, (half + 1) * self.out_channels)
            conv = nn.Conv1d(
                *(self.in_channels, self.out_channels, self.kernel_size),
                padding=pad,
                dilation=self.dilation,
                bias=self.bias is not None,
                device=self.weight.device,
                dtype=self.weight.dtype,
            )
            with torch.no_grad():
                conv.weight.copy_(self.weight[..., part].permute(2, 1, 0))
                if conv.bias is not None:
                    conv.bias.copy_(self.bias[part])
            found.append(conv)
        return found[0], found[1]


class DGCNN(nn.ModuleList):
    """A stack of dilated gated convolutions.

    Parameters
    ----------
    channels : int
        D, the same through all layers.
    dilations : sequence of int
        One layer each; the reading-comprehension net of article 6906 has (1, 2, 4, 8, 16, 1).
    kernel_size : int
    **options
        As in `DilatedGatedConv1d`.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.DGCNN(16, (1, 2, 4))(torch.zeros(2, 9, 16)).shape
    torch.Size([2, 9, 16])

    """

    def __init__(self, channels: int, dilations: Sequence[int], kernel_size: int = 3, **options: Any) -> None:
        super().__init__(DilatedGatedConv1d(channels, channels, kernel_size, r, **options) for r in dilations)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, L, D) for x (B, L, D) and a mask (B, L), 1 for real positions."""
        if all(map(_is_bare, self)):
            weights = [each for layer in self for each in (layer.weight, layer.bias)]
            if plain(x, *weights) and weights:
                options = [(each.dilation, each.skip, each.gate, each.padding, each.mask_input) for each in self]
                return dgcnn(x, mask, options, *weights)
        for layer in self:
            x = layer(x, mask)
        return x


def _is_bare(layer: Any) -> bool:
    """Whether a layer is a convolution and nothing else, and no one looks on."""
    return (
        type(layer) is DilatedGatedConv1d
        and layer.norm is None
        and layer.shortcut is None
        and not (layer.training and layer.drop_gate)
        and "forward" not in vars(layer)
        and not any(vars(layer)[hooks] for hooks in _HOOKS)
        and not any(_GLOBAL_HOOKS)
    )


_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_GLOBAL_HOOKS = tuple(getattr(torch.nn.modules.module, f"_global{hooks}") for hooks in _HOOKS)


class AttentionPooling1d(nn.Module):
    """Average over time with learnt weights: ``softmax(act(x hidden) output)``.

    Parameters
    ----------
    channels : int
        D.
    hidden : int, optional
        H; D by default.
    activation : {"tanh", "swish"}
        "swish" comes with a bias, as in article 5409.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.AttentionPooling1d(8)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 8])

    """

    def __init__(self, channels: int, hidden: int | None = None, activation: str = "tanh") -> None:
        super().__init__()
        if activation not in ("tanh", "swish"):
            raise ValueError(f"activation must be one of 'tanh', 'swish'; got {activation!r}")
        self.activation = activation
        self.hidden = nn.Linear(channels, hidden or channels, bias=activation == "swish")
        self.output = nn.Linear(hidden or channels, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (B, D) for x (B, L, D) and a mask (B, L), 1 for real positions."""
        weights = self.hidden.weight.t(), self.output.weight[0]
        return attention_pooling(x, *weights, mask=mask, activation=self.activation, hidden_bias=self.hidden.bias)
