"""From a sequence to one vector, and back beside every position."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.conv.arguments import sequence
from kxfast.dispatch import implementation


def attention_pooling(
    x: Any,
    hidden: Any,
    output: Any,
    *,
    mask: Any = None,
    activation: str = "tanh",
    hidden_bias: Any = None,
    output_bias: float = 0.0,
    backend: str | None = None,
) -> Any:
    """Average over time with weights ``softmax(act(x hidden + hidden_bias) output + output_bias)``.

    Parameters
    ----------
    x : array, shape (B, L, D)
    hidden : array, shape (D, H)
    output : array, shape (H,) or (H, 1)
    mask : array, shape (B, L) or (B, L, 1), optional
        1 for real positions; the others get no weight.
    activation : {"tanh", "swish"}
    hidden_bias : array, shape (H,), optional
    output_bias : float
        Of no effect on the result, since a softmax does not see it.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D)
        0 for rows without a real position (the original gives the mean over padding).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: article 5409 of kexue.fm and ``AttentionPooling1D`` of the author's code for article 6906.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x = np.array([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    >>> kx.conv.attention_pooling(x, np.zeros((2, 2)), np.ones(2), mask=[[1, 1, 0]]).tolist()
    [[2.0, 3.0]]

    """
    array, m = sequence(x, mask)
    h = checks.floating("hidden", hidden, ndim=2, half=True)
    o = checks.floating("output", output, ndim=(1, 2), half=True)
    channels, width = array.shape[2], h.shape[1]
    checks.shape("hidden", h, (channels, width), f"({channels}, H)", f"to match x's {channels} channels")
    if o.ndim == 2 and o.shape[1] == 1:
        o = o[:, 0]
    checks.shape("output", o, (width,), f"({width},)", f"to match hidden's {width} columns")
    checks.choice("activation", activation, ("tanh", "swish"))
    b = None if hidden_bias is None else checks.floating("hidden_bias", hidden_bias, ndim=1, half=True)
    if b is not None:
        checks.shape("hidden_bias", b, (width,), f"({width},)", f"to match hidden's {width} columns")
        b, array, h, o = checks.common_float(hidden_bias=b, x=array, hidden=h, output=o)
    array, h, o = checks.common_float(x=array, hidden=h, output=o)
    shift = checks.number("output_bias", output_bias)
    run = implementation("conv", "attention_pooling", backend, array.dtype.char)
    return checks.like(run(array, h, o, m, activation, b, shift), x)


def masked_max_pooling(x: Any, *, mask: Any = None, keepdims: bool = False, backend: str | None = None) -> Any:
    """Return the largest value of each channel over real positions.

    Parameters
    ----------
    x : array, shape (B, L, D)
    mask : array, shape (B, L) or (B, L, 1), optional
        1 for real positions.
    keepdims : bool
        Whether the result keeps an axis of length 1 for time, as in the original.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D) or (B, 1, D)
        0 for rows without a real position.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: ``seq_maxpool`` of the author's code (kg-2019), which subtracts 1e10 from padding instead.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.conv.masked_max_pooling(np.array([[[-1.0], [-2.0], [5.0]]]), mask=[[1, 1, 0]]).tolist()
    [[-1.0]]

    """
    return _pooled("masked_max_pooling", x, mask, keepdims, backend)


def masked_mean_pooling(x: Any, *, mask: Any = None, keepdims: bool = False, backend: str | None = None) -> Any:
    """Return the mean of each channel over real positions.

    Parameters
    ----------
    x : array, shape (B, L, D)
    mask : array, shape (B, L) or (B, L, 1), optional
        1 for real positions.
    keepdims : bool
        Whether the result keeps an axis of length 1 for time.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    array, shape (B, D) or (B, 1, D)
        0 for rows without a real position.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: the nets of article 6906 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.conv.masked_mean_pooling(np.array([[[1.0], [2.0], [5.0]]]), mask=[[1, 1, 0]]).tolist()
    [[1.5]]

    """
    return _pooled("masked_mean_pooling", x, mask, keepdims, backend)


def _pooled(name: str, x: Any, mask: Any, keepdims: bool, backend: str | None) -> Any:
    array, m = sequence(x, mask)
    keep = checks.boolean("keepdims", keepdims)
    result = implementation("conv", name, backend, array.dtype.char)(array, m)
    return checks.like(result[:, None] if keep else result, x)


def seq_and_vec(x: Any, vector: Any) -> Any:
    """Put a sentence's vector beside every position of its sequence.

    Parameters
    ----------
    x : array, shape (B, L, D)
    vector : array, shape (B, Dv) or (B, 1, Dv)

    Returns
    -------
    array, shape (B, L, D + Dv)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape.

    Notes
    -----
    Source: ``seq_and_vec`` of the author's code for article 6906 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> kx.conv.seq_and_vec(np.array([[[1.0], [2.0]]]), np.array([[7.0, 8.0]])).tolist()
    [[[1.0, 7.0, 8.0], [2.0, 7.0, 8.0]]]

    """
    array, _ = sequence(x, None)
    v = checks.floating("vector", vector, ndim=(2, 3), half=True)
    batch, length = array.shape[:2]
    if v.ndim == 3 and v.shape[1] == 1:
        v = v[:, 0]
    checks.shape("vector", v, (batch, v.shape[-1]), f"({batch}, Dv)", f"to match x's batch of {batch}")
    array, v = checks.common_float(x=array, vector=v)
    repeated = np.broadcast_to(v[:, None], (batch, length, v.shape[1]))
    return checks.like(np.concatenate([array, repeated], -1), x)
