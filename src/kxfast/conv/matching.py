"""Features that tell a reader of passages where the question's words stand."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.dispatch import implementation


def match_features(
    question: str | Sequence[Hashable], passage: str | Sequence[Hashable], *, backend: str | None = None
) -> NDArray[np.float64]:
    """Compare each place of a passage with the question.

    The window of token t is the w = len(question) positions from ``t - w // 2``; those outside the passage are dropped.

    Parameters
    ----------
    question : str or sequence of tokens, length w, at least 1
    passage : str or sequence of tokens, length L
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (L, 3), float64
        Whether the token is in the question (0 or 1); |window & question| / |window | question| as sets; the
        Levenshtein distance from window to question, divided by w.

    Raises
    ------
    TypeError, ValueError
        If an argument is no sequence, or the question is empty.

    Notes
    -----
    Cost: O(L w^2). Source: article 5409 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.conv.match_features("ab", "xab").round(3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.333, 1.0], [1.0, 1.0, 0.0]]

    """
    for name, value in ("question", question), ("passage", passage):
        if not isinstance(value, (str, Sequence)):
            raise TypeError(f"{name} must be a str or a sequence of tokens; got {type(value).__name__}")
    if not question:
        raise ValueError("question must have at least 1 token; got 0")
    numbers: dict[Any, int] = {}
    first, second = (
        np.array([numbers.setdefault(token, len(numbers)) for token in tokens], np.int64)
        for tokens in (question, passage)
    )
    features: NDArray[np.float64] = implementation("conv", "match_features", backend)(first, second)
    return features
