"""Exact stochastic simulation, compiled. Of a network, functions that are rates become addresses in its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxfast._native import gillespie as _native
from kxfast._native.gillespie import exponential
from kxfast.backends.numba.gillespie_rates import address

METHODS = ("direct", "sorting_direct", "next_reaction", "composition_rejection", "rssa")
APPROXIMATE = ("tau_leaping",)

__all__ = ["choose_method", "exponential", "moments", "simulate", "simulate_events"]


def _linked(network: tuple[Any, ...]) -> tuple[Any, ...]:
    *arrays, functions = network
    if functions:
        ops, numbers = arrays[5], arrays[6].copy()
        for i in np.flatnonzero(ops >> 8).tolist():
            numbers[i] = address(functions[int(numbers[i])], int(ops[i]) >> 8)
        arrays[6] = numbers
    return tuple(arrays)


def _taking_networks(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(network: tuple[Any, ...], *arguments: Any, **keywords: Any) -> Any:
        return function(_linked(network), *arguments, **keywords)

    return call


simulate = _taking_networks(_native.simulate)
moments = _taking_networks(_native.moments)
simulate_events = _taking_networks(_native.simulate_events)
choose_method = _taking_networks(_native.choose_method)
