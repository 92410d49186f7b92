"""The other steps of invertible networks: ActNorm, squeezing, padding with channels."""

from __future__ import annotations

from typing import Any

from kxfast import checks
from kxfast.dispatch import implementation


def _images(name: str, value: Any) -> checks.Array:
    x = checks.floating(name, value)
    if x.ndim < 2:
        raise ValueError(f"{name} must have at least 2 dimensions (B, D, ...); got shape {x.shape}")
    return x


def actnorm_init(x: Any, *, eps: float = 1e-5, backend: str | None = None) -> tuple[Any, Any]:
    """Return the log-scales and shifts with which `actnorm` gives each channel mean 0 and variance 1.

    Parameters
    ----------
    x : array, shape (B, D, ...)
        A first batch.
    eps : float
        Added to the variances.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    log_scale, shift : arrays, shape (D,)
        ``-log sqrt(var + eps)`` and ``-mean exp(log_scale)``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Source: Glow, arXiv:1807.03039, as used by i-ResNet.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x = np.array([[1., 5.], [3., 9.]])
    >>> y, logdet = kx.lipschitz.actnorm(x, *kx.lipschitz.actnorm_init(x))
    >>> y.round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]

    """
    a = _images("x", x)
    checks.finite("x", a)
    eps = checks.number("eps", eps, above=0)
    if a.size == 0:
        raise ValueError(f"x must have entries; got shape {a.shape}")
    log_scale, shift = implementation("lipschitz", "actnorm_init", backend, a.dtype.char)(a, eps)
    return checks.like(log_scale, x), checks.like(shift, x)


def actnorm(
    x: Any, log_scale: Any, shift: Any, *, inverse: bool = False, backend: str | None = None
) -> tuple[Any, Any]:
    """Scale and shift each channel: ``x exp(s) + b``, or its inverse.

    Parameters
    ----------
    x : array, shape (B, D, ...)
    log_scale, shift : arrays, shape (D,)
    inverse : bool
        Undo it.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    y : array of the shape of `x`
    logdet : scalar
        Log-determinant of the map of one sample: positions times the sum of `log_scale`; negative for the inverse.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: Glow, arXiv:1807.03039, as used by i-ResNet.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> y, logdet = kx.lipschitz.actnorm(np.ones((1, 1, 4)), np.log([2.]), np.array([1.]))
    >>> y.tolist(), round(float(logdet), 6)
    ([[[3.0, 3.0, 3.0, 3.0]]], 2.772589)

    """
    a = _images("x", x)
    s, b = checks.floating("log_scale", log_scale, ndim=1), checks.floating("shift", shift, ndim=1)
    for name, each in ("log_scale", s), ("shift", b):
        checks.shape(name, each, (a.shape[1],), f"({a.shape[1]},)", f"to match x's {a.shape[1]} channels")
    a, s, b = checks.common_float(x=a, log_scale=s, shift=b)
    inverse = checks.boolean("inverse", inverse)
    y, logdet = implementation("lipschitz", "actnorm", backend, a.dtype.char)(a, s, b, inverse)
    return checks.like(y, x), logdet


def squeeze(x: Any, factor: int = 2, *, backend: str | None = None) -> Any:
    """Move blocks of pixels into channels: (B, D, H, W) to (B, D f^2, H / f, W / f).

    Channel ``(d f + i) f + j`` of the result is pixel (i, j) of the blocks of channel d. A permutation: its
    log-determinant is 0, and `unsqueeze` undoes it exactly.

    Parameters
    ----------
    x : array, shape (B, D, H, W)
    factor : int
        f; divides H and W.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: i-RevNet, arXiv:1802.07088, as used by i-ResNet; the order of channels is that of PixelUnshuffle.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.squeeze(np.arange(4.).reshape(1, 1, 2, 2)).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]

    """
    a, f = checks.floating("x", x, ndim=4), checks.integer("factor", factor, low=1)
    if a.shape[2] % f or a.shape[3] % f:
        raise ValueError(f"x must have a height and width that {f} divides; got shape {a.shape}")
    return checks.like(implementation("lipschitz", "squeeze", backend, a.dtype.char)(a, f), x)


def unsqueeze(x: Any, factor: int = 2, *, backend: str | None = None) -> Any:
    """Move channels back into blocks of pixels: the inverse of `squeeze`.

    Parameters
    ----------
    x : array, shape (B, D f^2, H, W)
    factor : int
        f; its square divides the channels.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D, H f, W f)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x = np.arange(16.).reshape(1, 1, 4, 4)
    >>> bool(np.array_equal(kx.lipschitz.unsqueeze(kx.lipschitz.squeeze(x)), x))
    True

    """
    a, f = checks.floating("x", x, ndim=4), checks.integer("factor", factor, low=1)
    if a.shape[1] % (f * f):
        raise ValueError(f"x must have a number of channels that {f * f} divides; got shape {a.shape}")
    return checks.like(implementation("lipschitz", "unsqueeze", backend, a.dtype.char)(a, f), x)


def injective_pad(x: Any, channels: int, *, backend: str | None = None) -> Any:
    """Append channels of zeros, so that a block may work in a wider space; `injective_unpad` drops them.

    Parameters
    ----------
    x : array, shape (B, D, ...)
    channels : int
        How many.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D + channels, ...)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    An injection, not a bijection: it has no log-determinant. Source: i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.injective_pad(np.ones((1, 1)), 2).tolist()
    [[1.0, 0.0, 0.0]]

    """
    a, count = _images("x", x), checks.integer("channels", channels, low=0)
    return checks.like(implementation("lipschitz", "injective_pad", backend, a.dtype.char)(a, count), x)


def injective_unpad(x: Any, channels: int, *, backend: str | None = None) -> Any:
    """Drop the last channels: the inverse of `injective_pad` on its range.

    Parameters
    ----------
    x : array, shape (B, D + channels, ...)
    channels : int
        How many; at most as many as there are.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D, ...)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.lipschitz.injective_unpad(np.array([[1., 0., 0.]]), 2).tolist()
    [[1.0]]

    """
    a = _images("x", x)
    count = checks.integer("channels", channels, 0, a.shape[1])
    return checks.like(implementation("lipschitz", "injective_unpad", backend, a.dtype.char)(a, count), x)
