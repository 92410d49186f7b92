"""An i-ResNet density of scikit-learn's 1797 handwritten digits of 8 x 8 pixels, trained with `kx.lipschitz` alone.

python examples/plot_lipschitz_iresnet_digits.py [--steps 500] [--output .]

Squeezed to 4 channels of 4 x 4, then blocks of convolutions. Pixels have 17 values; uniform noise makes them a
density, and bits a pixel are what it takes to store them. Drawn are digits, samples, and the errors of the inverse.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from iresnet import Flow
from training import train

import kxfast as kx

LEVELS, KEPT, ROWS = 17, 200, 128


def digits() -> Any:
    """Return the images (n, 1, 8, 8) with values from 0 to 16, in an order of no meaning."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:, None]
    return images[np.random.default_rng(0).permutation(len(images))]


def noisy(images: Any, rng: np.random.Generator) -> Any:
    """Return pixels between -1 and 1, squeezed to 4 channels."""
    x = 2 * (images + rng.random(images.shape)) / LEVELS - 1
    return kx.lipschitz.squeeze(x.astype("f"))


def bits(nats: Any) -> Any:
    """Return bits a pixel of the images as integers from -log density of their scaled forms."""
    return nats / (64 * np.log(2)) - np.log2(2 / LEVELS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    rng, images = np.random.default_rng(0), digits()
    aside, images = images[:KEPT], images[KEPT:]
    flow = Flow((4, 4, 4), blocks=8, width=48, terms=6)
    flow.start(noisy(images, rng))

    def batch() -> tuple[Any]:
        return (noisy(images[rng.integers(0, len(images), ROWS)], rng),)

    losses = train(flow.weights, flow.loss, batch, options.steps, 1e-2)
    constants = flow.certify()
    print("proven Lipschitz constants:", " ".join(f"{each:.3f}" for each in constants))
    x = noisy(aside, rng)
    found = bits(flow.surprise(x, probes=4))
    print(f"digits kept aside: {found.mean():.3f} bits a pixel ({np.log2(LEVELS):.3f} without a model)")
    back, bound = flow.decode(flow.encode(x)[0])
    errors = np.abs(back - x).reshape(len(x), -1).max(axis=1)
    print(f"inverse: at most {bound:.1e} proven for a block, largest error of a pixel {errors.max():.1e}")
    samples, _ = flow.decode(rng.standard_normal((60, 4, 4, 4)).astype("f"))
    draw(aside[:60], samples, bits(np.array(losses)), errors, constants, options.output)


def tiles(images: Any) -> Any:
    """Return 60 images (60, 1, 8, 8) as one."""
    return (
        np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)), mode="minimum")
        .reshape(6, 10, 10, 10)
        .swapaxes(1, 2)
        .reshape(60, 100)
    )


def draw(aside: Any, samples: Any, curve: Any, errors: Any, constants: list[float], folder: Path) -> None:
    """Write digits, samples, the curve of training, errors of the inverse and constants as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained", dpi=110)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    pictures = (aside / (LEVELS - 1), kx.lipschitz.unsqueeze(samples) / 2 + 0.5)
    for axes, each, title in zip(upper.subplots(1, 2), pictures, ("digits kept aside", "samples"), strict=True):
        axes.imshow(tiles(each), cmap="gray_r", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    learned, wrong, proven = lower.subplots(1, 3)
    learned.plot(curve, color="#4477aa", linewidth=0.8)
    learned.set(title="training", xlabel="step", ylabel="bits a pixel")
    wrong.hist(np.log10(errors + 1e-12), bins=30, color="#4477aa")
    wrong.set(title="inverse: largest error of a pixel", xlabel="log10")
    proven.bar(range(len(constants)), constants, color="#4477aa")
    proven.axhline(1, color="#cc3311", linewidth=1)
    proven.set(title="proven Lipschitz constants", xlabel="block", ylim=(0, 1.1))
    figure.savefig(folder / "lipschitz_iresnet_digits.png")
    print(f"written: {folder / 'lipschitz_iresnet_digits.png'}")


if __name__ == "__main__":
    main()
