"""Masks that know something of each token or each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.masks import patterns
from kxfast.masks.by_grid import kept
from kxfast.masks.mask import Mask


def _token_integers(name: str, value: Any, low: int | None = None) -> Any:
    array = checks.integers(name, value, low=low)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (L,) or (B, L); got {array.shape}")
    return array


def _per_row(name: str, value: Any) -> Any:
    array = checks.integers(name, value, low=0)
    if array.ndim > 1:
        raise ValueError(f"{name} must be one number or have shape (B,); got {array.shape}")
    return kept(array)


def padding(lengths: Any) -> Mask:
    """Allow real keys only.

    Parameters
    ----------
    lengths : int, integers of shape (B,), or booleans of shape (L,) or (B, L)
        How many keys at the start are real, or which are. In two dimensions 0/1 numbers are booleans too.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `lengths` is something else or negative.

    Notes
    -----
    Queries are not masked: their rows are of no use, and of no harm. Source: article 6933 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.padding([3, 1]).to_dense(2, 1, 1, 3)[:, 0, 0].astype(int).tolist()
    [[1, 1, 1], [1, 0, 0]]
    >>> kx.masks.padding([True, False, True]).to_dense(1, 1, 1, 3)[0, 0, 0].astype(int).tolist()
    [1, 0, 1]

    """
    array = checks.to_array("lengths", lengths)
    if array.dtype.kind == "b" or array.ndim == 2:
        real = checks.booleans("lengths", array)
        if real.ndim not in (1, 2):
            raise ValueError(f"lengths must have shape (L,) or (B, L) as booleans; got {real.shape}")
        return patterns.Padding(real=kept(real))
    return patterns.Padding(_per_row("lengths", array))


def unilm(segment_ids: Any) -> Mask:
    """Allow a sequence-to-sequence pattern in one network: source sees source, target sees source and its own past.

    With c the cumulative sums of `segment_ids`, query i may attend to key j if ``c[j] <= c[i]``. Trailing padding
    belongs to the last segment: combine with `padding` to remove it as keys.

    Parameters
    ----------
    segment_ids : integers, shape (L,) or (B, L)
        0 for source, 1 for target; one for each key, the queries being the last of the keys.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `segment_ids` are not integers of at least 0 of such a shape.

    Notes
    -----
    Source: Dong et al., arXiv:1905.03197; article 6933 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.unilm([0, 0, 1, 1]).to_dense(1, 1, 4, 4)[0, 0].astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]

    """
    return patterns.Unilm(kept(np.cumsum(_token_integers("segment_ids", segment_ids, low=0), axis=-1)))


def prefix_lm(prefix_lengths: Any) -> Mask:
    """Allow the prefix to every query, and keys up to the query's own position.

    Parameters
    ----------
    prefix_lengths : int or integers, shape (B,)

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `prefix_lengths` are not integers of at least 0 of such a shape.

    Notes
    -----
    The same as `unilm` with `prefix_lengths` zeros, then ones. Source: article 6933 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.prefix_lm(2).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [1, 1, 1]]

    """
    return patterns.PrefixLM(_per_row("prefix_lengths", prefix_lengths))


def documents(ids: Any) -> Mask:
    """Allow keys of the query's own document: several texts packed in one row do not see each other.

    Parameters
    ----------
    ids : integers, shape (L,) or (B, L)
        One for each key, the queries being the last of the keys.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `ids` are not integers of such a shape.

    Notes
    -----
    Source: packing of sequences, as in Krell et al., arXiv:2107.02027.

    Examples
    --------
    >>> import kxfast as kx
    >>> (kx.masks.documents([0, 0, 1]) & kx.masks.causal()).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 0, 1]]

    """
    return patterns.Documents(kept(_token_integers("ids", ids)))


def permutation(order: Any, *, include_self: bool = False) -> Mask:
    """Allow keys generated before the query, in any order of generation.

    Parameters
    ----------
    order : integers, shape (L,) or (B, L)
        The step at which each token is generated: every row a permutation of 0 ... L - 1. Given the tokens in the
        order of their generation, it is ``numpy.argsort`` of that.
    include_self : bool
        Whether a query may attend to its own position (the content stream), ``<=`` in place of ``<``. Without it the
        token generated first may attend to nothing.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `order` is something else.

    Notes
    -----
    With ``include_self=True`` the same as `causal` after sorting tokens by `order`. Source: Yang et al.,
    arXiv:1906.08237; article 6933 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.permutation([1, 0, 2]).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[0, 1, 0], [0, 0, 0], [1, 1, 0]]

    """
    array = _token_integers("order", order)
    length = array.shape[-1]
    if not np.array_equal(np.sort(array, -1), np.broadcast_to(np.arange(length), array.shape)):
        raise ValueError(f"order must hold every step from 0 to {length - 1} once in each row; got other values")
    return patterns.Permutation(kept(array), checks.boolean("include_self", include_self))
