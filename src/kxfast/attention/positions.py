"""Vectors that tell positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation


def _even(name: str, dim: int) -> int:
    if dim % 2:
        raise ValueError(f"{name} must be even; got {dim}")
    return dim


def rotary(
    x: Any, positions: Any = None, *, base: float = 10000.0, inverse: bool = False, backend: str | None = None
) -> Any:
    """Turn each pair of channels (2i, 2i + 1) by the angle ``position / base^(2i / D)``.

    Parameters
    ----------
    x : array, shape (..., L, D), D even
        Queries or keys, float32, float64, float16 or bfloat16.
    positions : array, optional
        Broadcasts to (..., L); 0 ... L - 1 if not given.
    base : float
        Above 0.
    inverse : bool
        Turn back: also the gradient of the forward call.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape of x

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Angles are computed in float64 whatever the type of `x`. Source: Su et al., arXiv:2104.09864; article 8265 of
    kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.attention.rotary(np.array([[1.0, 2, 3, 4]]), [1]).round(8).tolist()
    [[-1.14263966, 1.9220756, 2.95985067, 4.0297995]]

    """
    array = checks.floating("x", x, half=True)
    if array.ndim < 2:
        raise ValueError(f"x must have at least 2 dimensions (..., L, D); got shape {array.shape}")
    _even("x's last axis", array.shape[-1])
    where = checks.floating("positions", np.arange(array.shape[-2]) if positions is None else positions, half=True)
    grid = array.shape[:-1]
    if where.ndim > len(grid) or any(a not in (1, b) for a, b in zip(where.shape[::-1], grid[::-1], strict=False)):
        raise ValueError(f"positions must broadcast to {grid}, x's shape without the last axis; got {where.shape}")
    checks.number("base", base, above=0)
    run = implementation("attention", "rotary", backend, array.dtype.char)
    return checks.like(run(array, where, float(base), checks.boolean("inverse", inverse)), x)


def sinusoidal(
    positions: Any, dim: int, *, base: float = 10000.0, layout: str = "interleaved", backend: str | None = None
) -> Any:
    """Return sines and cosines of ``position / base^(2i / dim)`` for each position.

    Parameters
    ----------
    positions : int or array
        The positions, of any shape; a number n stands for 0 ... n - 1.
    dim : int
        Length of each vector, even.
    base : float
        Above 0.
    layout : {"interleaved", "blocks"}
        Sine and cosine alternate; or all cosines, then all sines.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (..., dim)
        Of the positions' floating type; float64 for integers.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: Vaswani et al., arXiv:1706.03762; article 4765 of kexue.fm, whose two implementations differ in `layout`.

    Examples
    --------
    >>> import kxfast as kx
    >>> kx.attention.sinusoidal(2, 4)[1].round(8).tolist()
    [0.84147098, 0.54030231, 0.00999983, 0.99995]

    """
    if isinstance(positions, (int, np.integer)):
        positions = np.arange(checks.integer("positions", positions, low=0))
    where = checks.floating("positions", positions, half=True)
    size = _even("dim", checks.integer("dim", dim, low=0))
    checks.number("base", base, above=0)
    checks.choice("layout", layout, ("interleaved", "blocks"))
    run = implementation("attention", "sinusoidal", backend, where.dtype.char)
    return checks.like(run(where, size, float(base), layout), positions)
