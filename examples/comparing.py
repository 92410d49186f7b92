"""Train two networks on the same batches in turn, and draw both losses and the time of their steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Curves = dict[str, list[float]]


def train_both(
    losses_of: dict[str, Callable[[Any], torch.Tensor]],
    nets: dict[str, torch.nn.Module],
    batch: Callable[[int], Any],
    steps: int,
    rate: float,
) -> tuple[Curves, Curves]:
    """Return for each network the loss and the seconds of every step; both get the same batches."""
    optimizers = {name: torch.optim.Adam(net.parameters(), rate) for name, net in nets.items()}
    losses: Curves = {name: [] for name in nets}
    seconds: Curves = {name: [] for name in nets}
    for i in range(steps):
        given = batch(i)
        for name, optimizer in optimizers.items():
            torch.manual_seed(i)
            start = time.perf_counter()
            optimizer.zero_grad()
            loss = losses_of[name](given)
            loss.backward()
            optimizer.step()
            seconds[name].append(time.perf_counter() - start)
            losses[name].append(loss.item())
        if (i + 1) % max(1, steps // 5) == 0:
            shown = "  ".join(
                f"{name}: loss {np.mean(losses[name][-20:]):.3f}, {1e3 * np.median(seconds[name]):.0f} ms a step"
                for name in nets
            )
            print(f"step {i + 1:5d}  {shown}", flush=True)
    return losses, seconds


def draw_both(losses: Curves, seconds: Curves, title: str, unit: str, path: Path) -> None:
    """Write curves of the loss and the time of a step as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2, width_ratios=(3, 1))
    styles = {"kxfast": ("#0055aa", "-"), "torch": ("#dd7722", "--")}
    steps = len(next(iter(losses.values())))
    window = max(1, steps // 30)
    for name, each in losses.items():
        color, style = styles[name]
        smooth = np.convolve(each, np.ones(window) / window, "valid")
        left.plot(np.arange(window - 1, steps), smooth, style, color=color, label=name, linewidth=1.8)
    left.set_xlabel("step")
    left.set_ylabel(f"{unit}, mean of {window} steps")
    left.set_title(title)
    left.legend(frameon=False)
    medians = {name: 1e3 * float(np.median(each)) for name, each in seconds.items()}
    bars = right.bar(list(medians), list(medians.values()), color=[styles[name][0] for name in medians], width=0.6)
    right.bar_label(bars, fmt="%.1f", padding=2)
    right.set_ylabel("ms a step (median)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    print(f"written: {path}")
