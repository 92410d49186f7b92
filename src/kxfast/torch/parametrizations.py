"""Spectral normalisation as a parametrization of modules, and the proof of what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kxfast import lipschitz
from kxfast.torch.arrays import array, found, given
from kxfast.torch.pickling import picklable
from kxfast.torch.spectral import spectral_normalize

_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.Sigmoid: "sigmoid",
}
_CONVOLUTIONS = {1: nn.functional.conv1d, 2: nn.functional.conv2d}


@torch.library.custom_op("kxfast::conv_power_iteration", mutates_args=())
def _iterate(
    weight: Tensor, u: Tensor, v: Tensor, n_iter: int, input_shape: list[int], stride: list[int], padding: list[int],
    dilation: list[int], groups: int, padding_mode: str, eps: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    _, a, b = lipschitz.conv_power_iteration(
        given("weight", weight),
        given("u", u),
        given("v", v),
        n_iter,
        input_shape=tuple(input_shape),
        stride=tuple(stride),
        padding=tuple(padding),
        dilation=tuple(dilation),
        groups=groups,
        padding_mode=padding_mode,
        eps=eps,
    )
    # An operator returns no argument of its own.
    return (found(a), found(b)) if n_iter else (u.clone(), v.clone())


@_iterate.register_fake
def _(weight: Tensor, u: Tensor, v: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(v)


class _Matrix(nn.Module):
    """A weight over the norm of its matrix, as torch's own parametrization gives it."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_iter: int, eps: float, axis: int, coeff: float, mode: str) -> None:
        super().__init__()
        self.n_iter, self.eps, self.axis, self.coeff, self.mode = n_iter, eps, axis, coeff, mode
        rows = weight.detach().movedim(axis, 0).flatten(1)
        for name, size in zip(("_u", "_v"), rows.shape, strict=True):
            start = torch.randn(size, dtype=weight.dtype, device=weight.device)
            self.register_buffer(name, start / start.norm().clamp(min=eps))
        spectral_normalize([rows], [self._u], [self._v], n_iter=15, mode="hard")

    def forward(self, weight: Tensor) -> Tensor:
        rows = weight.movedim(self.axis, 0) if self.axis else weight
        n_iter = self.n_iter if self.training else 0
        (scaled,), _ = spectral_normalize([rows], [self._u], [self._v], coeff=self.coeff, n_iter=n_iter, mode=self.mode)
        return scaled.movedim(0, self.axis) if self.axis else scaled


class _Operator(nn.Module):
    """A kernel over the norm of its convolution on inputs of one size."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, module: Any, input_shape: Sequence[int], n_iter: int, eps: float, coeff: float, mode: str
    ) -> None:
        super().__init__()
        self.n_iter, self.eps, self.coeff, self.mode = n_iter, eps, coeff, mode
        self.input_shape = [int(size) for size in input_shape]
        self.moves = geometry(module)
        self.convolve = _CONVOLUTIONS[len(self.input_shape)]
        weight = module.weight.detach()
        v = torch.randn(module.in_channels, *self.input_shape, dtype=weight.dtype, device=weight.device)
        self.register_buffer("_v", v / v.norm())
        u = self._apply_operator(self._v, weight)
        self.register_buffer("_u", u / u.norm().clamp(min=eps))
        self._advance(weight, 15)

    def _apply_operator(self, v: Tensor, weight: Tensor) -> Tensor:
        pad = [each for size in reversed(self.moves["padding"]) for each in (size, size)]
        circular = self.moves["padding_mode"] == "circular"
        padded = nn.functional.pad(v[None], pad, mode="circular" if circular else "constant")
        moves = {name: self.moves[name] for name in ("stride", "dilation", "groups")}
        return self.convolve(padded, weight, **moves)[0]

    def _advance(self, weight: Tensor, n_iter: int) -> None:
        half = weight.dtype.itemsize == 2
        wide = [x.float() if half else x for x in (weight.detach(), self._u, self._v)]
        with torch.no_grad():
            u, v = _iterate(*wide, n_iter, self.input_shape, **self.moves, eps=self.eps)
            self._u.copy_(u)
            self._v.copy_(v)

    def forward(self, weight: Tensor) -> Tensor:
        if self.training and self.n_iter:
            self._advance(weight, self.n_iter)
        u, v = self._u.clone(), self._v.clone()  # the next step changes them, before a backward pass perhaps
        ratio = (u * self._apply_operator(v, weight)).sum() / self.coeff
        return weight / (ratio.clamp(min=1.0) if self.mode == "soft" else ratio)


def geometry(module: Any) -> dict[str, Any]:
    """Return how a torch convolution moves, in the words of `kxfast.lipschitz`."""
    if module.padding_mode not in ("zeros", "circular"):
        raise ValueError(f"module must pad with zeros or circularly; got padding_mode={module.padding_mode!r}")
    padding = module.padding
    if isinstance(padding, str):
        reach = [r * (k - 1) for r, k in zip(module.dilation, module.kernel_size, strict=True)]
        if padding == "same" and any(each % 2 for each in reach):
            raise ValueError(f"module must pad both ends alike; got padding='same' with kernel {module.kernel_size}")
        padding = [each // 2 if padding == "same" else 0 for each in reach]
    return {
        "stride": list(module.stride),
        "padding": list(padding),
        "dilation": list(module.dilation),
        "groups": module.groups,
        "padding_mode": module.padding_mode,
    }


def spectral_norm(
    module: nn.Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    coeff: float = 1.0,
    mode: str = "hard",
) -> nn.Module:
    """Divide a module's weight by its spectral norm: ``torch.nn.utils.parametrizations.spectral_norm``, done right.

    Without `input_shape` the numbers and the state are those of torch's own. A convolution's kernel, flattened as
    torch does it, has another norm than the convolution (0.64 to 0.68 of it for 3x3 kernels): with `input_shape` the
    power iteration runs with the convolution itself.

    Parameters
    ----------
    module : Module
    name : str
        Which parameter.
    n_power_iterations : int
        Steps at each forward pass in training; none in evaluation.
    eps : float
        Least length a vector is divided by.
    dim : int, optional
        Axis of outputs; 1 for transposed convolutions, else 0.
    input_shape : sequence of int, optional
        Length, or height and width, of the inputs of a ``Conv1d`` or ``Conv2d``.
    coeff : float
        The norm wanted.
    mode : {"hard", "soft"}
        "soft" leaves weights of a smaller norm as they are.

    Returns
    -------
    Module
        `module` itself, changed. See `certificate` for a proof. It can be pickled, which torch's own can not.

    Raises
    ------
    ValueError
        If an argument has the wrong range or the module is none that `input_shape` goes with.

    Notes
    -----
    Source: Miyato et al., arXiv:1802.05957; i-ResNet, arXiv:1811.00995; article 6051 of kexue.fm.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> layer = kt.spectral_norm(torch.nn.Conv2d(3, 4, 3, padding=1), input_shape=(8, 8), coeff=0.9)
    >>> layer(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 4, 8, 8])

    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"module must have a parameter {name!r}; got {type(module).__name__}")
    if mode not in ("hard", "soft"):
        raise ValueError(f"mode must be one of 'hard', 'soft'; got {mode!r}")
    if input_shape is None:
        transposed = isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))
        axis = (1 if transposed else 0) if dim is None else dim
        rule: nn.Module = _Matrix(weight, n_power_iterations, eps, axis, coeff, mode)
    elif isinstance(module, (nn.Conv1d, nn.Conv2d)) and name == "weight" and len(input_shape) == weight.ndim - 2:
        rule = _Operator(module, input_shape, n_power_iterations, eps, coeff, mode)
    else:
        raise ValueError(
            f"input_shape goes with Conv1d (length) and Conv2d (height, width); got {type(module).__name__}"
        )
    return picklable(parametrize.register_parametrization(module, name, rule))


def certificate(
    module: nn.Module, input_shape: Sequence[int] | None = None, *, tol: float = 1e-3
) -> lipschitz.Interval:
    """Enclose the spectral norm of a linear module as it stands, by proof.

    Parameters
    ----------
    module : Linear, Conv1d or Conv2d
    input_shape : sequence of int
        Length, or height and width, of a convolution's inputs.
    tol : float
        Width asked for, relative to the norm.

    Returns
    -------
    Interval
        See `kxfast.lipschitz.spectral_norm` and `kxfast.lipschitz.conv_spectral_norm`.

    Raises
    ------
    ValueError
        If the module is of another kind.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> kt.certificate(torch.nn.Linear(4, 3)).kind
    'proof'

    """
    convolution = isinstance(module, (nn.Conv1d, nn.Conv2d)) and input_shape is not None
    if not convolution and not isinstance(module, nn.Linear):
        raise ValueError(f"module must be Linear, or Conv1d or Conv2d with an input_shape; got {type(module).__name__}")
    training = module.training
    module.eval()  # reading the weight of a module in training moves its power iteration
    weight = _wide("weight", module.weight)
    module.train(training)
    if not convolution:
        return lipschitz.spectral_norm(weight, tol=tol)
    return lipschitz.conv_spectral_norm(weight, tuple(input_shape or ()), tol=tol, **geometry(module))


def _wide(name: str, x: Tensor | None) -> Any:
    """Return the memory of a tensor, or, of a half type, the same numbers in float32."""
    return array(name, x.float() if x is not None and x.dtype.itemsize == 2 else x)


def described(layer: nn.Module) -> lipschitz.Layer:
    """Return a module in the words of `kxfast.lipschitz`."""
    name = _ACTIVATIONS.get(type(layer))
    if name is not None:
        return lipschitz.Activation(name)
    if isinstance(layer, nn.ELU) and layer.alpha == 1:
        return lipschitz.Activation("elu")
    if isinstance(layer, nn.Softplus) and layer.beta == 1:
        return lipschitz.Activation("softplus")
    if isinstance(layer, nn.LeakyReLU) and layer.negative_slope == 0.01:
        return lipschitz.Activation("leaky_relu")
    if isinstance(layer, nn.Linear):
        return lipschitz.Linear(_wide("weight", layer.weight), _wide("bias", layer.bias))
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        kind = lipschitz.Conv1d if isinstance(layer, nn.Conv1d) else lipschitz.Conv2d
        return kind(_wide("weight", layer.weight), _wide("bias", layer.bias), **geometry(layer))
    raise ValueError(f"layers must be Linear, Conv1d, Conv2d or an activation of constant 1; got {layer}")
