"""A plain Numba loop of the direct method, its propensities written out, as one would write it for one model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def prepare(model: dict[str, Any], laws: list[str]) -> Callable[[int, float, int], Any]:
    """Return a function of seed, end and points, which is compiled when it is called first."""
    names = model["species"]
    place = {name: f"x[{i}]" for i, name in enumerate(names)}
    written = [re.sub(r"[A-Za-z_]\w*", lambda word: place.get(word[0], word[0]), law) for law in laws]
    scope: dict[str, Any] = {}
    exec("\n".join(["def rates(x, a):", *(f"    a[{j}] = {law}" for j, law in enumerate(written))]), scope)
    rates = numba.njit(scope["rates"])
    change = np.array([[each["p"].get(s, 0) - each["r"].get(s, 0) for s in names] for each in model["reactions"]])

    @numba.njit(nogil=True)
    def walk(x: Any, t: Any, rng: Any) -> Any:
        a, now, out = np.empty(len(change)), 0.0, np.empty((len(t), len(x)), np.int64)
        for i in range(len(t)):
            while True:
                rates(x, a)
                total = a.sum()
                if total <= 0:
                    break
                later = now + rng.standard_exponential() / total
                if later > t[i]:
                    now = t[i]
                    break
                now, target, j = later, rng.random() * total, 0
                while j < len(a) - 1 and target >= a[j]:
                    target -= a[j]
                    j += 1
                x += change[j]
            out[i] = x
        return out

    def run(seed: int, end: float, points: int) -> Any:
        return walk(np.array(model["x0"], np.int64), np.linspace(0, end, points), np.random.default_rng(seed))

    return run
