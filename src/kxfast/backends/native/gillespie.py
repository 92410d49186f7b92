"""Exact stochastic simulation, compiled."""

from kxfast._native.gillespie import choose_method, exponential, moments, simulate, simulate_events

METHODS = ("direct", "sorting_direct", "next_reaction", "composition_rejection", "rssa")

__all__ = ["choose_method", "exponential", "moments", "simulate", "simulate_events"]
