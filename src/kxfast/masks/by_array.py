"""Masks given as arrays or functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxfast import checks
from kxfast.masks import patterns
from kxfast.masks.by_grid import kept
from kxfast.masks.mask import Mask


def block_sparse(layout: Any, block_size: int) -> Mask:
    """Allow whole blocks: query i and key j belong to blocks ``i // block_size`` and ``j // block_size``.

    Parameters
    ----------
    layout : booleans, shape (query blocks, key blocks), or with axes for heads, or batch and heads, before
        Which blocks are allowed; the last ones may be incomplete.
    block_size : int
        At least 1.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.

    Notes
    -----
    Source: Gray, Radford and Kingma, GPU kernels for block-sparse weights, 2017.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.block_sparse([[1, 0], [0, 1]], 2).to_dense(1, 1, 3, 3)[0, 0].astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]

    """
    array = checks.booleans("layout", layout)
    if array.ndim not in (2, 3, 4):
        raise ValueError(f"layout must have 2, 3 or 4 dimensions; got shape {array.shape}")
    return patterns.BlockSparse(kept(array), checks.integer("block_size", block_size, low=1))


def dense(array: Any) -> Mask:
    """Allow what a boolean array says.

    Parameters
    ----------
    array : booleans, at most four dimensions
        True: may attend. It broadcasts to (B, H, Lq, Lk) by NumPy's rule.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError, ValueError
        If `array` is something else.

    Notes
    -----
    The one mask that may need more than O(L) memory. Source: Vaswani et al., arXiv:1706.03762.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.dense([[True, False]]).to_dense(1, 1, 2, 2)[0, 0].astype(int).tolist()
    [[1, 0], [1, 0]]

    """
    values = checks.booleans("array", array)
    if values.ndim > 4:
        raise ValueError(f"array must have at most 4 dimensions; got shape {values.shape}")
    return patterns.Dense(kept(values))


def function(f: Callable[[int, int, int, int], bool]) -> Mask:
    """Allow the pairs for which a function is true.

    Parameters
    ----------
    f : callable (b, h, i, j) -> bool
        Of the batch row, the head, the query and the key, all counted from 0; without side effects.

    Returns
    -------
    Mask

    Raises
    ------
    TypeError
        If `f` cannot be called.

    Notes
    -----
    It is called once for every pair (of one batch row and head, where it looks at neither) and shape, and must say the
    same every time. From two million pairs on it is compiled by Numba, if that is installed and able. Source: the mask
    functions of FlexAttention, arXiv:2412.05496.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.masks.function(lambda b, h, i, j: j <= i and j % 2 == h).to_dense(1, 2, 1, 2)[0, :, 0].tolist()
    [[True, False], [False, False]]

    """
    if not callable(f):
        raise TypeError(f"f must be a callable (b, h, i, j) -> bool; got {type(f).__name__}")
    return patterns.Function(f)
