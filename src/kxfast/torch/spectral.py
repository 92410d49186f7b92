"""Spectral normalisation inside autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kxfast import lipschitz
from kxfast.torch.arrays import ANY_SIGNATURE, found, given, needs_gradient, on_gpu, tensor, transforms_active
from kxfast.torch.memory import Step

_F4 = np.dtype(np.float32)
_NO_GRADIENT = "factors alone have no gradient; use mode 'soft' or 'hard' to differentiate"


def _step(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    arrays, new_us, new_vs = _arrays("weights", weights), _copies(_arrays("us", us)), _copies(_arrays("vs", vs))
    scaled, sigmas = lipschitz.spectral_normalize(arrays, new_us, new_vs, coeff=coeff, n_iter=n_iter, mode=mode)
    made = [_of_type(x, w) for x, w in zip(scaled, arrays, strict=True)]
    return made, [found(x) for x in new_us], [found(x) for x in new_vs], found(sigmas)


def _copies(xs: Sequence[Any]) -> list[Any]:
    return [x.clone() if isinstance(x, Tensor) else x.copy() for x in xs]


def _of_type(x: Any, weight: Any) -> Tensor:
    """Return a scaled weight, or a factor, as a tensor of the weight's type."""
    if type(x) is np.ndarray and x.dtype is _F4 is weight.dtype:
        return torch.from_numpy(x)
    return found(x, weight.dtype) if isinstance(weight, Tensor) else tensor(np.asarray(x, weight.dtype))


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
    named = {"grads": grads, "weights": weights, "us": us, "vs": vs}
    return _gradients_of([_arrays(name, xs) for name, xs in named.items()], given("sigmas", sigmas), coeff, mode)


def _gradients_of(arrays: list[Any], sigmas: Any, coeff: float, mode: str) -> list[Tensor]:
    """Return the gradients of weights; on a GPU torch's own operations make them."""
    grads, weights, us, vs = arrays
    if not isinstance(sigmas, Tensor):
        made = lipschitz.spectral_normalize_backward(grads, weights, us, vs, sigmas, coeff=coeff, mode=mode)
        return [_of_type(x, w) for x, w in zip(made, weights, strict=True)]
    results = []
    for grad, weight, u, v, sigma in zip(grads, weights, us, vs, sigmas, strict=True):
        active = (sigma > (0.0 if mode == "hard" else coeff)) & (sigma > 0)
        factor = torch.where(active, sigma / coeff, 1.0)
        inner = torch.sum(grad.double() * weight) / (factor * factor * coeff)
        slope = torch.outer(u, v).view(weight.shape) * torch.where(active, inner, 0.0)
        results.append((grad / factor - slope).to(weight.dtype))
    return results


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
        there = on_gpu(weights[0])
        direct = None if there else Step.run(weights, *self.state, n_iter=self.n_iter, **self.options)
        self.direct: Step | None = None
        if direct is not None:
            scaled, self.direct = direct
            self.sigmas = self.direct.sigmas
            return scaled
        self.weights = _arrays("weights", weights)
        self.us, self.vs = _arrays("us", self.state[0]), _arrays("vs", self.state[1])
        arrays = self.weights, self.us, self.vs
        made, self.sigmas = lipschitz.spectral_normalize(*arrays, n_iter=self.n_iter, **self.options)
        if keep:  # the next step changes them, before a backward pass perhaps
            self.us, self.vs = _copies(self.us), _copies(self.vs)
        return [_of_type(x, w) for x, w in zip(made, self.weights, strict=True)]

    def gradients(self, grads: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
        if self.options["mode"] == "scale_only":
            raise RuntimeError(_NO_GRADIENT)
        if self.direct is None:
            return _gradients_of([_arrays("grads", grads), self.weights, self.us, self.vs], self.sigmas, **self.options)
        made = self.direct.gradients(grads, weights)
        if made is not None:
            return made
        arrays = [_arrays("grads", grads), _arrays("weights", weights), *self.direct.state()]
        return _gradients_of(arrays, self.sigmas, **self.options)


def _arrays(name: str, xs: Sequence[Tensor]) -> list[Any]:
    """Return the memory of tensors, most often many small ones; `detach` costs as much as `numpy`."""
    if torch.is_grad_enabled():
        xs = [x.detach() for x in xs]
    host = not (xs and on_gpu(xs[0]))
    return [
        x.numpy() if host and x.dtype is torch.float32 and x.is_cpu else given(f"{name}[{i}]", x)
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
        weights = ctx.saved_tensors  # raises if a weight was changed in the meantime
        return None, *ctx.held.gradients(grads, weights)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Any) -> Any:
        if any(d is not None for d in in_dims):
            raise RuntimeError("spectral_normalize does not go over a batch of weights; call it for a list of them")
        found = _Eager.apply(*given)
        return found, (None,) * len(found)


_Eager.forward.__signature__ = ANY_SIGNATURE  # type: ignore[attr-defined]  # as in Operator


_HALF = frozenset((torch.bfloat16, torch.float16))


def _of_half(
    weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str
) -> tuple[list[Tensor], Tensor]:
    """Work in float32 where a weight has two bytes; what is returned and updated keeps its type."""
    lists = [[x.float() if x.dtype in _HALF else x for x in xs] for xs in (weights, us, vs)]
    scaled, sigmas = spectral_normalize(*lists, coeff=coeff, n_iter=n_iter, mode=mode)
    with torch.no_grad():
        for old, new in zip([*us, *vs], [*lists[1], *lists[2]], strict=True):
            if old is not new:
                old.copy_(new)
    return [x.to(w.dtype) for x, w in zip(scaled, weights, strict=True)], sigmas


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
        If a tensor is on a GPU that backend 'cuda' cannot serve, or on another device.

    Notes
    -----
    u and v count as constants in the gradient. bfloat16 and float16 are computed in float32. Source: Miyato et al.,
    arXiv:1802.05957; i-ResNet, arXiv:1811.00995.

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
    if not _HALF.isdisjoint([w.dtype for w in weights]):
        return _of_half(weights, us, vs, *options)
    if torch.compiler.is_compiling():
        scaled, new_us, new_vs, sigmas = _operator(weights, us, vs, *options)
        with torch.no_grad():  # without iterations the state is what it was
            for old, new in zip([*us, *vs], [*new_us, *new_vs], strict=True) if n_iter else ():
                old.copy_(new)
        return list(scaled), sigmas
    held = _Held(us, vs, *options)
    differentiable = needs_gradient(*weights) or transforms_active()
    scaled = _Eager.apply(held, *weights) if differentiable else held.step(weights, keep=False)
    return list(scaled), found(held.sigmas)
