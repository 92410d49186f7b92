"""Spectral normalisation inside autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kxfast import lipschitz
from kxfast.torch.arrays import ANY_SIGNATURE, array, needs_gradient, tensor, transforms_active

_NO_GRADIENT = "factors alone have no gradient; use mode 'soft' or 'hard' to differentiate"


def _step(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    arrays = [array(f"weights[{i}]", w) for i, w in enumerate(weights)]
    new_us, new_vs = (
        [np.array(array(f"{name}[{i}]", x)) for i, x in enumerate(xs)] for name, xs in (("us", us), ("vs", vs))
    )
    scaled, sigmas = lipschitz.spectral_normalize(arrays, new_us, new_vs, coeff=coeff, n_iter=n_iter, mode=mode)
    if mode == "scale_only":
        scaled = [np.asarray(x, w.dtype) for x, w in zip(scaled, arrays, strict=True)]
    return [tensor(x) for x in scaled], [tensor(x) for x in new_us], [tensor(x) for x in new_vs], tensor(sigmas)


@torch.library.custom_op("kxfast::spectral_normalize", mutates_args=())
def _operator(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    return _step(weights, us, vs, coeff, n_iter, mode)


@_operator.register_fake
def _(weights: Any, us: Any, vs: Any, coeff: float, n_iter: int, mode: str) -> Any:
    scaled = [w.new_empty(()) if mode == "scale_only" else torch.empty_like(w).contiguous() for w in weights]
    sigmas = weights[0].new_empty(len(weights), dtype=torch.float64)
    return scaled, [torch.empty_like(x) for x in us], [torch.empty_like(x) for x in vs], sigmas


@torch.library.custom_op("kxfast::spectral_normalize_backward", mutates_args=())
def _backward(
    grads: Sequence[Tensor],
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    sigmas: Tensor,
    coeff: float,
    mode: str,
) -> list[Tensor]:
    given = {"grad": grads, "weights": weights, "us": us, "vs": vs}
    a, b, c, d = ([array(f"{name}[{i}]", x) for i, x in enumerate(xs)] for name, xs in given.items())
    found = lipschitz.spectral_normalize_backward(a, b, c, d, array("sigmas", sigmas), coeff=coeff, mode=mode)
    return [tensor(x) for x in found]


@_backward.register_fake
def _(grads: Any, weights: Any, *others: Any) -> Any:
    return [torch.empty_like(w).contiguous() for w in weights]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    weights, _, _, ctx.coeff, _, ctx.mode = inputs
    _, us, vs, sigmas = output
    ctx.n = len(weights)
    ctx.save_for_backward(*weights, *us, *vs, sigmas)
    ctx.mark_non_differentiable(*us, *vs, sigmas)


def _gradients(ctx: Any, grads: Sequence[Tensor], *_: Any) -> tuple[Any, ...]:
    n, saved = ctx.n, ctx.saved_tensors
    if ctx.mode == "scale_only":
        raise RuntimeError(_NO_GRADIENT)
    parts = saved[:n], saved[n : 2 * n], saved[2 * n : 3 * n]
    return _backward(grads, *parts, saved[-1], ctx.coeff, ctx.mode), [None] * n, [None] * n, None, None, None


_operator.register_autograd(_gradients, setup_context=_save)


class _Held:
    """One step out of graphs, on the memory of the tensors: what a gradient needs of it stays out of autograd's sight.

    As arguments and results of a function of autograd, the state would cost more than the step.
    """

    def __init__(self, us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str) -> None:
        self.state = us, vs
        self.options: dict[str, Any] = {"coeff": coeff, "mode": mode}
        self.n_iter = n_iter

    def step(self, weights: Sequence[Tensor], *, keep: bool) -> list[Tensor]:
        self.weights = _arrays("weights", weights)
        self.us, self.vs = _arrays("us", self.state[0]), _arrays("vs", self.state[1])
        given = self.weights, self.us, self.vs
        scaled, self.sigmas = lipschitz.spectral_normalize(*given, n_iter=self.n_iter, **self.options)
        if keep:  # the next step changes them, before a backward pass perhaps
            self.us, self.vs = ([x.copy() for x in xs] for xs in (self.us, self.vs))
        return [tensor(np.asarray(x, w.dtype)) for x, w in zip(scaled, self.weights, strict=True)]

    def gradients(self, grads: Sequence[Tensor]) -> list[Tensor]:
        if self.options["mode"] == "scale_only":
            raise RuntimeError(_NO_GRADIENT)
        given = _arrays("grads", grads), self.weights, self.us, self.vs, self.sigmas
        return [tensor(x) for x in lipschitz.spectral_normalize_backward(*given, **self.options)]


def _arrays(name: str, xs: Sequence[Tensor]) -> list[Any]:
    return [
        x.detach().numpy() if x.is_cpu and x.dtype is torch.float32 else array(f"{name}[{i}]", x)
        for i, x in enumerate(xs)
    ]


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(*given: Any) -> Any:
        held, *weights = given
        return tuple(held.step(weights, keep=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.held, *weights = inputs
        ctx.save_for_backward(*weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        if transforms_active():
            raise RuntimeError("spectral_normalize has no gradient inside torch.func; use torch.autograd")
        _ = ctx.saved_tensors  # raises if a weight was changed in the meantime
        return None, *ctx.held.gradients(grads)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
        if any(d is not None for d in in_dims):
            raise RuntimeError("spectral_normalize does not go over a batch of weights; call it for a list of them")
        found = _Eager.apply(*given)
        return found, (None,) * len(found)


_Eager.forward.__signature__ = ANY_SIGNATURE  # type: ignore[attr-defined]  # as in Operator


def spectral_normalize(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    *,
    coeff: float = 0.9,
    n_iter: int = 1,
    mode: str = "soft",
) -> tuple[list[Tensor], Tensor]:
    """`kxfast.lipschitz.spectral_normalize` for tensors: many layers in one call, with gradients for the weights.

    Parameters
    ----------
    weights : sequence of tensors, shape (m, ...)
        Outputs first.
    us, vs : sequences of tensors, shapes (m,) and (n,)
        The state of each layer; updated in place.
    coeff : float
        The norm wanted.
    n_iter : int
        Iterations; 0 uses the state as it is.
    mode : {"soft", "hard", "scale_only"}
        "soft" divides by ``max(1, sigma / coeff)``, "hard" by ``sigma / coeff``; "scale_only" returns factors alone.

    Returns
    -------
    scaled : list of tensors
    sigmas : Tensor, shape (layers,), float64

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.
    BackendError
        If a tensor is not on the CPU.

    Notes
    -----
    u and v count as constants in the gradient. Source: Miyato et al., arXiv:1802.05957; i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> w, u, v = torch.diag(torch.tensor([3.0, 1.0])), torch.ones(2), torch.ones(2)
    >>> scaled, sigmas = kt.spectral_normalize([w], [u], [v], n_iter=20)
    >>> round(float(scaled[0][0, 0]), 4), round(float(sigmas[0]), 4)
    (0.9, 3.0)

    """
    n = len(weights)
    if not n == len(us) == len(vs):
        raise ValueError(f"us and vs must have {n} entries to match weights; got {len(us)} and {len(vs)}")
    if not n:
        return [], torch.zeros(0, dtype=torch.float64)
    options = float(coeff), n_iter, mode
    if torch.compiler.is_compiling():
        scaled, new_us, new_vs, sigmas = _operator(weights, us, vs, *options)
        with torch.no_grad():  # without iterations the state is what it was
            for old, new in zip([*us, *vs], [*new_us, *new_vs], strict=True) if n_iter else ():
                old.copy_(new)
        return list(scaled), sigmas
    held = _Held(us, vs, *options)
    differentiable = needs_gradient(*weights) or transforms_active()
    scaled = _Eager.apply(held, *weights) if differentiable else held.step(weights, keep=False)
    return list(scaled), tensor(held.sigmas)
