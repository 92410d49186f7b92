"""Inputs for every operation, one module per stem: tests, ``kxfast verify`` and ``kxfast bench`` draw from them.

A module ``kxfast.cases.<stem>`` has ``random(rng)``, which yields small fresh cases of every operation, variant and
type, and ``real(data, quick)``, which yields cases on real input with the amount of work they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from kxfast import NAMESPACES, dispatch, settings


def largest_difference(result: Any, expected: Any, floor: float = 0.0) -> float:  # noqa: PLR0911  (one return for each kind of result)
    """Return the largest difference between two results, relative to the largest expected value; inf if unalike.

    Results may be arrays, numbers, strings, dataclasses, mappings, and tuples and lists of them. Arrays that are not
    of a floating type must be equal. The scale is at least `floor`: what cancels to nearly 0 is no worse for it.
    """
    if isinstance(expected, (tuple, list)):
        if not isinstance(result, (tuple, list)) or len(result) != len(expected):
            return np.inf
        return max((largest_difference(a, b, floor) for a, b in zip(result, expected, strict=True)), default=0.0)
    if isinstance(expected, Mapping):
        if list(result) != list(expected):
            return np.inf
        return largest_difference(list(result.values()), list(expected.values()), floor)
    if hasattr(expected, "__dataclass_fields__"):
        names = [name for name, each in expected.__dataclass_fields__.items() if each.compare]
        return largest_difference([getattr(result, k) for k in names], [getattr(expected, k) for k in names], floor)
    if hasattr(expected, "tocoo"):
        result, expected = result.tocoo(), expected.tocoo()
        if result.shape != expected.shape or result.nnz != expected.nnz:
            return np.inf
        return largest_difference([*result.coords, result.data], [*expected.coords, expected.data], floor)
    a, b = np.asarray(result), np.asarray(expected)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    if a.dtype.kind not in "fcV":
        return 0.0 if np.array_equal(a, b) else np.inf
    if a.size == 0:
        return 0.0
    x, y = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64), b.astype(np.float64)
    if not np.array_equal(np.isfinite(x), np.isfinite(y)):
        return np.inf
    usual = np.isfinite(y)
    if not np.array_equal(x[~usual], y[~usual], equal_nan=True):
        return np.inf
    scale = np.max(np.abs(y[usual]), initial=floor)
    return float(np.max(np.abs(x[usual] - y[usual]), initial=0.0) / (scale or 1.0))


@dataclass(frozen=True)
class Case:
    """One call of the public interface and how near to the reference its result must be.

    `compare` gives the distance of a result from the reference's; `tolerance` is the most it may be (0: equal).
    `amount` of `unit` is the work of the call, for rates ("flop", "B", "event", "pair", "token").
    """

    operation: str
    label: str
    args: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    compare: Callable[[Any, Any], float] = largest_difference
    amount: float = 0.0
    unit: str = ""
    port: str = ""  # the backend's function, where it is not named as the operation
    call: Callable[..., Any] | None = None  # what to call, where it is not the operation itself

    def run(self) -> Any:
        """Call the operation."""
        if self.call is not None:
            return self.call(*self.args, **self.keywords)
        stem, _, name = self.operation.partition(".")
        return getattr(import_module(f"kxfast.{stem}"), name)(*self.args, **self.keywords)


def backends(case: Case | str) -> tuple[str, ...]:
    """Return the backends that serve a case or an operation here, fastest first.

    ``KERNELS`` in the stem's cases names what an operation dispatches to, where that is not its own name alone.
    """
    operation, port = (case, "") if isinstance(case, str) else (case.operation, case.port)
    stem, _, name = operation.partition(".")
    kernels = getattr(import_module(f"{__name__}.{stem}"), "KERNELS", {}).get(name, (name,))
    able = [dispatch.available(stem, kernel, devices=True) for kernel in ((port,) if port else kernels)]
    return tuple(each for each in able[0] if all(each in others for others in able))


def engines(case: Case | str) -> tuple[str, ...]:
    """Return the backends that serve a case or an operation, the native one once for each instruction set."""
    core = settings.native()
    names: list[str] = []
    for backend in backends(case):
        names += [f"native/{isa}" for isa in core.isas()] if backend == "native" and core else [backend]
    return tuple(names)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Run a block on one of `engines`."""
    backend, _, isa = name.partition("/")
    core = settings.native()
    if isa and core:
        core.use_isa(isa)
    try:
        with settings.use_backend(backend):
            yield
    finally:
        if isa and core:
            core.use_isa("")


def stems() -> tuple[str, ...]:
    """Return the stems that have cases."""
    from pkgutil import iter_modules

    found = {module.name for module in iter_modules(__path__)}
    return tuple(stem for stem in NAMESPACES if stem in found)


def random_cases(seed: int, stem: str | None = None) -> Iterator[Case]:
    """Yield fresh cases of one stem, or of all."""
    for each in stems() if stem is None else (stem,):
        yield from import_module(f"{__name__}.{each}").random(np.random.default_rng(seed))
