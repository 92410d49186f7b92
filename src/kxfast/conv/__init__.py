"""Dilated gated convolutions (DGCNN; article 5409 of kexue.fm), pooling and span decoding."""

from kxfast.conv.decoding import extract_span, vote
from kxfast.conv.gated import dilated_gated_conv1d, dilated_gated_conv1d_backward
from kxfast.conv.matching import match_features
from kxfast.conv.plain import dilated_conv1d
from kxfast.conv.pooling import attention_pooling, masked_max_pooling, masked_mean_pooling, seq_and_vec
from kxfast.conv.stack import GatedLayer, Kept, dgcnn, dgcnn_backward

__all__ = [
    "GatedLayer",
    "Kept",
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
    "seq_and_vec",
    "vote",
]
