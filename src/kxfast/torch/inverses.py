"""Fixed points: the inverse of a residual block, with gradients, inside compiled graphs too."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from kxfast import lipschitz
from kxfast.torch.arrays import array, tensor

Map = Callable[[Tensor], Tensor]


def transposed(y: Tensor, x: Tensor, v: Tensor, keep: bool) -> Tensor:
    """Return v times the Jacobian of y by x."""
    found: Tensor = torch.autograd.grad(y, x, v, retain_graph=True, create_graph=keep)[0]
    return found


def _wide(x: Tensor) -> Tensor:
    """Return a tensor of a half type in float32: steps that round as it does would not end."""
    return x.float() if x.dtype.itemsize == 2 else x


def wide_module(g: Any, y: Tensor) -> Any:
    """Return a module as it is, or a copy in float32 for sequences y of a half type."""
    return copy.deepcopy(g).float() if y.dtype.itemsize == 2 and isinstance(g, nn.Module) else g


def _solved(g: Map, y: Tensor, options: dict[str, Any]) -> Tensor:
    found = lipschitz.residual_inverse(lambda x: array("g's result", g(tensor(x))), array("y", y), **options)
    if not found.converged.all():
        raise RuntimeError(f"residual_inverse: {int((~found.converged).sum())} of {len(y)} samples did not converge")
    return tensor(found.x, y.dtype)


def _solved_back(pull: Map, grad: Tensor, options: dict[str, Any]) -> Tensor:
    """Return v with v + v J = grad."""
    step = lambda v: array("gradient", pull(tensor(v)))  # noqa: E731
    return tensor(lipschitz.residual_inverse(step, array("grad", grad), **options).x, grad.dtype)


def _exactly() -> Any:
    """Return a context without autocast, in which steps end."""
    return torch.autocast("cpu", enabled=False)


class _Inverse(torch.autograd.Function):
    """The solution of x + g(x) = y; its gradient solves the transposed equation, by the same steps.

    `own`: the tensors that g reads where it is asked for the gradients of `parameters`.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, g: Map, options: dict[str, Any], own: Sequence[Tensor], *parameters: Tensor
    ) -> Tensor:
        ctx.g, ctx.options, ctx.own, ctx.parameters, ctx.dtype = g, options, own, parameters, y.dtype
        with _exactly():
            x = _solved(g, _wide(y), options)
        ctx.save_for_backward(x)
        return x.to(y.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        wanted = [own for p, own in zip(ctx.parameters, ctx.own, strict=True) if p.requires_grad]
        with _exactly():
            with torch.enable_grad():
                x = ctx.saved_tensors[0].detach().requires_grad_()
                value = ctx.g(x)
            v = _solved_back(lambda v: transposed(value, x, v, False), _wide(grad), ctx.options)
            found = iter(torch.autograd.grad(value, wanted, -v, allow_unused=True) if wanted else ())
        gradients = [(next(found) if p.requires_grad else None, p.dtype) for p in ctx.parameters]
        cast = (each if each is None else each.to(dtype) for each, dtype in gradients)
        return v.to(ctx.dtype), None, None, None, *cast


def inverse_of(
    g: Map, y: Tensor, options: dict[str, Any], parameters: Sequence[Tensor], own: Sequence[Tensor]
) -> Tensor:
    """Return the inverse of x + g(x) at y; gradients of what g reads, `own`, go to `parameters`."""
    x: Tensor = _Inverse.apply(y, g, options, own, *parameters)
    return x


# In a graph the map travels under a name; torch.func differentiates it, for autograd is not heard inside of operators.
_maps: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()
_numbers = count()
_process = uuid.uuid4().hex  # graphs are kept between processes, modules are not


@torch.compiler.assume_constant_result
def _lasting_name(g: nn.Module) -> str:
    """Return a name for a graph; run when the graph is made."""
    name = f"{_process}-{next(_numbers)}"
    _maps[name] = g
    return name


@contextmanager
def _named(name: str, block: bool, y: Tensor) -> Iterator[tuple[nn.Module, float | None]]:
    """Yield a map and, of a block, its proven constant; that map stands still: no power iteration."""
    known: Any = wide_module(_maps.get(name), y)
    if known is None:
        raise RuntimeError("the module of a compiled residual_inverse is not there any more; compile it again")
    if not block:
        yield known, None
        return
    constant, training = known.constant(), known.g.training
    known.g.eval()
    try:
        yield known.g, constant
    finally:
        known.g.train(training)


def _forward(
    y: Tensor,
    parameters: Sequence[Tensor],
    name: str,
    block: bool,
    lipschitz: float | None,
    tol: float,
    max_steps: int,
    window: int,
) -> tuple[Tensor, Tensor]:
    with _exactly(), _named(name, block, y) as (g, proven):
        constant = proven if block else lipschitz
        options = {"lipschitz": constant, "tol": tol, "max_steps": max_steps, "window": window}
        used = torch.tensor(float("nan") if constant is None else constant, dtype=torch.float64)
        return _solved(g, _wide(y), options).to(y.dtype), used


def _backward(
    grad: Tensor,
    x: Tensor,
    parameters: Sequence[Tensor],
    used: Tensor,
    name: str,
    block: bool,
    tol: float,
    max_steps: int,
    window: int,
) -> list[Tensor]:
    constant = None if used.isnan() else used.item()
    options = {"lipschitz": constant, "tol": tol, "max_steps": max_steps, "window": window}
    with _exactly(), _named(name, block, grad) as (g, _):
        names = [each for each, _ in g.named_parameters()]

        def run(x: Tensor, *given: Tensor) -> Any:
            return torch.func.functional_call(g, dict(zip(names, map(_wide, given), strict=True)), (x,))

        _, pull = torch.func.vjp(run, _wide(x), *parameters)
        v = _solved_back(lambda v: pull(v)[0], _wide(grad), options)
        return [v.to(grad.dtype), *(each.clone() for each in pull(-v)[1:])]


_operator = torch.library.custom_op("kxfast::residual_inverse", _forward, mutates_args=())
_operator_back = torch.library.custom_op("kxfast::residual_inverse_backward", _backward, mutates_args=())
_operator.register_fake(lambda y, *_: (torch.empty_like(y), y.new_empty((), dtype=torch.float64)))
_operator_back.register_fake(lambda grad, x, given, *_: [torch.empty_like(each) for each in (x, *given)])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _, parameters, *named, _, tol, max_steps, window = inputs
    ctx.save_for_backward(*output, *parameters)
    ctx.options = *named, tol, max_steps, window


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    x, used, *parameters = ctx.saved_tensors
    dy, *others = _operator_back(grad, x, parameters, used, *ctx.options)
    return dy, others, *(None,) * 6


_operator.register_autograd(_gradients, setup_context=_save)


def inverse_of_block(block: Any, y: Tensor, tol: float) -> Tensor:
    """Return the inverse of a block at y, in a graph; the block proves its constant when the graph runs."""
    x: Tensor = _operator(y, list(block.g.parameters()), _lasting_name(block), True, None, tol, 1000, 5)[0]
    return x


def residual_inverse(
    g: Map,
    y: Tensor,
    *,
    parameters: Sequence[Tensor] | None = None,
    lipschitz: float | None = None,
    tol: float = 1e-6,
    max_steps: int = 1000,
    window: int = 5,
) -> Tensor:
    """Solve ``x + g(x) = y`` for a contraction g; `kxfast.lipschitz.residual_inverse` with gradients.

    Parameters
    ----------
    g : callable
        Maps a batch of tensors to another; each sample on its own. A module's parameters get gradients too.
    y : Tensor, shape (B, ...)
    parameters : sequence of tensors, optional
        What else g depends on and gets gradients for; by default the parameters of a module g.
    lipschitz : float, optional
        A constant of g below 1: then the accuracy is proven.
    tol : float
        Accuracy wanted, relative to ``max(1, |y|)`` of each sample.
    max_steps : int
        Most evaluations of g.
    window : int
        Previous steps mixed (Anderson); 0 takes plain steps.

    Returns
    -------
    Tensor, shape of y

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.
    RuntimeError
        If a sample does not converge.

    Notes
    -----
    The gradient is that of the solution itself, by the implicit function theorem. In a compiled graph g is a module;
    another one compiles another graph. Half types are solved in float32, by a copy of a module g in float32, and
    rounded at the end; autocast is off inside. Source: i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import torch, kxfast.torch as kt
    >>> y = torch.tensor([[1.0], [2.0]], requires_grad=True)
    >>> x = kt.residual_inverse(lambda x: 0.5 * torch.sin(x), y, lipschitz=0.5)
    >>> bool(torch.allclose(x + 0.5 * torch.sin(x), y, atol=1e-5))
    True

    """
    options = {"lipschitz": lipschitz, "tol": tol, "max_steps": max_steps, "window": window}
    whole = parameters is None and isinstance(g, nn.Module)
    given = list(g.parameters()) if isinstance(g, nn.Module) and whole else list(parameters or ())
    if torch.compiler.is_compiling():
        if not isinstance(g, nn.Module) or not whole:
            raise TypeError("g must be a module, with no parameters but its own, in a compiled graph")
        x: Tensor = _operator(y, given, _lasting_name(g), False, lipschitz, tol, max_steps, window)[0]
        return x
    read: Any = wide_module(g, y) if whole else g
    return inverse_of(read, y, options, given, list(read.parameters()) if whole else given)
