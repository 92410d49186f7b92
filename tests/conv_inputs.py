"""Inputs of the convolution's tests: the worked example of the specification and random problems."""

from __future__ import annotations

import numpy as np

M = np.array([[1, 1, 1, 1, 0]])
X = np.array([[[0.5, -1], [1, 0.25], [-0.75, 2], [0.1, -0.3], [9, -9]]])
TAP, IN, OUT = np.ogrid[:3, :2, :4]
W = 0.1 * (TAP + 1) - 0.2 * IN + 0.05 * OUT * (1 - 2 * (TAP % 2))
BIAS = np.array([0.01, -0.02, 0.03, 0.04])
NORM = (np.ones(2), np.zeros(2), 0.5)

VARIANTS = {
    "A": {},
    "A0": {"skip": "none"},
    "B": {"gate": "first"},
    "B raw": {"gate": "first", "mask_input": False},
    "C": {"skip": "add"},
    "C gate first": {"skip": "add", "gate": "first"},
    "D": {"skip": "add", "norm": NORM},
}


def problem(rng, length=6, channels=3, out=3, kernel=3):
    """Two ragged rows, the second one with a hole and NaN in every padded place."""
    x = rng.standard_normal((2, length, channels))
    mask = np.ones((2, length), bool)
    mask[1, [2, -1]] = False
    return x, rng.standard_normal((kernel, channels, 2 * out)), rng.standard_normal(2 * out), mask
