"""Scaled dot-product attention and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks, devices
from kxfast.attention.arguments import attention_call, laid_out_like, result_like
from kxfast.dispatch import implementation


def scaled_dot_product_attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    scale: float | None = None,
    return_lse: bool = False,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Average values with weights ``softmax((q k' + bias) scale)`` over the keys each query may attend to.

    Parameters
    ----------
    q : array, shape (B, H, Lq, D), float32, float64, float16 or bfloat16
        Arrays of heads whose last axis is in one piece are read where they lie, in any layout: (B, L, H, D) with its
        axes swapped too.
        Half types are computed in float32 and rounded once, at the end; bfloat16 is multiplied as it is, weights being
        rounded to it, where the processor is faster at that. In the memory of a GPU, all arrays must be
        there and of one type; half types are multiplied by its tensor cores, weights being rounded to them.
    k : array, shape (B, Hkv, Lk, D)
        H is a multiple of Hkv: query head h attends to key head ``h // (H // Hkv)``.
    v : array, shape (B, Hkv, Lk, Dv)
    mask : Mask or boolean array, optional
        True: may attend. An array broadcasts to (B, H, Lq, Lk) by NumPy's rule, so a mask of keys for each row is
        ``mask[:, None, None]``. Masked keys and values may hold NaN: they are selected away, not multiplied by 0.
    bias : array, optional
        Broadcasts to (B, H, Lq, Lk) likewise; added before scaling. -inf forbids a pair.
    scale : float, optional
        ``1 / sqrt(D)`` if not given.
    return_lse : bool
        Whether to return the logarithm of each row's sum of exponentials, which the gradients need.
    backend : str, optional
        See `kxfast.use_backend`.
    out : array, shape (B, H, Lq, Dv), optional
        Where to put the result.

    Returns
    -------
    out : array, shape (B, H, Lq, Dv)
        0 in rows that may attend to nothing. With heads inside of rows in memory if q is laid out so.
    lse : array, shape (B, H, Lq), only with `return_lse`
        Natural logarithm, float32 for half types; -inf in rows that may attend to nothing.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    2 B H Lq Lk (D + Dv) operations on allowed pairs. Source: Vaswani et al., arXiv:1706.03762; articles 4765 and
    6933 of kexue.fm; Ainslie et al., arXiv:2305.13245 (grouped queries).

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> q, k, v = np.zeros((1, 1, 3, 2)), np.zeros((1, 1, 3, 2)), np.array([[[[1.0], [2.0], [6.0]]]])
    >>> kx.attention.scaled_dot_product_attention(q, k, v, mask=kx.masks.causal())[0, 0, :, 0].tolist()
    [1.0, 1.5, 3.0]

    """
    if devices.wanted((q,), backend):
        from kxfast.attention.device import attend_there

        return attend_there(q, k, v, mask=mask, bias=bias, scale=scale, return_lse=return_lse, out=out)
    call = attention_call(q, k, v, mask, bias, scale)
    both = checks.boolean("return_lse", return_lse)
    first = call.q
    target = None
    if out is not None:
        inputs = {"q": first, "k": call.k, "v": call.v, "bias": call.bias}
        target = checks.output(out, call.shape, first.dtype, **inputs)
    run = implementation("attention", "scaled_dot_product_attention", backend, first.dtype.char)
    result, lse = run(*call, target)
    if out is None:
        result = checks.like(laid_out_like(result, first), q)
    return (result, checks.like(lse, q)) if both else result


def scaled_dot_product_attention_backward(
    grad: Any,
    q: Any,
    k: Any,
    v: Any,
    out: Any,
    lse: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    scale: float | None = None,
    need_dbias: bool = False,
    backend: str | None = None,
) -> tuple[Any, ...]:
    """Return the gradients of ``sum(grad * scaled_dot_product_attention(q, k, v, ...))``.

    Parameters
    ----------
    grad : array, shape (B, H, Lq, Dv)
        Gradient of the result; not read in rows that may attend to nothing.
    q, k, v, mask, bias, scale, backend
        As in `scaled_dot_product_attention`.
    out, lse : arrays, shapes (B, H, Lq, Dv) and (B, H, Lq)
        What the forward call gave with ``return_lse=True``.
    need_dbias : bool
        Whether to return the gradient of `bias` too.

    Returns
    -------
    dq, dk, dv : arrays, shapes of q, k and v, laid out likewise
    dbias : array, shape of bias, only with `need_dbias`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    2 B H Lq Lk (3 D + 2 Dv) operations on allowed pairs. Source: Dao et al., arXiv:2205.14135.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> q, k, v = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 2, 2)), np.array([[[[1.0], [3.0]]]])
    >>> out, lse = kx.attention.scaled_dot_product_attention(q, k, v, return_lse=True)
    >>> grads = kx.attention.scaled_dot_product_attention_backward(np.ones((1, 1, 1, 1)), q, k, v, out, lse)
    >>> grads[2].ravel().tolist()
    [0.5, 0.5]

    """
    if devices.wanted((q,), backend):
        from kxfast.attention.device import attend_back_there

        return attend_back_there(grad, q, k, v, out, lse, mask=mask, bias=bias, scale=scale, need_dbias=need_dbias)
    call = attention_call(q, k, v, mask, bias, scale)
    wanted = checks.boolean("need_dbias", need_dbias)
    if wanted and call.bias is None:
        raise ValueError("need_dbias must be False without a bias; got True")
    kind, shape = call.q.dtype, call.shape
    dout = result_like("grad", grad, shape, kind, "(B, H, Lq, Dv)")
    result = result_like("out", out, shape, kind, "(B, H, Lq, Dv)")
    total = result_like("lse", lse, shape[:3], np.result_type(kind, np.float32), "(B, H, Lq)")
    run = implementation("attention", "scaled_dot_product_attention_backward", backend, kind.char)
    dq, dk, dv, dbias = run(dout, *call[:3], result, total, *call[3:], wanted)
    laid_out = map(laid_out_like, (dq, dk, dv), call[:3])
    gradients = tuple(map(checks.like, laid_out, (q, k, v)))
    if not wanted:
        return gradients
    return *gradients, checks.like(dbias.reshape(np.shape(bias)), bias)
