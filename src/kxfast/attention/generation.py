"""From next-token probabilities to sequences: beam search and sampling (the decoder of bert4keras)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kxfast import checks
from kxfast.attention.trie import Trie

Array = NDArray[Any]
Step = Callable[[NDArray[np.int64], NDArray[np.int64]], Any]


class _Rules(NamedTuple):
    step: Step
    end_id: int
    max_length: int
    min_length: int
    min_ends: int
    start: NDArray[np.int64]
    trie: Trie | None

    def finished(self, ids: Array) -> Array:
        """Return which sequences are complete."""
        if ids.shape[1] < self.min_length:
            return np.zeros(len(ids), bool)
        ends: Array = ids == self.end_id
        enough: Array = ends.sum(1) >= self.min_ends
        return ends[:, -1] & enough

    def probabilities(self, ids: Array, rows: Array) -> tuple[Array, Array]:
        """Ask for the next token's probabilities (n, V), in float64, and which tokens are allowed."""
        p = checks.floating("step's result", self.step(ids, rows), ndim=2, half=True).astype(np.float64)
        letters = f"({len(ids)}, V) with V above end_id = {self.end_id}"
        if len(p) != len(ids) or p.shape[1] <= self.end_id:
            raise ValueError(f"step's result must have shape {letters}; got {p.shape}")
        checks.finite("step's result", p)
        if np.any(p < 0):
            raise ValueError(f"step's result must be probabilities of at least 0; got {p.min():g}")
        allowed = np.ones(p.shape, bool)
        if self.trie is not None:
            allowed[:] = False
            allowed[:, self.end_id] = True
            for row, prefix in zip(allowed, ids[:, len(self.start) :], strict=True):
                tokens = self.trie.following(prefix)
                row[tokens[tokens < len(row)]] = True
        return p, allowed


def _rules(step: Any, end_id: Any, max_length: Any, min_length: Any, min_ends: Any, start: Any, trie: Any) -> _Rules:
    if not callable(step):
        raise TypeError(f"step must be a callable (ids, rows) -> probabilities; got {type(step).__name__}")
    if trie is not None and not isinstance(trie, Trie):
        raise TypeError(f"trie must be a kxfast.attention.Trie; got {type(trie).__name__}")
    return _Rules(
        step,
        checks.integer("end_id", end_id, low=0),
        checks.integer("max_length", max_length, low=1),
        checks.integer("min_length", min_length, low=0),
        checks.integer("min_ends", min_ends, low=1),
        checks.integers("start", start, ndim=1, low=0),
        trie,
    )


def beam_search(
    step: Step,
    *,
    end_id: int,
    max_length: int,
    beam: int = 1,
    min_length: int = 1,
    min_ends: int = 1,
    start: Any = (),
    trie: Trie | None = None,
) -> tuple[NDArray[np.int64], float]:
    """Search for the most probable sequence, keeping the best `beam` of them at each step.

    Parameters
    ----------
    step : callable (ids, rows) -> probabilities
        Given the sequences so far, ids (n, t), returns the next token's probabilities (n, V). rows (n,) says which row
        of the call before each sequence continues, for caches (`KVCache.select`). The first call has one sequence.
    end_id : int
        The token that ends a sequence.
    max_length : int
        Most tokens to generate.
    beam : int
        How many sequences to keep; finished ones that are not the best are dropped and not replaced.
    min_length : int
        Length, `start` included, below which no sequence is complete.
    min_ends : int
        How many `end_id` a complete sequence holds.
    start : integers, shape (s,)
        What all sequences begin with.
    trie : Trie, optional
        The output after `start` is a piece of its passages, then `end_id`.

    Returns
    -------
    ids : integers, shape (t,)
        The best sequence, `start` and end included.
    score : float
        Sum of ``log(probability + 1e-12)``; there is no normalisation by length.

    Raises
    ------
    TypeError, ValueError
        If an argument, or what `step` returns, has the wrong type, shape or range.

    Notes
    -----
    Sequences are kept in descending order of score; of equal candidates the one of the earlier sequence comes first,
    then the one of the lower token. Source: ``AutoRegressiveDecoder.beam_search`` of bert4keras.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> table = np.array([[0.0, 0.6, 0.4], [0.1, 0.5, 0.4], [0.9, 0.1, 0.0]])  # P(next | last), 0 ends
    >>> step = lambda ids, rows: table[ids[:, -1]]
    >>> ids, score = kx.attention.beam_search(step, end_id=0, max_length=5, beam=2, start=[0], min_length=2)
    >>> ids.tolist(), round(float(np.exp(score)), 6)
    ([0, 2, 0], 0.36)

    """
    rules = _rules(step, end_id, max_length, min_length, min_ends, start, trie)
    width = checks.integer("beam", beam, low=1)
    ids, scores, rows = rules.start[None], np.zeros(1), np.zeros(1, np.int64)
    for _ in range(rules.max_length):
        p, allowed = rules.probabilities(ids, rows)
        total = np.where(allowed, scores[:, None] + np.log(p + 1e-12), -np.inf).ravel()
        best = np.argsort(-total, kind="stable")[:width]
        best = best[total[best] > -np.inf]
        rows, tokens = np.divmod(best, p.shape[1])
        ids, scores = np.concatenate([ids[rows], tokens[:, None]], 1), total[best]
        finished = rules.finished(ids)
        if finished[0]:
            break
        if finished.any():
            ids, scores, rows = ids[~finished], scores[~finished], rows[~finished]
            width = len(ids)
    return ids[0], float(scores[0])


def sample(
    step: Step,
    n: int = 1,
    *,
    end_id: int,
    max_length: int,
    top_k: int | None = None,
    top_p: float | None = None,
    temperature: float = 1.0,
    min_length: int = 1,
    min_ends: int = 1,
    start: Any = (),
    trie: Trie | None = None,
    seed: Any = None,
) -> list[NDArray[np.int64]]:
    """Draw `n` sequences token by token.

    Parameters
    ----------
    step : callable (ids, rows) -> probabilities
        As in `beam_search`; the first call has `n` equal sequences.
    n : int
        How many sequences to draw.
    end_id, max_length, min_length, min_ends, start, trie
        As in `beam_search`.
    top_k : int, optional
        Draw from the `top_k` most probable tokens only (of equals the lower ones).
    top_p : float, optional
        Then draw from the shortest list of most probable tokens whose sum reaches `top_p`, the one that crosses it
        included; 1 or more does nothing.
    temperature : float
        Probabilities are raised to ``1 / temperature`` and normalised first.
    seed : int, SeedSequence or Generator, optional
        The same seed, the same sequences.

    Returns
    -------
    list of integer arrays
        `start` and end included, in the order of drawing (the original returns the shorter ones first).

    Raises
    ------
    TypeError, ValueError
        If an argument, or what `step` returns, has the wrong type, shape or range.

    Notes
    -----
    Source: ``AutoRegressiveDecoder.random_sample`` of bert4keras; Holtzman et al., arXiv:1904.09751 (top_p).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> step = lambda ids, rows: np.tile([0.2, 0.5, 0.3], (len(ids), 1))
    >>> [ids.tolist() for ids in kx.attention.sample(step, 2, end_id=0, max_length=4, top_k=1)]
    [[1, 1, 1, 1], [1, 1, 1, 1]]

    """
    rules = _rules(step, end_id, max_length, min_length, min_ends, start, trie)
    count = checks.integer("n", n, low=1)
    most = None if top_k is None else checks.integer("top_k", top_k, low=1)
    mass = None if top_p is None else checks.number("top_p", top_p, above=0)
    warmth = checks.number("temperature", temperature, above=0)
    generator = np.random.Generator(np.random.Philox(checks.seed(seed)))
    ids, rows, alive = np.tile(rules.start, (count, 1)), np.arange(count), np.arange(count)
    drawn: list[NDArray[np.int64]] = [rules.start] * count
    for _ in range(rules.max_length):
        p, allowed = rules.probabilities(ids, rows)
        choices, p = _choices(np.where(allowed, p, 0), rules.end_id, warmth, most, mass)
        level = generator.random(count)[alive, None] * p.sum(1, keepdims=True)
        place = np.minimum((np.cumsum(p, 1) <= level).sum(1), (p > 0).sum(1) - 1)
        ids = np.concatenate([ids, choices[np.arange(len(ids)), place, None]], 1)
        for row, sequence in zip(alive, ids, strict=True):
            drawn[row] = sequence
        rows = np.flatnonzero(~rules.finished(ids))
        ids, alive = ids[rows], alive[rows]
        if not len(ids):
            break
    return drawn


def _choices(
    p: Array, end_id: int, temperature: float, top_k: int | None, top_p: float | None
) -> tuple[NDArray[np.int64], Array]:
    """Return tokens in descending order of probability and what each is drawn with, up to a factor per row."""
    p[p.sum(1) == 0, end_id] = 1  # nothing that is allowed has any probability
    p = (p / p.max(1, keepdims=True)) ** (1 / temperature)
    order = np.argsort(-p, axis=1, kind="stable")[:, :top_k]
    p = np.take_along_axis(p, order, 1)
    p = p / p.sum(1, keepdims=True)
    if top_p is not None:
        reached = np.cumsum(p, 1)[:, :-1] >= top_p
        p[:, 1:][reached] = 0
    return order, p
