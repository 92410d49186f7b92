"""The criterion of the minimum entropy principle."""

from __future__ import annotations

from collections.abc import Sequence

from kxfast import checks
from kxfast.dispatch import implementation


def merge_gain(joint: float, parts: Sequence[float], *, exact: bool = True, backend: str | None = None) -> float:
    """Return how much merging adjacent items into one word lowers the mean information per character.

    ``F = p ln(p / prod p_i) - (1 - (k-1) p) ln(1 - (k-1) p) + sum (p_i - p) ln(1 - p / p_i)`` for k parts of
    probabilities p_i that stand together with probability p; the information per character falls by F / l, where l is
    the mean length of an item. ``F* = p (ln(p / prod p_i) - 1)`` is at most F where the parts' probabilities add up to
    at most 1: merge where the PMI is above 1.

    Parameters
    ----------
    joint : float
        p, above 0 and at most the least of `parts`.
    parts : sequence of float
        p_i, at least two, each at most 1.
    exact : bool
        F, or the bound F*.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    float, nats

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    Notes
    -----
    Source: article 5476 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> round(kx.words.merge_gain(0.01, [0.02, 0.03]), 9)
    0.023043166

    """
    if isinstance(parts, str) or not isinstance(parts, Sequence) or len(parts) < 2:
        raise ValueError(f"parts must be a sequence of at least 2 probabilities; got {parts!r}")
    shares = tuple(checks.number("parts", each, high=1.0, above=0.0) for each in parts)
    together = checks.number("joint", joint, high=min(shares), above=0.0)
    if (len(shares) - 1) * together > 1:
        raise ValueError(f"joint must be at most 1 / {len(shares) - 1} for {len(shares)} parts; got {together:g}")
    gain: float = implementation("words", "merge_gain", backend)(together, shares, checks.boolean("exact", exact))
    return gain
