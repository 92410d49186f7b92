"""Masks whose rule is about positions alone."""

from __future__ import annotations

from typing import Any

from kxfast import checks
from kxfast.masks import patterns
from kxfast.masks.mask import Mask


def _align(align: Any) -> str:
    return checks.choice("align", align, ("end", "start"))


_CAUSAL = {align: patterns.Causal(align) for align in ("end", "start")}


def causal(align: str = "end") -> Mask:
    """Allow keys up to the query's own position: ``j <= i`` where there are as many queries as keys.

    Parameters
    ----------
    align : {"end", "start"}
        With fewer queries than keys, whether the last query stands at the last key (decoding with a cache) or the
        first at the first.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `align` is something else.

    Notes
    -----
    Source: Vaswani et al., arXiv:1706.03762; article 6933 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.causal().to_dense(1, 1, 2, 3)[0, 0].astype(int).tolist()
    [[1, 1, 0], [1, 1, 1]]
    >>> kx.masks.causal(align="start").to_dense(1, 1, 2, 3)[0, 0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 0]]

    """
    return _CAUSAL[_align(align)]


def sliding_window(left: int, right: int = 0, *, align: str = "end") -> Mask:
    """Allow keys from `left` positions before the query to `right` after it.

    Parameters
    ----------
    left, right : int
        At least 0; ``sliding_window(w, w)`` is |i - j| <= w.
    align : {"end", "start"}
        As in `causal`.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.

    Notes
    -----
    Source: ``LocalSelfAttention`` of the author's attention repository; article 6853 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.sliding_window(1).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]

    """
    return patterns.SlidingWindow(
        checks.integer("left", left, low=0), checks.integer("right", right, low=0), _align(align)
    )


def strided(rate: int, *, align: str = "end") -> Mask:
    """Allow keys whose distance from the query is a multiple of `rate`.

    Parameters
    ----------
    rate : int
        At least 1. ``strided(r) | sliding_window(r - 1, r - 1)`` is sparse attention: each pair counts once.
    align : {"end", "start"}
        As in `causal`.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.

    Notes
    -----
    Source: Child et al., arXiv:1904.10509; article 6853 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.strided(2).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[1, 0, 1], [0, 1, 0], [1, 0, 1]]

    """
    return patterns.Strided(checks.integer("rate", rate, low=1), _align(align))
