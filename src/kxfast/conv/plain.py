"""Dilated convolution without a gate."""

from __future__ import annotations

from typing import Any

from kxfast import checks
from kxfast.conv.arguments import distance, kernel, sequence
from kxfast.dispatch import implementation


def dilated_conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dilation: int = 1,
    mask: Any = None,
    activation: str | None = None,
    padding: str = "same",
    pool: int = 1,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Convolve over time: ``h[b, t] = bias + sum_a x[b, t + a dilation - left] @ weight[a]``, stride 1.

    Parameters
    ----------
    x : array, shape (B, L, D), float32, float64, float16 or bfloat16
    weight : array, shape (K, D, F)
    bias : array, shape (F,), optional
    dilation : int
        Distance between taps, in positions; it may exceed L.
    mask : array, shape (B, L) or (B, L, 1), optional
        1 for real positions; padding is read as 0, whatever stands there. The result is not masked.
    activation : {None, "relu", "relu_pair_sum"}
        ``"relu_pair_sum"`` adds the two halves of the channels after the relu; F must be even.
    padding : {"same", "causal"}
        Zeros around the sequence: ``left`` is half of the reach (K - 1) dilation, rounded down, or all of it.
    pool : int
        Take the largest of as many neighbouring positions, in every channel; what is left over at the end is dropped.
    backend : str, optional
        See `kxfast.use_backend`.
    out : array, shape of the result, optional
        Where to put it.

    Returns
    -------
    array, shape (B, L // pool, F), or (B, L // pool, F/2) for "relu_pair_sum"

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    2 B L K D F operations. Source: Yu and Koltun, arXiv:1511.07122; articles 5409 and 5505 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x = np.array([[[1.0], [2.0], [3.0], [4.0]]])
    >>> kx.conv.dilated_conv1d(x, np.ones((2, 1, 1)), dilation=2, padding="causal")[0, :, 0].tolist()
    [1.0, 2.0, 4.0, 6.0]

    """
    array, m = sequence(x, mask)
    if activation is not None:
        checks.choice("activation", activation, ("relu", "relu_pair_sum"), None)
    pairs = activation == "relu_pair_sum"
    w, b = kernel("weight", weight, bias, array.shape[2], "x's", "2*F" if pairs else "F")
    step = distance("dilation", dilation)
    checks.choice("padding", padding, ("same", "causal"))
    if b is None:
        array, w = checks.common_float(x=array, weight=w)
    else:
        array, w, b = checks.common_float(x=array, weight=w, bias=b)
    window = checks.integer("pool", pool, low=1)
    shape = (len(array), array.shape[1] // window, w.shape[2] // 2 if pairs else w.shape[2])
    target = checks.output(out, shape, array.dtype, x=array, weight=w)
    run = implementation("conv", "dilated_conv1d", backend, array.dtype.char)
    result = run(array, w, b, m, step, padding, activation, window, target)
    return result if out is not None else checks.like(result, x)
