"""The definition of the stem lipschitz."""

from kxfast.backends.reference.lipschitz.convolution import clip_conv_norm, conv_singular_values
from kxfast.backends.reference.lipschitz.flows import (
    actnorm,
    actnorm_init,
    injective_pad,
    injective_unpad,
    squeeze,
    unsqueeze,
)
from kxfast.backends.reference.lipschitz.layers import forward, jvp, vjp
from kxfast.backends.reference.lipschitz.norms import conv_spectral_norm, operator_spectral_norm, spectral_norm
from kxfast.backends.reference.lipschitz.power import (
    conv_power_iteration,
    power_iteration,
    spectral_normalize,
    spectral_normalize_backward,
    spectral_normalize_gradients_of,
    spectral_normalize_of,
    state_step,
    usual_layers,
)
from kxfast.backends.reference.lipschitz.products import expm_logdet, jacobian_product_lognorms
from kxfast.backends.reference.lipschitz.recurrent import gru_jacobians, lstm_jacobians, rnn_jacobians
from kxfast.backends.reference.lipschitz.residual import (
    layer_jacobian,
    logdet_exact,
    logdet_series,
    residual_backward,
    residual_inverse,
    roulette_coefficients,
)

__all__ = [
    "actnorm",
    "actnorm_init",
    "clip_conv_norm",
    "conv_power_iteration",
    "conv_singular_values",
    "conv_spectral_norm",
    "expm_logdet",
    "forward",
    "gru_jacobians",
    "injective_pad",
    "injective_unpad",
    "jacobian_product_lognorms",
    "jvp",
    "layer_jacobian",
    "logdet_exact",
    "logdet_series",
    "lstm_jacobians",
    "operator_spectral_norm",
    "power_iteration",
    "residual_backward",
    "residual_inverse",
    "rnn_jacobians",
    "roulette_coefficients",
    "spectral_norm",
    "spectral_normalize",
    "spectral_normalize_backward",
    "spectral_normalize_gradients_of",
    "spectral_normalize_of",
    "squeeze",
    "state_step",
    "unsqueeze",
    "usual_layers",
    "vjp",
]
