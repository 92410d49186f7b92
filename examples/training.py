"""What the examples share to train with: Adam, a loop that tells how it goes, and the curve of the loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]


class Adam:
    """Adam with a linear warm-up and cosine decay of its rate."""

    def __init__(self, weights: Weights, rate: float, steps: int) -> None:
        self.weights, self.rate, self.steps, self.done = weights, rate, steps, 0
        self.mean = {name: np.zeros_like(each) for name, each in weights.items()}
        self.square = {name: np.zeros_like(each) for name, each in weights.items()}

    def step(self, gradients: Weights) -> None:
        """Change the weights in place."""
        self.done += 1
        share = self.done / self.steps
        rate = self.rate * min(1.0, 20 * share) * 0.5 * (1 + np.cos(np.pi * share))
        for name, g in gradients.items():
            m, s = self.mean[name], self.square[name]
            m += np.float32(0.1) * (g - m)
            s += np.float32(0.01) * (g * g - s)
            scale = np.float32(rate / (1 - 0.9**self.done))
            self.weights[name] -= scale * m / (np.sqrt(s / np.float32(1 - 0.99**self.done)) + np.float32(1e-8))


def train(
    weights: Weights, loss_of: Callable[..., tuple[float, Weights]], batch: Callable[[], Any], steps: int, rate: float
) -> list[float]:
    """Train the weights on what `batch` gives and return the loss of every step; print it now and then."""
    optimizer, losses, start = Adam(weights, rate, steps), [], time.perf_counter()
    for i in range(steps):
        loss, gradients = loss_of(*batch())
        optimizer.step(gradients)
        losses.append(loss)
        if (i + 1) % max(1, steps // 10) == 0:
            taken = (time.perf_counter() - start) / (i + 1)
            print(f"step {i + 1:5d}  loss {np.mean(losses[-50:]):.3f}  {1e3 * taken:.0f} ms a step", flush=True)
    return losses


def draw(losses: list[float], title: str, path: Path, unit: str = "nats a character") -> None:
    """Write the curve of the loss as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    window = max(1, len(losses) // 50)
    axes.plot(losses, color="#bbccee", linewidth=0.8, label="each step")
    smooth = np.convolve(losses, np.ones(window) / window, "valid")
    axes.plot(np.arange(len(smooth)) + window - 1, smooth, color="#4477aa", label=f"mean of {window} steps")
    axes.set(xlabel="step", ylabel=f"loss, {unit}", title=title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    print(f"written: {path}")
