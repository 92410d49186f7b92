"""Spectral norms and residual blocks, compiled."""

from kxfast._native.lipschitz import power_iteration
from kxfast.backends.native.lipschitz.convolution import conv_power_iteration, conv_singular_values, conv_spectral_norm
from kxfast.backends.native.lipschitz.norms import spectral_norm

DTYPES = "fd"

__all__ = ["conv_power_iteration", "conv_singular_values", "conv_spectral_norm", "power_iteration", "spectral_norm"]
