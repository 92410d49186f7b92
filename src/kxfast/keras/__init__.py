"""Layers for Keras 3, with the argument names of the authors' own.

On the torch backend, with tensors on the CPU, they run kxfast's operators; on every other they are right, by
``keras.ops``, and as fast as that is.
"""

from kxfast.keras.heads import MaskedMultiHeadAttention
from kxfast.keras.sequences import AttentionPooling1D, DilatedGatedConv1D
from kxfast.keras.spectral import SpectralNormalization

__all__ = ["AttentionPooling1D", "DilatedGatedConv1D", "MaskedMultiHeadAttention", "SpectralNormalization"]
