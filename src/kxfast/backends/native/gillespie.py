"""Exact stochastic simulation, compiled."""

from kxfast._native.gillespie import moments, simulate, simulate_events

METHODS = ("direct",)

__all__ = ["moments", "simulate", "simulate_events"]
