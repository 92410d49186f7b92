"""What test_keras.py runs in a process for each backend of Keras."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kxfast as kx
import kxfast.keras as kk
from kxfast.keras import inputs

rng = np.random.default_rng(0)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
X = rng.standard_normal((2, 6, 4)).astype(np.float32)
SERVED = keras.backend.backend() == "torch"


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=2e-5, atol=2e-5)


def fill(layer: Any) -> list[np.ndarray]:
    """Give every weight of a layer that is built random numbers, and return them."""
    values = [rng.standard_normal(w.shape).astype(np.float32) for w in layer.weights if "seed" not in w.name]
    for weight, value in zip([w for w in layer.weights if "seed" not in w.name], values, strict=True):
        weight.assign(value)
    return values


def convolution() -> None:
    for out, kernel, rate, skip in ((None, 3, 1, True), (4, 5, 2, False), (3, 3, 7, True), (None, 2, 1, True)):
        layer = kk.DilatedGatedConv1D(out, k_size=kernel, rate=rate, skip_connect=skip, drop_gate=0.3)
        layer([X, MASK])
        weight, bias, *shortcut = fill(layer)
        options = {"dilation": rate, "skip": "gated" if skip else "none", "shortcut": tuple(shortcut) or None}
        close(layer([X, MASK]), kx.conv.dilated_gated_conv1d(X, weight, bias, mask=MASK, **options))
        close(layer(X), kx.conv.dilated_gated_conv1d(X, weight, bias, **options))
        again = kk.DilatedGatedConv1D.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        if keras.backend.backend() != "numpy":  # a fresh gate is dropped at each call
            assert not np.array_equal(*(keras.ops.convert_to_numpy(layer(X, training=True)) for _ in range(2)))


def pooling() -> None:
    layer = kk.AttentionPooling1D(5)
    layer([X, MASK])
    hidden, output = fill(layer)
    close(layer([X, MASK]), kx.conv.attention_pooling(X, hidden, output, mask=MASK))
    close(layer([X, MASK * 0]), np.zeros((2, 4)))


def heads() -> None:
    layer = kk.MaskedMultiHeadAttention(2, 3, out_dim=5)
    layer(X)
    weights = fill(layer)
    kernels, biases = weights[::2], weights[1::2]
    q, k, v = (
        (X @ w + b).reshape(2, 6, 2, 3).transpose(0, 2, 1, 3) for w, b in zip(kernels[:3], biases[:3], strict=True)
    )
    for mask in (None, kx.masks.unilm([0, 0, 1, 1, 1, 1]), MASK[:, None, None] > 0):
        out = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask)
        expected = out.transpose(0, 2, 1, 3).reshape(2, 6, 6) @ kernels[3] + biases[3]
        close(layer(X, attention_mask=mask), expected)
    close(layer([X, X, X]), keras.ops.convert_to_numpy(layer(X)))


def normalisation() -> None:
    for inner in (keras.layers.Dense(5), keras.layers.Conv1D(5, 3)):
        layer = kk.SpectralNormalization(inner, power_iterations=100)
        layer(X)
        inner.kernel.assign(rng.standard_normal(inner.kernel.shape))
        raw = keras.ops.convert_to_numpy(inner.kernel)
        y = layer(X, training=True)
        assert np.array_equal(keras.ops.convert_to_numpy(inner.kernel), raw)  # the kernel itself stays
        norm = np.linalg.norm(raw.reshape(-1, 5), 2)
        inner.kernel.assign(raw / norm)
        close(y, keras.ops.convert_to_numpy(inner(X)))
        inner.kernel.assign(raw)
        close(layer(X), keras.ops.convert_to_numpy(y))


def training(folder: Path) -> None:
    """Train, save and load; the numpy backend cannot train."""
    tokens = keras.Input((None,), dtype="int32")
    mask = keras.ops.not_equal(tokens, 0)
    x = keras.layers.Embedding(20, 8)(tokens)
    x = kk.DilatedGatedConv1D(rate=2, drop_gate=0.1)([x, mask])
    x = x + kk.MaskedMultiHeadAttention(2, 4)(x)
    x = kk.AttentionPooling1D()([x, mask])
    model = keras.Model(tokens, kk.SpectralNormalization(keras.layers.Dense(1))(x))
    ids = rng.integers(1, 20, (64, 9))
    target = (ids[:, :1] > 9).astype(np.float32)
    if keras.backend.backend() != "numpy":
        model.compile(keras.optimizers.Adam(0.02), "mse")
        losses = model.fit(ids, target, epochs=15, verbose=0).history["loss"]
        assert losses[-1] < 0.5 * losses[0], losses
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    close(loaded.predict(ids, verbose=0), model.predict(ids, verbose=0))


if __name__ == "__main__":
    tensor = keras.ops.convert_to_tensor(X)
    assert (inputs.fast_path(tensor) is not None) == SERVED
    convolution()
    pooling()
    heads()
    normalisation()
    training(Path(sys.argv[1]))
    print("all layers agree")
