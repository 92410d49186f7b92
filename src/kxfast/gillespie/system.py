"""The article's own small class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.gillespie.arrays import from_arrays
from kxfast.gillespie.logs import simulate_events
from kxfast.gillespie.notation import check_rate


class System:
    """A reaction system as the article writes it: elements by number, reactions one by one, a run of events.

    Parameters
    ----------
    num_elements : int
        Number of species, at least 1.

    Attributes
    ----------
    t : list of float
        Time 0 and the time of each event.
    n : list of int64 arrays, (num_elements,)
        The initial counts and those after each event.

    Raises
    ------
    TypeError, ValueError
        If `num_elements` is not an int or is below 1.

    Notes
    -----
    A run ends early when nothing can react any more. Source: article 5607 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> system = kx.gillespie.System(4)
    >>> system.add_reaction(1.66e-3, [1, 1, 0, 0], [0, 0, 1, 0])
    >>> system.add_reaction(1e-4, [0, 0, 1, 0], [1, 1, 0, 0])
    >>> system.add_reaction(0.1, [0, 0, 1, 0], [0, 1, 0, 1])
    >>> system.evolute(100000, [300, 121, 0, 0], seed=1)
    >>> system.n[-1].tolist()
    [0, 121, 0, 300]

    """

    def __init__(self, num_elements: int) -> None:
        self.num_elements = checks.integer("num_elements", num_elements, low=1)
        self.t: list[float] = []
        self.n: list[NDArray[np.int64]] = []
        self._reactions: list[tuple[NDArray[np.int64], NDArray[np.int64], float]] = []

    def add_reaction(self, rate: float, num_lefts: Sequence[int], num_rights: Sequence[int]) -> None:
        """Add a reaction that takes ``num_lefts[i]`` and gives ``num_rights[i]`` molecules of element i."""
        sides = []
        for name, value in ("num_lefts", num_lefts), ("num_rights", num_rights):
            x = checks.integers(name, value, ndim=1, low=0)
            m = self.num_elements
            checks.shape(name, x, (m,), f"({m},)", f"to match {m} elements")
            sides.append(x)
        self._reactions.append((sides[0], sides[1], check_rate("rate", rate)))

    def evolute(
        self, steps: int, inits: Sequence[int] | None = None, *, seed: Any = None, backend: str | None = None
    ) -> None:
        """Run `steps` events (fewer if all is used up) from the counts `inits`, 1 of each element by default."""
        steps = checks.integer("steps", steps, low=0)
        m = self.num_elements
        lefts, rights = np.zeros((2, len(self._reactions), m), np.int64)
        for j, (left, right, _) in enumerate(self._reactions):
            lefts[j], rights[j] = left, right
        counts = np.ones(m, np.int64) if inits is None else checks.integers("inits", inits, ndim=1, low=0)
        checks.shape("inits", counts, (m,), f"({m},)", f"to match {m} elements")
        rates = np.array([rate for _, _, rate in self._reactions], np.float64)
        net = from_arrays([f"x{i}" for i in range(m)], counts, lefts, rights, rates)
        log = simulate_events(net, max_events=steps, seed=seed, backend=backend)
        self.t = [0.0, *log.times.tolist()]
        self.n = list(log.counts())
