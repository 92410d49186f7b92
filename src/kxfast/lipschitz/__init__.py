"""Spectral norms, Lipschitz bounds and invertible residual blocks (articles 6051 and 6482 of kexue.fm)."""

from kxfast.lipschitz.norms import power_iteration

__all__ = ["power_iteration"]
