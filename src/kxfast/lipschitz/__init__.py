"""Spectral norms, Lipschitz bounds and invertible residual blocks (articles 6051 and 6482 of kexue.fm)."""

from kxfast.lipschitz.bounds import expm_logdet, jacobian_norm, jacobian_product_lognorms, lipschitz_bounds
from kxfast.lipschitz.convolutions import (
    clip_conv_norm,
    conv_power_iteration,
    conv_singular_values,
    conv_spectral_norm,
)
from kxfast.lipschitz.flows import actnorm, actnorm_init, injective_pad, injective_unpad, squeeze, unsqueeze
from kxfast.lipschitz.gradients import logdet_gradient, residual_backward
from kxfast.lipschitz.interval import Interval
from kxfast.lipschitz.layers import Activation, Conv1d, Conv2d, Layer, Linear
from kxfast.lipschitz.logdet import LogDet, logdet_exact, logdet_roulette, logdet_series
from kxfast.lipschitz.norms import operator_spectral_norm, power_iteration, spectral_norm
from kxfast.lipschitz.recurrent import gru_jacobians, lstm_jacobians, rnn_jacobians
from kxfast.lipschitz.residual import Inverse, residual_inverse
from kxfast.lipschitz.state import SpectralState
from kxfast.lipschitz.training import spectral_normalize, spectral_normalize_backward
from kxfast.lipschitz.variants import normalize_weight

__all__ = [
    "Activation",
    "Conv1d",
    "Conv2d",
    "Interval",
    "Inverse",
    "Layer",
    "Linear",
    "LogDet",
    "SpectralState",
    "actnorm",
    "actnorm_init",
    "clip_conv_norm",
    "conv_power_iteration",
    "conv_singular_values",
    "conv_spectral_norm",
    "expm_logdet",
    "gru_jacobians",
    "injective_pad",
    "injective_unpad",
    "jacobian_norm",
    "jacobian_product_lognorms",
    "lipschitz_bounds",
    "logdet_exact",
    "logdet_gradient",
    "logdet_roulette",
    "logdet_series",
    "lstm_jacobians",
    "normalize_weight",
    "operator_spectral_norm",
    "power_iteration",
    "residual_backward",
    "residual_inverse",
    "rnn_jacobians",
    "spectral_norm",
    "spectral_normalize",
    "spectral_normalize_backward",
    "squeeze",
    "unsqueeze",
]
