"""Spectral norms that follow the weights through a training, with a proof at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.lipschitz.interval import KINDS, Interval, ends
from kxfast.lipschitz.training import arrays, matrix_weight, same_count


class SpectralState:
    """Warm blocks of directions for the layers of a network, with proven norms at every step of its training.

    A step moves each layer's block once (block iteration with Rayleigh-Ritz) and starts the enclosure of the norm at
    its best direction.

    Parameters
    ----------
    weights : sequence of arrays, shape (m, ...)
        Kept by reference: change them in place, or give new ones to `step`.
    rank : int
        Directions in a block.
    seed : int, SeedSequence or Generator
        Of the first blocks.

    Attributes
    ----------
    us, vs : lists of arrays, shapes (m,) and (n,)
        The best directions of each layer.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> state = kx.lipschitz.SpectralState([np.diag([3., 1.])])
    >>> scales, intervals = state.step(coeff=0.9)
    >>> bool(scales[0] * 3 <= 0.9), intervals[0].kind
    (True, 'proof')

    """

    def __init__(self, weights: Sequence[Any], rank: int = 4, *, seed: Any = 0) -> None:
        rank = checks.integer("rank", rank, low=1)
        self._weights = list(arrays("weights", weights))
        shapes = [_finite(i, w).reshape(len(w), int(np.prod(w.shape[1:]))).shape for i, w in enumerate(self._weights)]
        rng = np.random.default_rng(checks.seed(seed))
        self._blocks = [
            np.ascontiguousarray(np.linalg.qr(rng.standard_normal((n, min(rank, m, n))))[0].T) for m, n in shapes
        ]
        self.us = [np.zeros(m) for m, _ in shapes]
        self.vs = [np.zeros(n) for _, n in shapes]

    def step(
        self,
        weights: Sequence[Any] | None = None,
        *,
        coeff: float = 0.9,
        mode: str = "soft",
        upper: str | None = "proof",
        tol: float = 1e-3,
        backend: str | None = None,
    ) -> tuple[checks.Array, list[Interval]]:
        """Move the blocks and return each layer's factor and norm.

        Parameters
        ----------
        weights : sequence of arrays, optional
            The present weights, where they are not the same objects as before.
        coeff : float
            The norm wanted.
        mode : {"soft", "hard"}
            Divide by ``max(1, upper / coeff)``, a proven contraction for `coeff` below 1, or by ``upper / coeff``.
        upper : {"proof", None}
            With None the lower ends stand in for the upper ones, and nothing is proven.
        tol : float
            Width of the intervals, relative to the norms.
        backend : str, optional
            See `kxfast.use_backend`.

        Returns
        -------
        scales : array, shape (layers,)
            Multiply the weights by them.
        intervals : list of Interval

        """
        coeff = checks.number("coeff", coeff, above=0)
        checks.choice("mode", mode, ("soft", "hard"))
        tol, upper, _ = ends(tol, upper, 0.5, ("proof",))
        new = self._weights if weights is None else list(arrays("weights", weights))
        same_count(blocks=self._blocks, weights=new)
        ws = [_finite(i, w) for i, w in enumerate(new)]
        flat = [w.reshape(len(w), int(np.prod(w.shape[1:]))) for w in ws]
        for i, (w, u, v) in enumerate(zip(flat, self.us, self.vs, strict=True)):
            checks.shape(f"weights[{i}]", w, (u.size, v.size), f"({u.size}, {v.size})", "as before")
        found = implementation("lipschitz", "state_step", backend, "d")(flat, self._blocks, tol, upper, 0)
        self._weights, intervals = new, []
        for i, ((lower, top, steps), (block, best, u, v)) in enumerate(found):
            if len(block):
                self.us[i], self._blocks[i], self.vs[i] = best, block, block[0]
            intervals.append(Interval(np.float64(lower), np.float64(top), KINDS[upper], 0.0, np.int64(steps), u, v))
        sigma = np.array([each.lower if upper is None else each.upper for each in intervals])
        factor = np.where(sigma > 0, coeff / np.where(sigma > 0, sigma, 1.0), 1.0)
        return factor if mode == "hard" else np.minimum(1.0, factor), intervals


def _finite(i: int, weight: Any) -> checks.Array:
    w = matrix_weight("weights", i, weight)
    checks.finite(f"weights[{i}]", w)
    return w
