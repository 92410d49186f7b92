"""Dilated gated convolutions and what stands next to them (spec: Dilated gated 1-D convolution)."""

from kxfast.backends.reference.conv.gated import (
    dgcnn,
    dgcnn_backward,
    dilated_gated_conv1d,
    dilated_gated_conv1d_backward,
    packed,
)
from kxfast.backends.reference.conv.matching import match_features
from kxfast.backends.reference.conv.plain import dilated_conv1d
from kxfast.backends.reference.conv.pooling import (
    attention_pooling,
    extract_span,
    masked_max_pooling,
    masked_mean_pooling,
)

__all__ = [
    "attention_pooling",
    "dgcnn",
    "dgcnn_backward",
    "dilated_conv1d",
    "dilated_gated_conv1d",
    "dilated_gated_conv1d_backward",
    "extract_span",
    "masked_max_pooling",
    "masked_mean_pooling",
    "match_features",
    "packed",
]
