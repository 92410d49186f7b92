"""Spectral norms and residual blocks, compiled."""

from kxfast._native.lipschitz import power_iteration
from kxfast.backends.native.lipschitz.convolution import (
    clip_conv_norm,
    conv_power_iteration,
    conv_singular_values,
    conv_spectral_norm,
)
from kxfast.backends.native.lipschitz.gradients import residual_backward
from kxfast.backends.native.lipschitz.network import (
    forward,
    jvp,
    layer_jacobian,
    logdet_exact,
    logdet_series,
    residual_inverse,
    vjp,
)
from kxfast.backends.native.lipschitz.norms import spectral_norm
from kxfast.backends.native.lipschitz.training import (
    spectral_normalize,
    spectral_normalize_at_once,
    spectral_normalize_backward,
    spectral_normalize_gradients_of,
    spectral_normalize_of,
    state_step,
    usual_layers,
)

DTYPES = "fd"

__all__ = [
    "clip_conv_norm",
    "conv_power_iteration",
    "conv_singular_values",
    "conv_spectral_norm",
    "forward",
    "jvp",
    "layer_jacobian",
    "logdet_exact",
    "logdet_series",
    "power_iteration",
    "residual_backward",
    "residual_inverse",
    "spectral_norm",
    "spectral_normalize",
    "spectral_normalize_at_once",
    "spectral_normalize_backward",
    "spectral_normalize_gradients_of",
    "spectral_normalize_of",
    "state_step",
    "usual_layers",
    "vjp",
]
