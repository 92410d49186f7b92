"""Spectral normalisation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kxfast.keras.inputs import fast_path


@keras.saving.register_keras_serializable("kxfast")
class SpectralNormalization(keras.layers.Wrapper):
    """Divide a layer's kernel by its spectral norm, in every forward pass and with the gradient through it.

    Keras' own wrapper overwrites the kernel instead, so that no gradient knows of the norm.

    Parameters
    ----------
    layer : Layer
        With a `kernel` whose last axis counts outputs: ``Dense``, ``Conv1D``, ``Conv2D`` …
    power_iterations : int
        Steps while training; none in inference.
    coeff : float
        The norm wanted.
    soft : bool
        Leave kernels of a smaller norm as they are.

    Notes
    -----
    Source: article 6051 of kexue.fm; Miyato et al., arXiv:1802.05957.

    """

    def __init__(
        self, layer: Any, power_iterations: int = 1, coeff: float = 1.0, soft: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(layer, **kwargs)
        if power_iterations < 1:
            raise ValueError(f"power_iterations must be at least 1; got {power_iterations}")
        self.power_iterations, self.coeff, self.soft = power_iterations, coeff, soft

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        shape = self.layer.kernel.shape
        start = keras.initializers.RandomNormal()
        rows = 1
        for size in shape[:-1]:
            rows *= size
        self.vector_u = self.add_weight(shape=(rows,), initializer=start, trainable=False, name="vector_u")
        self.vector_v = self.add_weight(shape=(shape[-1],), initializer=start, trainable=False, name="vector_v")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        kernel = self.layer.kernel
        scaled = self._scaled(kernel, self.power_iterations if training else 0)
        values = [(v, scaled if v is kernel else v.value) for v in self.layer.variables]
        with keras.StatelessScope(state_mapping=values):
            return self.layer(inputs)

    def _scaled(self, kernel: Any, n_iter: int) -> Any:
        matrix = ops.reshape(kernel.value, (-1, kernel.shape[-1]))
        u, v = self.vector_u.value, self.vector_v.value
        fast = fast_path(matrix)
        if fast is not None:
            options = {"coeff": self.coeff, "n_iter": n_iter, "mode": "soft" if self.soft else "hard"}
            (scaled,), _ = fast.spectral_normalize([matrix], [u], [v], **options)
            return ops.reshape(scaled, kernel.shape)
        fixed = ops.stop_gradient(matrix)
        for _ in range(n_iter):
            u = _unit(ops.matmul(fixed, v))
            v = _unit(ops.matmul(u, fixed))
        if n_iter:
            self.vector_u.assign(u)
            self.vector_v.assign(v)
        ratio = ops.sum(u * ops.matmul(matrix, v)) / self.coeff
        return kernel.value / (ops.maximum(ratio, 1.0) if self.soft else ratio)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "power_iterations": self.power_iterations,
            "coeff": self.coeff,
            "soft": self.soft,
        }


def _unit(x: Any) -> Any:
    return x / ops.maximum(ops.sqrt(ops.sum(x * x)), 1e-12)
