"""One dilated gated convolution and its gradients."""

from __future__ import annotations

from typing import Any

from kxfast import checks, devices
from kxfast.conv.arguments import dropout, gated_layer, gradient, kept_parts, sequence, unify, usual_layer
from kxfast.conv.stack import GatedLayer
from kxfast.dispatch import at_once, implementation


def dilated_gated_conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dilation: int = 1,
    mask: Any = None,
    skip: str = "gated",
    gate: str = "last",
    padding: str = "same",
    mask_input: bool | None = None,
    shortcut: Any = None,
    norm: Any = None,
    drop_gate: float = 0.0,
    seed: Any = None,
    return_parts: bool = False,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Convolve over time into candidates c and gates g, and mix c with the input as the sigmoid s(g) says.

    ======= ============== ============ ==============================================
    variant `skip`         `gate`       result (m is the mask)
    ======= ============== ============ ==============================================
    A       ``"gated"``    ``"last"``   m (x (1 - s(g)) + c s(g))
    A0      ``"none"``     either       m c s(g)
    B       ``"gated"``    ``"first"``  m (x s(g) + c (1 - s(g))): the gate keeps the input
    C       ``"add"``      either       x + c s(g)
    D       ``"add"``      either       x + alpha LayerNorm(c s(g)), with `norm`
    ======= ============== ============ ==============================================

    Parameters
    ----------
    x : array, shape (B, L, D), float32, float64, float16 or bfloat16
        Sequences, channels last. Half types are computed in float32 and rounded once, at the end.
    weight : array, shape (K, D, 2F)
        Kernel; the first and the second half of the channels out are c and g, or g and c with ``gate="first"``.
    bias : array, shape (2F,), optional
    dilation : int
        Distance between taps, in positions; it may exceed L.
    mask : array, shape (B, L) or (B, L, 1), optional
        Booleans or 0/1, 1 for real positions. What stands in padding, NaN too, never reaches a real position: it is
        selected away, not multiplied by 0.
    skip : {"gated", "none", "add"}
    gate : {"last", "first"}
        Which half is the gate.
    padding : {"same", "causal"}
        Zeros around the sequence; with an even reach the same on both sides, else one more at the end; or all before.
    mask_input : bool, optional
        Whether padding is hidden from the convolution (and from the skip of C and D, whose results are not masked).
        None: wherever a mask is given. False: read padding as it is stored, as the sources of B and C do; the authors
        mask the embedding once before the first layer, so that both give the same.
    shortcut : pair (weight (D, F), bias (F,) or None), optional
        1x1 convolution of the skipped x; needed if D is not F and `skip` is not "none".
    norm : triple (gamma (F,), beta (F,), alpha), optional
        Makes variant D of ``skip="add"``: normalisation over channels (biased variance, epsilon 1e-7) times alpha.
    drop_gate : float
        Training: share of gates whose logit is set to 0 (s = 1/2); the others are multiplied by 1/(1 - drop_gate).
    seed : int, SeedSequence or Generator, optional
        Of the dropped gates; the same seed drops the same gates in the backward call.
    return_parts : bool
        Also return what the backward call needs, so that it does not convolve again.
    backend : str, optional
        See `kxfast.use_backend`.
    out : array, shape (B, L, F), optional
        Where to put the result.

    Returns
    -------
    y : array, shape (B, L, F)
    parts : array, shape (B, L, 2F), only if `return_parts`
        Candidates c and their shares s (1 - s(g) in B), in float32 for half types; 0 where the result is masked.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    2 B L K D 2F operations. Source: articles 5409 and 6906 of kexue.fm and the author's code for them (A, A0), kg-2019
    (B), vae (C), SPACES (D); Dauphin et al., arXiv:1612.08083; Yu and Koltun, arXiv:1511.07122.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x = np.array([[[1.0], [2.0], [3.0]]])
    >>> weight = np.array([[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]])  # c: the previous value; g: 0, so s(g) = 1/2
    >>> kx.conv.dilated_gated_conv1d(x, weight)[0, :, 0].tolist()
    [0.5, 1.5, 2.5]

    """
    options = dilation, skip, gate, padding, mask_input
    if shortcut is norm is mask_input is out is None and type(drop_gate) is float and drop_gate == 0:
        run = at_once("conv", "dilated_gated_conv1d", backend)
        found = run(x, weight, bias, mask, dilation, skip, gate, padding, return_parts)
        if found is not None:
            return found
    if devices.wanted((x,), backend):
        from kxfast.conv.device import convolve_there

        fields = GatedLayer(weight, bias, *options, shortcut, norm)
        return convolve_there(x, fields, mask, drop_gate, seed, return_parts, out)
    array, m = sequence(x, mask)
    usual = shortcut is None and norm is None
    layer = usual_layer(array, m is not None, weight, bias, options) if usual else None
    rate, key = dropout(drop_gate, seed)
    if layer is None:
        fields = GatedLayer(weight, bias, *options, shortcut, norm)
        layer = gated_layer("", array.shape[2], m is not None, fields)
        (array,), (layer,) = unify([array], [layer])
    target = checks.output(out, (*array.shape[:2], layer.channels), array.dtype, x=array, weight=layer.weight)
    kept: list[Any] | None = [] if checks.boolean("return_parts", return_parts) else None
    run = implementation("conv", "dilated_gated_conv1d", backend, array.dtype.char)
    result = run(array, layer, m, rate, key, target, kept)
    result = result if out is not None else checks.like(result, x)
    return result if kept is None else (result, checks.like(kept[0][1], x))


def dilated_gated_conv1d_backward(
    grad: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    dilation: int = 1,
    mask: Any = None,
    skip: str = "gated",
    gate: str = "last",
    padding: str = "same",
    mask_input: bool | None = None,
    shortcut: Any = None,
    norm: Any = None,
    drop_gate: float = 0.0,
    seed: Any = None,
    parts: Any = None,
    backend: str | None = None,
) -> tuple[Any, ...]:
    """Return the gradients of ``sum(grad * dilated_gated_conv1d(x, weight, bias, ...))``.

    Parameters
    ----------
    grad : array, shape (B, L, F)
        Gradient of the result.
    x, weight, bias, dilation, mask, skip, gate, padding, mask_input, shortcut, norm, drop_gate, backend
        As in `dilated_gated_conv1d`.
    seed : int or SeedSequence
        The one of the forward call; needed if `drop_gate` is above 0.
    parts : array, shape (B, L, 2F), optional
        What the forward call with the same arguments returned for ``return_parts=True``. Without it the convolution is
        done again: 4 products for a forward and a backward in place of 3.

    Returns
    -------
    dx : array, shape (B, L, D)
    dweight : array, shape (K, D, 2F)
    dbias : array, shape (2F,), or None without a bias
    dshortcut : pair (dweight, dbias or None), only if `shortcut` is given
    dnorm : triple (dgamma, dbeta, dalpha), only if `norm` is given

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: as for `dilated_gated_conv1d`; the formulas are in its specification, section 5.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> x, weight, bias = np.ones((1, 3, 1)), np.zeros((3, 1, 2)), np.zeros(2)
    >>> dx, dweight, dbias = kx.conv.dilated_gated_conv1d_backward(np.ones((1, 3, 1)), x, weight, bias)
    >>> dx[0, :, 0].tolist(), dbias.tolist()  # c = 0 and s = 1/2 everywhere
    ([0.5, 0.5, 0.5], [1.5, -0.75])

    """
    options = dilation, skip, gate, padding, mask_input
    if shortcut is norm is mask_input is None and type(drop_gate) is float and drop_gate == 0:
        run = at_once("conv", "dilated_gated_conv1d_backward", backend)
        found = run(grad, x, weight, bias, mask, dilation, skip, gate, padding, parts)
        if found is not None:
            return tuple(found)
    if devices.wanted((x,), backend):
        from kxfast.conv.device import convolve_back_there

        fields = GatedLayer(weight, bias, *options, shortcut, norm)
        return convolve_back_there(grad, x, fields, mask, drop_gate, seed, parts)
    array, m = sequence(x, mask)
    usual = shortcut is None and norm is None
    layer = usual_layer(array, m is not None, weight, bias, options) if usual else None
    if layer is None:
        fields = GatedLayer(weight, bias, *options, shortcut, norm)
        layer = gated_layer("", array.shape[2], m is not None, fields)
        (array,), (layer,) = unify([array], [layer])
    rate, key = dropout(drop_gate, seed, backward=True)
    dy = gradient(grad, (*array.shape[:2], layer.channels))
    if dy.dtype is not array.dtype:
        (array, dy), (layer,) = unify([array, dy], [layer])
    given = None if parts is None else kept_parts("parts", parts, (*array.shape[:2], 2 * layer.channels), array.dtype)
    run = implementation("conv", "dilated_gated_conv1d_backward", backend, array.dtype.char)
    dx, dweight, dbias, *rest = run(dy, array, layer, m, rate, key, given)
    dbias = None if dbias is None else checks.like(dbias, bias)
    return checks.like(dx, x), checks.like(dweight, weight), dbias, *rest
