"""kxfast inside PyTorch: operators with gradients for ``torch.compile``, and modules built of them.

Tensors are read where they are: on the CPU, and on a GPU by what has kernels there; elsewhere they are refused in one
line. Importing this module makes kxfast's loops run on torch's own threads, ``torch.set_num_threads`` of them at most.
"""

from kxfast.torch.attention import scaled_dot_product_attention
from kxfast.torch.conv import dilated_gated_conv1d
from kxfast.torch.flows import InvertibleResidualBlock, logdet_series
from kxfast.torch.heads import MultiHeadAttention
from kxfast.torch.inverses import residual_inverse
from kxfast.torch.layers import DGCNN, AttentionPooling1d, DilatedGatedConv1d
from kxfast.torch.parametrizations import certificate, spectral_norm
from kxfast.torch.pooling import attention_pooling, masked_max_pooling, masked_mean_pooling
from kxfast.torch.products import Linear, linear
from kxfast.torch.sdpa import Served, install_sdpa
from kxfast.torch.spectral import spectral_normalize
from kxfast.torch.team import share

__all__ = [
    "DGCNN",
    "AttentionPooling1d",
    "DilatedGatedConv1d",
    "InvertibleResidualBlock",
    "Linear",
    "MultiHeadAttention",
    "Served",
    "attention_pooling",
    "certificate",
    "dilated_gated_conv1d",
    "install_sdpa",
    "linear",
    "logdet_series",
    "masked_max_pooling",
    "masked_mean_pooling",
    "residual_inverse",
    "scaled_dot_product_attention",
    "spectral_norm",
    "spectral_normalize",
]

share()
