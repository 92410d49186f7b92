"""Spectral norms, compiled."""

from kxfast._native.lipschitz import power_iteration

DTYPES = "fd"

__all__ = ["power_iteration"]
