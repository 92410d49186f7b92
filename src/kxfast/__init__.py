"""kxfast: fast kernels for the models of the blog Scientific Spaces, each defined by a NumPy reference.

Namespaces are loaded on first use: ``kx.conv``, ``kx.attention``, ``kx.masks``, ``kx.lipschitz``, ``kx.gillespie``,
``kx.cooccurrence``, ``kx.words``; ``kx.reference`` is the same interface in pure NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kxfast.errors import BackendError
from kxfast.settings import get_num_threads, set_num_threads, use_backend

if TYPE_CHECKING:
    from kxfast import attention, conv, cooccurrence, gillespie, lipschitz, masks, reference, words
    from kxfast.about import available, info

__version__ = "0.1.0"

NAMESPACES = ("conv", "attention", "masks", "lipschitz", "gillespie", "cooccurrence", "words")

__all__ = [
    "BackendError",
    "attention",
    "available",
    "conv",
    "cooccurrence",
    "get_num_threads",
    "gillespie",
    "info",
    "lipschitz",
    "masks",
    "reference",
    "set_num_threads",
    "use_backend",
    "words",
]


def __getattr__(name: str) -> Any:
    if name in NAMESPACES or name == "reference":
        return import_module(f"kxfast.{name}")
    if name in ("available", "info"):
        return getattr(import_module("kxfast.about"), name)
    raise AttributeError(f"module 'kxfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
