"""Tensors as arrays and back, without a copy, and operators made of functions of arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kxfast import devices
from kxfast.errors import BackendError

Array = NDArray[Any]
Folded = tuple[Any, Any]  # results of a rule for vmap, and their batch axes
Rule = Callable[..., Any]


class Operator:
    """An operator of torch: a custom operator in compiled graphs, a function of autograd (less time) in others.

    `forward` is the work and `fake` the shapes of its results; `vmap` serves a batch of calls; `save` and `gradients`
    are the context's setup and the backward pass of autograd. Without them a derivative says that there is none.
    """

    def __init__(
        self, name: str, forward: Rule, fake: Rule, vmap: Rule, save: Rule | None = None, gradients: Rule | None = None
    ) -> None:
        def setup(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        def refuse(ctx: Any, *grads: Any) -> Any:
            raise RuntimeError(f"gradients of gradients are not offered: kxfast::{name} has no derivative")

        self.forward = forward
        save, gradients = save or setup, gradients or refuse
        self.custom = torch.library.custom_op(f"kxfast::{name}", forward, mutates_args=())
        self.custom.register_fake(fake)
        self.custom.register_vmap(vmap)
        self.custom.register_autograd(gradients, setup_context=save)

        def run(*arguments: Any) -> Any:
            return forward(*arguments)

        run.__signature__ = ANY_SIGNATURE  # type: ignore[attr-defined]  # inspect reads it, functions do not declare it
        rules = {"forward": run, "setup_context": save, "backward": gradients, "vmap": vmap}
        methods = {each: staticmethod(rule) for each, rule in rules.items()}
        self.apply: Rule = type(name, (torch.autograd.Function,), methods).apply  # type: ignore[attr-defined]  # by torch

    def __call__(self, first: Tensor, *others: Any) -> Any:
        """Return what `forward` returns, differentiable where that is asked for."""
        if type(first) not in PLAIN or torch.compiler.is_compiling():
            return self.custom(first, *others)
        # Nothing to differentiate and no transform at work: the function itself.
        return (self.apply if torch.is_grad_enabled() or transforms_active() else self.forward)(first, *others)


PLAIN = (Tensor, torch.nn.Parameter)
# Of functions of autograd: torch asks for the signature at every call, which takes 30 us to find.
ANY_SIGNATURE = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)])
transforms_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


_THERE = " (dilated_gated_conv1d, scaled_dot_product_attention and spectral_normalize take a GPU's)"


def array(name: str, x: Tensor | None) -> Any:
    """Return the memory of a tensor as an array, of any strides; None for None."""
    if x is None:
        return None
    if x.device.type != "cpu":
        raise BackendError(f"{name} must be on the CPU for this call{_THERE}; got a tensor on {x.device}")
    x = x.detach()
    if x.dtype is not torch.bfloat16:
        return x.numpy()
    try:
        import ml_dtypes
    except ImportError:
        raise BackendError(f"{name} must be float32, float64 or float16, as ml_dtypes is not installed") from None
    return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def tensor(x: Array, dtype: torch.dtype | None = None) -> Tensor:
    """Return an array's memory as a tensor, converted if it is not yet of type `dtype`."""
    if x.dtype.itemsize == 2 and x.dtype.char != "e":
        made = torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    else:
        made = torch.from_numpy(x)
    return made if dtype is None or made.dtype is dtype else made.to(dtype)


def given(name: str, x: Tensor | None) -> Any:
    """Return what functions of arrays take that serve GPUs: a tensor there as it is, the memory of others."""
    return x.detach() if x is not None and on_gpu(x) else array(name, x)


def on_gpu(x: Tensor) -> bool:
    """Whether a tensor is in the memory of an NVIDIA GPU."""
    return x.is_cuda and devices.on_device(x)


def found(x: Any, dtype: torch.dtype | None = None) -> Tensor:
    """Return a result of such a function as a tensor, converted if it is not yet of type `dtype`."""
    if not isinstance(x, Tensor):
        return tensor(x, dtype)
    return x if dtype is None or x.dtype is dtype else x.to(dtype)


def autocast(first: Tensor, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return float32 tensors in the type of the autocast region of the first one's device, if there is one."""
    tensors, device = (first, *others), "cuda" if first.is_cuda else "cpu"
    if not torch.is_autocast_enabled(device):
        return tensors
    wanted = torch.get_autocast_dtype(device)
    return tuple(x.to(wanted) if x is not None and x.dtype is torch.float32 else x for x in tensors)


def plain(*tensors: Tensor | None) -> bool:
    """Whether tensors are torch's own, of the CPU and of one type of at least 4 bytes, and nothing traces them."""
    present = [x for x in tensors if x is not None]
    if not all(type(x) in PLAIN for x in present):
        return False
    kind = present[0].dtype
    return (
        kind in (torch.float32, torch.float64)
        and all(x.dtype is kind and x.is_cpu and not on_gpu(x) for x in present)
        and not torch.compiler.is_compiling()
        and not transforms_active()
        and not torch.is_autocast_enabled("cpu")
    )


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether a backward pass may come."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def common_type(*tensors: Tensor | None) -> torch.dtype:
    """Return the floating type that tensors are computed in."""
    kinds = [x.dtype for x in tensors if x is not None]
    common = kinds[0]
    for kind in kinds[1:]:
        common = torch.promote_types(common, kind)
    return common


def one_by_one(op: Callable[..., Any], info: Any, in_dims: Sequence[Any], arguments: Sequence[Any]) -> Folded:
    """Serve vmap by one call for each item: the rule where a kernel has no batch axis to fold into."""
    results = []
    for i in range(info.batch_size):
        chosen = (x if d is None else x.select(d, i) for x, d in zip(arguments, in_dims, strict=True))
        results.append(op(*chosen))
    return tuple(torch.stack(each) for each in zip(*results, strict=True)), (0,) * len(results[0])


def fold(x: Tensor, axis: int | None) -> Tensor:
    """Put the axis of vmap in front of the batch axis, as one."""
    return x.movedim(axis, 0).flatten(0, 1) if axis is not None else x
