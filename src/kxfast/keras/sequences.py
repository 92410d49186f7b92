"""Gated convolution and attention pooling of sequences."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kxfast.keras.inputs import fast_path, pair, sequence_shape


@keras.saving.register_keras_serializable("kxfast")
class DilatedGatedConv1D(keras.layers.Layer):
    """Dilated gated convolution (variants A and A0 of `kxfast.conv.dilated_gated_conv1d`).

    Called with x (B, L, D), or with [x, mask], the mask (B, L) or (B, L, 1) with 1 for real positions; returns
    (B, L, `o_dim`).

    Parameters
    ----------
    o_dim : int, optional
        Channels out; D by default.
    k_size : int
    rate : int
        Dilation.
    skip_connect : bool
    drop_gate : float, optional
        Share of gates dropped while training.

    Notes
    -----
    Source: the author's layer of that name for article 6906 of kexue.fm; the kernel is (K, D, 2F), as there.

    """

    def __init__(
        self,
        o_dim: int | None = None,
        k_size: int = 3,
        rate: int = 1,
        skip_connect: bool = True,
        drop_gate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.o_dim, self.k_size, self.rate = o_dim, k_size, rate
        self.skip_connect, self.drop_gate = skip_connect, drop_gate
        self.seeds = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        channels = sequence_shape(input_shape)[-1]
        out = self.o_dim or channels
        self.kernel = self.add_weight(shape=(self.k_size, channels, 2 * out), name="kernel")
        self.bias = self.add_weight(shape=(2 * out,), initializer="zeros", name="bias")
        self.shortcut: Any = None
        self.shortcut_bias: Any = None
        if self.skip_connect and out != channels:
            self.shortcut = self.add_weight(shape=(channels, out), name="shortcut")
            self.shortcut_bias = self.add_weight(shape=(out,), initializer="zeros", name="shortcut_bias")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x, mask = pair(inputs)
        rate = (self.drop_gate or 0.0) if training else 0.0
        fast = fast_path(x)
        if fast is not None:
            shortcut = None if self.shortcut is None else (self.shortcut.value, self.shortcut_bias.value)
            options = {"dilation": self.rate, "mask": mask, "shortcut": shortcut, "drop_gate": rate}
            skip = "gated" if self.skip_connect else "none"
            return fast.dilated_gated_conv1d(x, self.kernel.value, self.bias.value, skip=skip, **options)
        shown = x if mask is None else ops.where(mask, x, 0.0)
        reach = (self.k_size - 1) * self.rate
        padded = ops.pad(shown, [(0, 0), (reach // 2, reach - reach // 2), (0, 0)])
        h = self.bias.value
        for a in range(self.k_size):  # reads from a * rate to the end, less what later taps read beyond it
            beyond = reach - a * self.rate
            h = h + ops.matmul(padded[:, a * self.rate : -beyond if beyond else None], self.kernel.value[a])
        c, g = ops.split(h, 2, axis=-1)
        if rate:
            g = keras.random.dropout(g, rate, seed=self.seeds)
        y = c * ops.sigmoid(g)
        if self.skip_connect:
            kept = x if self.shortcut is None else ops.matmul(x, self.shortcut.value) + self.shortcut_bias.value
            y = y + kept * ops.sigmoid(-g)
        return y if mask is None else ops.where(mask, y, 0.0)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        shape = sequence_shape(input_shape)
        return (*shape[:-1], self.o_dim or shape[-1])

    def get_config(self) -> dict[str, Any]:
        names = "o_dim", "k_size", "rate", "skip_connect", "drop_gate"
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("kxfast")
class AttentionPooling1D(keras.layers.Layer):
    """Average over time with weights ``softmax(tanh(x hidden) output)``: (B, D) of x, or of [x, mask].

    Parameters
    ----------
    h_dim : int, optional
        Width of the hidden layer; D by default.

    Notes
    -----
    A row without a real position gives 0. Source: the author's layer of that name for article 6906 of kexue.fm.

    """

    def __init__(self, h_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.h_dim = h_dim

    def build(self, input_shape: Any) -> None:
        channels = sequence_shape(input_shape)[-1]
        self.hidden = self.add_weight(shape=(channels, self.h_dim or channels), name="hidden")
        self.output_kernel = self.add_weight(shape=(self.h_dim or channels, 1), name="output")

    def call(self, inputs: Any) -> Any:
        x, mask = pair(inputs)
        logits = ops.matmul(ops.tanh(ops.matmul(x, self.hidden.value)), self.output_kernel.value)
        if mask is not None:
            x, logits = ops.where(mask, x, 0.0), ops.where(mask, logits, -1e30)
        return ops.sum(ops.softmax(logits, axis=1) * x, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        shape = sequence_shape(input_shape)
        return (shape[0], shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "h_dim": self.h_dim}
