"""An i-ResNet that is trained with kxfast alone: blocks x + g(x) with layers held to a norm, and a unit Gaussian above.

Weights are divided by max(1, sigma / c) in every step, with sigma from one step of power iteration, and the gradient
goes through the division. What is shown at the end is proven instead: enclosures of the norms of all layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from training import Weights

import kxfast as kx

Array = NDArray[Any]
L = kx.lipschitz


class Flow:
    """Blocks of three layers behind a scale and a shift per channel (actnorm).

    Matrices for points (B, n), kernels of 3, 1 and 3 pixels a side for images (B, D, height, width).
    """

    def __init__(
        self, shape: tuple[int, ...], blocks: int, width: int, *, coeff: float = 0.97, terms: int = 8, seed: int = 0
    ) -> None:
        self.shape, self.blocks, self.coeff, self.terms = shape, blocks, coeff, terms
        self.rng = rng = np.random.default_rng(seed)
        self.weights: Weights = {}
        ends, sides = (shape[0], width, width, shape[0]), (3, 1, 3)
        for i in range(blocks):
            self.weights[f"{i} scale"], self.weights[f"{i} shift"] = (np.zeros(shape[0], "f") for _ in range(2))
            for k, side in enumerate(sides):
                size = (ends[k + 1], ends[k], *(side for _ in shape[1:]))
                w = rng.standard_normal(size) / np.sqrt(np.prod(size[1:]))
                self.weights[f"{i} weight {k}"] = w.astype("f")
                self.weights[f"{i} bias {k}"] = np.zeros(size[0], "f")
        self.names = [name for name in self.weights if "weight" in name]
        self.us, self.vs = [], []
        for name in self.names:
            w = self.weights[name]
            self.us.append(self._unit(len(w), *shape[1:]))
            self.vs.append(self._unit(w.shape[1], *shape[1:]))
        self.scaled = dict(self.weights)
        self.normalize(n_iter=20)

    def _unit(self, *shape: int) -> Array:
        x = self.rng.standard_normal(shape)
        return (x / np.linalg.norm(x)).astype("f")

    def _operator(self, name: str) -> dict[str, Any]:
        return {"input_shape": self.shape[1:], "padding": self.weights[name].shape[2] // 2}

    def normalize(self, n_iter: int = 1) -> None:
        """Bring the weights that are used to norms of at most `coeff`, as one more step estimates them."""
        originals = [self.weights[name] for name in self.names]
        if len(self.shape) == 1:
            made, self.sigmas = L.spectral_normalize(originals, self.us, self.vs, coeff=self.coeff, n_iter=n_iter)
        else:
            made, self.sigmas = [], np.zeros(len(originals))
            for i, (name, w) in enumerate(zip(self.names, originals, strict=True)):
                found = L.power_iteration(w, self.us[i], self.vs[i], n_iter, conv=self._operator(name))
                self.sigmas[i], self.us[i], self.vs[i] = found
                made.append((w / max(1.0, found[0] / self.coeff)).astype("f"))
        self.scaled |= self.weights | dict(zip(self.names, made, strict=True))

    def layers(self, i: int) -> list[L.Layer]:
        """Return the g of a block."""
        made: list[L.Layer] = [L.Activation("lipswish")] if i else []  # the very first block has data before it
        for k, padding in enumerate((1, 0, 1)):
            w, b = self.scaled[f"{i} weight {k}"], self.weights[f"{i} bias {k}"]
            made.append(L.Linear(w, b) if len(self.shape) == 1 else L.Conv2d(w, b, padding=padding))
            made.append(L.Activation("lipswish"))
        return made[:-1]

    def _norm(self, i: int, x: Array, inverse: bool = False) -> tuple[Array, float]:
        scale, shift = self.weights[f"{i} scale"], self.weights[f"{i} shift"]
        y, _ = L.actnorm(x, scale, shift, inverse=inverse)
        return y.astype("f"), float(scale.sum(dtype=float) * np.prod(self.shape[1:]))

    def start(self, x: Array) -> None:
        """Set scales and shifts so that these samples enter each block with mean 0 and variance 1."""
        for i in range(self.blocks):
            scale, shift = L.actnorm_init(x)
            self.weights[f"{i} scale"][:], self.weights[f"{i} shift"][:] = scale, shift
            x = self._forward(i, self._norm(i, x)[0])

    def _forward(self, i: int, x: Array) -> Array:
        value = x
        for layer in self.layers(i):
            value = layer(value)
        return x + value

    def encode(self, x: Array, probes: int = 1, terms: int = 20) -> tuple[Array, Array]:
        """Return z and the log-determinant of each sample."""
        total = np.zeros(len(x))
        for i in range(self.blocks):
            x, plain = self._norm(i, x)
            total += plain + L.logdet_series(self.layers(i), x, terms=terms, probes=probes, lipschitz=0.99).mean
            x = self._forward(i, x)
        return x, total

    def surprise(self, x: Array, probes: int = 1) -> Array:
        """Return -log density of each sample, in nats."""
        z, logdet = self.encode(x, probes)
        d = int(np.prod(self.shape))
        return 0.5 * (z.reshape(len(z), d) ** 2).sum(1) + 0.5 * d * np.log(2 * np.pi) - logdet

    def loss(self, x: Array, probes: Any = 1) -> tuple[float, Weights]:
        """Take a step of power iteration; return the mean surprise, with its logdets estimated, and all gradients."""
        self.normalize()
        batch, inside, outside, total = len(x), [], [], 0.0
        count = probes if isinstance(probes, int) else len(probes)
        drawn = [self.rng.integers(0, 2, (count, *x.shape)) * 2.0 - 1 for _ in range(self.blocks)]
        if not isinstance(probes, int):
            drawn = [probes] * self.blocks
        for i in range(self.blocks):
            outside.append(x)
            x, plain = self._norm(i, x)
            inside.append(x)
            series = L.logdet_series(self.layers(i), x, terms=self.terms, probes=drawn[i], lipschitz=0.99)
            total -= plain + series.mean.mean()
            x = self._forward(i, x)
        d = x[0].size
        total += 0.5 * float(np.vdot(x, x)) / batch + 0.5 * d * np.log(2 * np.pi)
        grad, gradients = x / np.float32(batch), {}
        share = np.full(batch, -1.0 / batch)
        for i in reversed(range(self.blocks)):
            options = {"logdet_grad": share, "terms": self.terms, "probes": drawn[i]}
            grad, found = L.residual_backward(grad, inside[i], self.layers(i), **options)
            for k, (dw, db) in enumerate(found):
                gradients[f"{i} weight {k}"], gradients[f"{i} bias {k}"] = dw, db
            axes = (0, *range(2, x.ndim))
            steep = np.exp(self.weights[f"{i} scale"]).reshape(-1, *(1 for _ in self.shape[1:]))
            gradients[f"{i} shift"] = grad.sum(axes)
            pixels = np.float32(np.prod(self.shape[1:]))
            gradients[f"{i} scale"] = (grad * outside[i] * steep).sum(axes) - pixels
            grad = grad * steep
        return total, self._through_norms(gradients)

    def _through_norms(self, gradients: Weights) -> Weights:
        """Return the gradients for the weights as they are, given those for the weights that are used."""
        for name, *one in zip(self.names, self.us, self.vs, self.sigmas, strict=True):
            conv = None if len(self.shape) == 1 else self._operator(name)
            given = [[gradients[name]], [self.weights[name]], *([each] for each in one)]
            (gradients[name],) = L.spectral_normalize_backward(*given, coeff=self.coeff, conv=conv)
        return gradients

    def certify(self) -> list[float]:
        """Divide by norms that are proven from above, once, and return the proven constant of each block."""
        for name in self.names:
            w = self.weights[name]
            if len(self.shape) == 1:
                above = float(L.spectral_norm(w).upper)
            else:
                above = float(L.conv_spectral_norm(w, **self._operator(name)).upper)
            self.weights[name] = (w / max(1.0, above / self.coeff)).astype("f")
        self.scaled |= self.weights
        return [float(L.lipschitz_bounds(self.layers(i), self.shape, points=0).upper) for i in range(self.blocks)]

    def decode(self, z: Array, tol: float = 1e-6) -> tuple[Array, float]:
        """Invert the flow; also return the largest proven error of a block, relative to its samples."""
        worst = 0.0
        for i in reversed(range(self.blocks)):
            found = L.residual_inverse(self.layers(i), z, tol=tol)
            assert found.converged.all()
            size = np.maximum(1.0, np.linalg.norm(z.reshape(len(z), -1), axis=1))
            worst = max(worst, float((found.error_bound / size).max()))
            z, _ = self._norm(i, found.x, inverse=True)
        return z, worst
