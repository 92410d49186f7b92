"""The public interface bound to the reference backend: ``import kxfast.reference as kx`` runs the same program.

Functions run as they do in `kxfast`, with ``use_backend("reference")`` around them; classes and constants are the
same objects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from inspect import isfunction
from types import ModuleType
from typing import TYPE_CHECKING, Any

import kxfast
from kxfast.settings import use_backend

if TYPE_CHECKING:
    from kxfast import attention, conv, cooccurrence, gillespie, lipschitz, masks, words

__all__ = ["attention", "conv", "cooccurrence", "gillespie", "lipschitz", "masks", "words"]


def _bound(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with use_backend("reference"):
            return function(*arguments, **keywords)

    return call


@cache
def _namespace(name: str) -> ModuleType:
    public = import_module(f"kxfast.{name}")
    twin = ModuleType(f"{__name__}.{name}", public.__doc__)
    for attribute in getattr(public, "__all__", dir(public)):
        value = getattr(public, attribute)
        setattr(twin, attribute, _bound(value) if isfunction(value) else value)
    return twin


def __getattr__(name: str) -> Any:
    if name in kxfast.NAMESPACES:
        return _namespace(name)
    return getattr(kxfast, name)
