"""Spectral norms and singular values of convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks, devices
from kxfast.dispatch import implementation
from kxfast.lipschitz.geometry import geometry, input_size, kernel, output_size
from kxfast.lipschitz.interval import KINDS, Interval, ends


def conv_power_iteration(
    weight: Any,
    u: Any,
    v: Any,
    n_iter: int = 1,
    *,
    input_shape: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    eps: float = 1e-12,
    backend: str | None = None,
) -> tuple[Any, Any, Any]:
    """Run power iteration with a convolution as the operator: ``power_iteration(..., conv=dict(...))``.

    Parameters
    ----------
    weight : array, shape (F, D / groups, K) or (F, D / groups, K, K)
        The kernel.
    u, v : arrays, shapes (F, ...) and (D, ...)
        Start vectors of the shapes of one output and one input; `v` is used as it is only when `n_iter` is 0.
    n_iter : int
        Number of steps.
    input_shape, stride, padding, dilation, groups, padding_mode
        As in `conv_spectral_norm`.
    eps : float
        Least length a vector is divided by.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    sigma : scalar of the arrays' type
    u, v : arrays of the shapes of `u` and `v`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Source: i-ResNet, arXiv:1811.00995.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w, u, v = np.array([[[.25, .5, .3]]]), np.ones((1, 6)), np.zeros((1, 6))
    >>> round(float(kx.lipschitz.conv_power_iteration(w, u, v, 5, input_shape=(6,), padding=1)[0]), 9)
    0.995716559

    """
    if devices.wanted((weight,), backend):
        from kxfast.lipschitz.device import iterate_there

        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode, "input_shape": input_shape, "eps": eps}
        return iterate_there(weight, u, v, n_iter, **options)
    w = kernel(weight)
    shape = input_size(w, input_shape)
    moves = geometry(w, stride, padding, dilation, groups, padding_mode)
    outer = (w.shape[0], *output_size(w, shape, moves))
    inner = (w.shape[1] * moves.groups, *shape)
    a, b = checks.floating("u", u), checks.floating("v", v)
    checks.shape("u", a, outer, str(outer), "to match the output of one sample")
    checks.shape("v", b, inner, str(inner), "to match the input of one sample")
    w, a, b = checks.common_float(weight=w, u=a, v=b)
    for name, x in ("weight", w), ("u", a), ("v", b):
        checks.finite(name, x)
    n_iter, eps = checks.integer("n_iter", n_iter, low=0), checks.number("eps", eps, above=0)
    run = implementation("lipschitz", "conv_power_iteration", backend, w.dtype.char)
    sigma, a, b = run(w, a, b, n_iter, eps, moves)
    return w.dtype.type(sigma), checks.like(a, weight), checks.like(b, weight)


def conv_spectral_norm(
    weight: Any,
    input_shape: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    tol: float = 1e-3,
    upper: str | None = "proof",
    failure: float = 1e-8,
    seed: Any = 0,
    backend: str | None = None,
) -> Interval:
    """Enclose the norm of a convolution (a cross-correlation without bias) on inputs of one size.

    Circular padding that gives one output for each stride position is exact: a Fourier transform makes it one small
    matrix at each frequency. Any other operator of at most 2^20 entries, and a circular one with outputs that repeat of
    at most 2^24, is written out as a matrix. Larger ones with
    zero padding are bounded by the circular one on the torus of sides n + p, rounded up to the stride: a relaxation,
    usually of less than a percent; larger circular ones with outputs that repeat by the root of how often they do.

    Parameters
    ----------
    weight : array, shape (F, D / groups, K) or (F, D / groups, K, K)
        The kernel.
    input_shape : tuple of ints
        Length, or height and width, of the input in pixels.
    stride, padding, dilation : int or tuple of ints
        In pixels; the padding on each side.
    groups : int
        Number of channel groups; divides F.
    padding_mode : {"zeros", "circular"}
        What the padding holds.
    tol : float
        Width asked for, relative to the norm.
    upper : {"proof", "random", None}
        How the upper end is obtained; see `spectral_norm`. "random" meets `tol` for every operator.
    failure : float
        Probability with which a "random" upper end may be wrong.
    seed : int, SeedSequence or Generator
        Of the start vector.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Interval
        `u` has the shape of one output (F, ...), `v` of one input (D, ...).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    A weight in the memory of a GPU is enclosed there, and `u` and `v` are there too: circular padding with one output
    for each stride position, "proof" or None; anything else is a `BackendError`.
    Sources: Sedghi et al., arXiv:1805.10408, for the circular case; i-ResNet, arXiv:1811.00995, for the operator.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w = np.array([[[.25, .5, .3]]])
    >>> norm = kx.lipschitz.conv_spectral_norm(w, (6,), padding=1, padding_mode="circular", tol=1e-9)
    >>> round(float(norm.lower), 6), round(float(norm.upper), 6)
    (1.05, 1.05)

    """
    if devices.wanted((weight,), backend):
        from kxfast.lipschitz.device import enclose_there

        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        options |= {"padding_mode": padding_mode, "tol": tol, "upper": upper, "failure": failure, "seed": seed}
        return enclose_there(weight, input_shape, **options)
    w = kernel(weight)
    checks.finite("weight", w)
    shape = input_size(w, input_shape)
    moves = geometry(w, stride, padding, dilation, groups, padding_mode)
    output_size(w, shape, moves)
    tol, upper, failure = ends(tol, upper, failure, ("proof", "random"))
    run = implementation("lipschitz", "conv_spectral_norm", backend, w.dtype.char)
    lower, top, steps, u, v = run(w, shape, moves, tol, upper, failure, checks.seed(seed))
    u, v = (checks.like(x.astype(w.dtype), weight) for x in (u, v))
    return Interval(lower, top, KINDS[upper], failure if upper == "random" else 0.0, steps, u, v)


def conv_singular_values(weight: Any, input_shape: Any, *, stride: Any = 1, backend: str | None = None) -> Any:
    """Return all singular values of a convolution with circular padding.

    Parameters
    ----------
    weight : array, shape (F, D, K) or (F, D, K, K)
        The kernel.
    input_shape : tuple of ints
        Length, or height and width, of the input in pixels; multiples of the stride.
    stride : int or tuple of ints
        In pixels; there is one output for each stride position.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (min(F * outputs, D * inputs),)
        In descending order; they do not depend on where the padding begins.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Accuracy: a few roundings of the weight's type, times the largest value, for small values too. Source: Sedghi et
    al., arXiv:1805.10408, with the polyphase form for strides.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> [round(float(s), 6) + 0.0 for s in kx.lipschitz.conv_singular_values(np.array([[[.5, .5]]]), (4,))]
    [1.0, 0.707107, 0.707107, 0.0]

    """
    w = kernel(weight)
    checks.finite("weight", w)
    shape = input_size(w, input_shape)
    moves = geometry(w, stride, 0, 1, 1, "circular")
    if any(n % s for n, s in zip(shape, moves.stride, strict=True)):
        raise ValueError(f"input_shape must be a multiple of the stride {moves.stride}; got {shape}")
    run = implementation("lipschitz", "conv_singular_values", backend, w.dtype.char)
    return checks.like(run(w, shape, moves) if w.size else np.zeros(0, w.dtype), weight)


def clip_conv_norm(weight: Any, input_shape: Any, bound: float, *, n_iter: int = 10, backend: str | None = None) -> Any:
    """Return a kernel near `weight` whose circular convolution has a norm of at most `bound`.

    The singular values at all frequencies are clipped and the kernel is cut to its support, again and again; what
    then exceeds the bound by the cutting is scaled down by a proven upper end. A kernel as large as the input needs
    one turn and no scaling; one that is within the bound is returned as it is.

    Parameters
    ----------
    weight : array, shape (F, D, K) or (F, D, K, K)
        The kernel; K at most the input's size.
    input_shape : tuple of ints
        Length, or height and width, of the input in pixels.
    bound : float
        The largest norm allowed, above 0.
    n_iter : int
        Most turns of clipping and cutting.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array of the shape and type of `weight`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Source: Sedghi et al., arXiv:1805.10408, section on regularisation.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w = kx.lipschitz.clip_conv_norm(np.array([[[1., 2., 1.]]]), (8,), 1.0)
    >>> bool(kx.lipschitz.conv_singular_values(w, (8,))[0] <= 1)
    True

    """
    w = kernel(weight)
    checks.finite("weight", w)
    shape = input_size(w, input_shape)
    if any(k > n for k, n in zip(w.shape[2:], shape, strict=True)):
        raise ValueError(f"weight must have a kernel no larger than the input {shape}; got {w.shape[2:]}")
    bound, n_iter = checks.number("bound", bound, above=0), checks.integer("n_iter", n_iter, low=1)
    if not w.size:
        return checks.like(w.copy(), weight)
    clip = implementation("lipschitz", "clip_conv_norm", backend, w.dtype.char)
    clipped = np.ascontiguousarray(clip(w, shape, bound, n_iter))
    limit = bound * (1 - np.finfo(w.dtype).eps * np.sqrt(np.prod(w.shape[2:]) * max(1, min(w.shape[:2]))))
    upper = _circular(clipped, shape).upper
    if upper <= bound and np.array_equal(clipped, w):
        return checks.like(w.copy(), weight)
    clipped = clipped * min(1.0, limit / upper) if upper > 0 else clipped
    return checks.like(clipped.astype(w.dtype), weight)


def _circular(w: checks.Array, shape: tuple[int, ...]) -> Interval:
    """Enclose the circular norm narrowly; odd or even, the kernel gets one output for each pixel."""
    even = [(0, 0), (0, 0)] + [(0, 1 - k % 2) for k in w.shape[2:]]
    odd = np.pad(w, even)
    return conv_spectral_norm(
        odd, shape, padding=tuple(k // 2 for k in odd.shape[2:]), padding_mode="circular", tol=1e-9
    )
