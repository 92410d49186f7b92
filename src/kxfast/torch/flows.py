"""Invertible residual blocks for tensors: log-determinant, and a module that carries its proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from kxfast import lipschitz
from kxfast.torch.inverses import Map, inverse_of, inverse_of_block, transposed, wide_module
from kxfast.torch.parametrizations import described, spectral_norm


def _with_transpose(g: Map, x: Tensor) -> tuple[Tensor, Callable[[Tensor, bool], Tensor]]:
    """Return g(x), and what multiplies by its Jacobian from the left; in graphs by torch.func, as they take it."""
    if torch.compiler.is_compiling():
        value, pull = torch.func.vjp(g, x)
        return value, lambda v, keep: pull(v)[0]
    value = g(x)
    return value, lambda v, keep: transposed(value, x, v, keep)


def logdet_series(
    g: Map, x: Tensor, *, terms: int = 10, probes: int = 1, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return ``g(x)`` and an estimate of ``log det(I + J)`` of ``x + g(x)``, with the Neumann gradient.

    Parameters
    ----------
    g : callable
        Maps a batch of tensors to another of its shape; each sample on its own.
    x : Tensor, shape (B, ...)
    terms : int
        Terms of the series.
    probes : int
        Rademacher probes; the estimate is their mean.
    generator : torch.Generator, optional
        Of the probes.

    Returns
    -------
    value : Tensor, shape of x
    logdet : Tensor, shape (B,)

    Notes
    -----
    The gradient takes the probe's last product alone, ``e' sum (-J)^k (dJ) e``: memory does not grow with `terms`.
    Source: Residual Flows, arXiv:1906.02735; i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> weight = torch.tensor([[0.5]], requires_grad=True)
    >>> _, logdet = kt.logdet_series(lambda x: x @ weight, torch.zeros(1, 1), terms=40)
    >>> logdet.sum().backward()
    >>> round(logdet.item(), 4), round(weight.grad.item(), 4)  # log 1.5, 1 / 1.5
    (0.4055, 0.6667)

    """
    if terms < 1 or probes < 1:
        raise ValueError(f"terms and probes must be at least 1; got {terms} and {probes}")
    wanted, given = torch.is_grad_enabled(), {} if generator is None else {"generator": generator}
    total = x.new_zeros(len(x))
    with torch.enable_grad():
        at = x if x.requires_grad or torch.compiler.is_compiling() else x.detach().requires_grad_()
        value, back = _with_transpose(g, at)
        for _ in range(probes):
            drawn = torch.randint(2, at.shape, device=at.device, **given)
            probe = drawn.to(at.dtype) * 2 - 1
            v, series, neumann = probe, x.new_zeros(len(x)), probe
            for k in range(1, terms + 1):
                last = k == terms
                v = back(v, False).detach()
                series = series - (-1) ** k / k * (v * probe).flatten(1).sum(1)
                if not last:
                    neumann = neumann + (-1) ** k * v
            if wanted:
                surrogate = (back(neumann, True) * probe).flatten(1).sum(1)
                series = series.detach() + surrogate - surrogate.detach()
            total = total + series / probes
    return (value, total) if wanted else (value.detach(), total.detach())


class InvertibleResidualBlock(nn.Module):
    """``y = x + g(x)`` with g a chain of normalised layers: forward with log-determinant, inverse, certificate.

    Parameters
    ----------
    layers : sequence of Modules
        ``Linear``, ``Conv1d``, ``Conv2d`` and the activations ``Tanh``, ``ELU``, ``ReLU``, ``LeakyReLU``, ``Softplus``
        and ``Sigmoid``; the last gives the shape of the input. Weights are normalised by `spectral_norm`.
    input_shape : tuple of int
        Of one sample: (n,), (D, L) or (D, H, W).
    coeff : float
        The norm each layer is brought below.
    terms : int
        Of the series of the log-determinant.
    n_power_iterations : int
        At each forward pass in training.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> block = kt.InvertibleResidualBlock([torch.nn.Linear(2, 8), torch.nn.ELU(), torch.nn.Linear(8, 2)], (2,)).eval()
    >>> x = torch.randn(5, 2)
    >>> y, logdet = block(x)
    >>> logdet.shape, bool(torch.allclose(block.inverse(y), x, atol=1e-4)), bool(block.certificate().upper < 1)
    (torch.Size([5]), True, True)

    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        input_shape: Sequence[int],
        coeff: float = 0.9,
        terms: int = 10,
        n_power_iterations: int = 1,
    ) -> None:
        super().__init__()
        self.input_shape, self.coeff, self.terms = tuple(input_shape), coeff, terms
        sample = torch.zeros(1, *self.input_shape, dtype=next(p.dtype for each in layers for p in each.parameters()))
        for layer in layers:
            described(layer)  # raises for one of another kind
            before, sample = sample, layer(sample)
            if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                place = None if isinstance(layer, nn.Linear) else before.shape[2:]
                spectral_norm(layer, "weight", n_power_iterations, input_shape=place, coeff=coeff, mode="soft")
        if sample.shape[1:] != self.input_shape:
            raise ValueError(f"layers must map {self.input_shape} to itself; got {tuple(sample.shape[1:])}")
        self.g = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y (B, ...) and the log-determinant (B,) of the block at x (B, ...)."""
        g = self._chain() if torch.compiler.is_compiling() else self.g
        value, logdet = logdet_series(g, x, terms=self.terms)
        return x + value, logdet

    def _chain(self) -> Map:
        """Return g with the weights of this pass: what torch.func differentiates may not move their state."""
        kinds = nn.Linear, nn.Conv1d, nn.Conv2d
        weights = [layer.weight if isinstance(layer, kinds) else None for layer in self.g]

        def run(x: Tensor) -> Tensor:
            for layer, weight in zip(self.g, weights, strict=True):
                if isinstance(layer, nn.Linear):
                    x = nn.functional.linear(x, weight, layer.bias)
                else:
                    x = layer(x) if weight is None else layer._conv_forward(x, weight, layer.bias)
            return x

        return run

    def inverse(self, y: Tensor, *, tol: float = 1e-6) -> Tensor:
        """Return x (B, ...) with ``x + g(x) = y``, within `tol` where the block is proven to be a contraction."""
        if torch.compiler.is_compiling():
            return inverse_of_block(self, y, tol)
        read = wide_module(self, y)
        options = {"lipschitz": read.constant(), "tol": tol, "max_steps": 1000, "window": 5}
        return inverse_of(read._fixed, y, options, list(self.g.parameters()), list(read.g.parameters()))

    def constant(self) -> float | None:
        """Return the proven Lipschitz constant of g as it stands, if it is below 1."""
        upper = float(self.certificate().upper)
        return upper if upper < 1 else None

    def _fixed(self, x: Tensor) -> Tensor:
        """Return g(x) with the weights as they stand: without the power iteration of training."""
        training = self.g.training
        self.g.eval()
        try:
            value: Tensor = self.g(x)
        finally:
            self.g.train(training)
        return value

    def certificate(self) -> lipschitz.Interval:
        """Enclose the Lipschitz constant of g as it stands, by proof."""
        training = self.g.training
        self.g.eval()  # reading a weight of a module in training moves its power iteration
        layers = [described(layer) for layer in self.g]
        self.g.train(training)
        return lipschitz.lipschitz_bounds(layers, self.input_shape, points=0)
