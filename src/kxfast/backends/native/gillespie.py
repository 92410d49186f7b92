"""Exact stochastic simulation, compiled."""

from kxfast._native.gillespie import exponential, moments, simulate, simulate_events

METHODS = ("direct",)

__all__ = ["exponential", "moments", "simulate", "simulate_events"]
