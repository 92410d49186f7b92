"""Pickles of parametrized modules: torch gives each a class of its own, which no other process can find by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


def picklable(module: nn.Module) -> nn.Module:
    """Let a module that has just been parametrized be pickled; return it."""
    type(module).__reduce_ex__ = _reduced  # type: ignore[assignment]
    return module


def _reduced(module: nn.Module, protocol: int) -> tuple[Any, ...]:
    """Return the plain class, and the state of a plain module beside the rules of its parametrized tensors."""
    state = dict(vars(module))
    state["_modules"] = dict(state["_modules"])
    rules = state["_modules"].pop("parametrizations")
    return _blank, (parametrize.type_before_parametrizations(module),), (state, rules)


def _blank(plain: type[nn.Module]) -> Any:
    """Return an empty module of a plain class that takes the state of a parametrized one."""
    kind: Any = type(plain.__name__, (plain,), {"__setstate__": _restore})
    return kind.__new__(kind)


def _restore(module: Any, parts: tuple[dict[str, Any], nn.ModuleDict]) -> None:
    state, rules = parts
    module.__class__ = type(module).__bases__[0]
    module.__setstate__(dict(state))
    for kind in ("_parameters", "_modules"):  # a shallow copy's own
        setattr(module, kind, dict(getattr(module, kind)))
    for name in rules:  # torch makes the property of a tensor that is there, under a rule of any kind
        setattr(module, name, nn.Parameter(torch.empty(0)))
        parametrize.register_parametrization(module, name, nn.Identity())
    module.parametrizations = rules
    picklable(module)
