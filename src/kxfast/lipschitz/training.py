"""Spectral normalisation of the layers of a network while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxfast import checks, devices
from kxfast.dispatch import at_once, implementation
from kxfast.lipschitz.geometry import from_mapping, kernel, output_size

MODES = ("soft", "hard", "scale_only")
_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)


def spectral_normalize(
    weights: Sequence[Any],
    us: Sequence[Any],
    vs: Sequence[Any],
    *,
    coeff: float = 0.9,
    n_iter: int = 1,
    mode: str = "soft",
    out: Sequence[Any] | None = None,
    backend: str | None = None,
) -> tuple[Any, Any]:
    """Scale the weights of many layers by their spectral norms, estimated by power iteration.

    Each iteration sets ``u = Wv / |Wv|`` and then ``v = W'u / |W'u|``; ``sigma = |W'u|``, or ``u'Wv`` without
    iterations (evaluation). "soft" divides by ``max(1, sigma / coeff)``, "hard" always by ``sigma / coeff``. The
    estimate is never above the norm: for a proven contraction use `SpectralState`.

    Parameters
    ----------
    weights : sequence of arrays, shape (m, ...)
        Outputs first; more than two dimensions are taken as (m, rest).
    us, vs : sequences of NumPy arrays, shapes (m,) and (n,)
        The state of each layer; updated in place. All arrays may be CuPy's, or torch's on a GPU: then the step runs
        there, on the current stream of their library, and the results are there too.
    coeff : float
        The norm wanted.
    n_iter : int
        Iterations; 0 uses the state as it is.
    mode : {"soft", "hard", "scale_only"}
        "scale_only" is "soft" that returns the factors in place of scaled weights.
    out : sequence of NumPy arrays, optional
        Where the scaled weights are written; may be the weights themselves.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    scaled : list of arrays, or the factors (layers,) for "scale_only"
        A zero weight is returned as it is.
    sigmas : array, shape (layers,), float64

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or is not finite.

    Notes
    -----
    Sources: Gouk et al., arXiv:1804.04368; i-ResNet, arXiv:1811.00995; article 6051 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w, u, v = np.diag([3., 1.]), np.ones(2), np.ones(2)
    >>> (scaled,), sigmas = kx.lipschitz.spectral_normalize([w], [u], [v], n_iter=20)
    >>> scaled.round(6).tolist(), sigmas.round(6).tolist()
    ([[0.9, 0.0], [0.0, 0.3]], [3.0])

    """
    at_first = at_once("lipschitz", "spectral_normalize", backend)
    if (found := at_first(weights, us, vs, coeff, n_iter, mode, out)) is not None:
        return tuple(found)
    if devices.wanted(arrays("weights", weights), backend):
        from kxfast.lipschitz.device import normalize_there

        return normalize_there(weights, us, vs, coeff=coeff, n_iter=n_iter, mode=mode, out=out)
    run = implementation("lipschitz", "spectral_normalize", backend)
    ws, flat = weights, weights
    usual = implementation("lipschitz", "usual_layers", backend)(weights, us, vs, out)
    if not usual:
        ws = [matrix_weight("weights", i, w) for i, w in enumerate(arrays("weights", weights))]
        same_count(weights=ws, us=arrays("us", us), vs=arrays("vs", vs))
        flat = [w if w.ndim == 2 else w.reshape(len(w), -1) for w in ws]
        for i, (w, u, v) in enumerate(zip(flat, us, vs, strict=True)):
            _state("us", i, u, w.shape[0], "rows")
            _state("vs", i, v, w.shape[1], "columns")
    coeff, n_iter = checks.number("coeff", coeff, above=0), checks.integer("n_iter", n_iter, low=0)
    scaled = checks.choice("mode", mode, MODES) != "scale_only"
    targets = None if out is None or not scaled else out if usual else _outputs(out, ws)
    factors, sigmas, made = run(flat, us, vs, coeff, n_iter, mode == "hard", scaled, targets)
    if not np.isfinite(sigmas).all():  # found on the way, with nothing changed
        for name, given in ("weights", ws), ("us", us), ("vs", vs):
            for i, x in enumerate(given):
                checks.finite(f"{name}[{i}]", x)
        raise ValueError(f"weights must have norms that their types hold; got {sigmas.max()}")
    if not scaled:
        return factors, sigmas
    return list(out) if out is not None else _like(made, ws, weights), sigmas


def _like(made: Sequence[Any], ws: Sequence[Any], givens: Sequence[Any]) -> list[Any]:
    """Return results in the shapes of `ws` and as what was given."""
    if ws is givens:
        return list(made)
    results: list[Any] = []
    for x, w, given in zip(made, ws, givens, strict=True):
        shaped = x if w.ndim == 2 else x.reshape(w.shape)
        results.append(shaped if w is given else checks.like(shaped, given))
    return results


def arrays(name: str, value: Any) -> Sequence[Any]:
    """Return `value` if it is a list of one thing for each layer."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list of arrays, one for each layer; got {type(value).__name__}")
    return value


def same_count(**named: Sequence[Any]) -> None:
    """Raise unless all lists are as long as the first."""
    (first, members), *others = named.items()
    for name, value in others:
        if len(value) != len(members):
            raise ValueError(f"{name} must have {len(members)} entries to match {first}; got {len(value)}")


def matrix_weight(name: str, i: int, w: Any) -> checks.Array:
    """Return a canonical weight (m, ...)."""
    if type(w) is np.ndarray and w.ndim >= 2 and (w.dtype is _F4 or w.dtype is _F8) and w.flags.carray:
        return w  # the usual case: a call has many
    x = checks.floating(f"{name}[{i}]", w)
    if x.ndim < 2:
        raise ValueError(f"{name}[{i}] must have at least 2 dimensions; got shape {x.shape}")
    return x


def _state(name: str, i: int, value: Any, size: int, what: str) -> None:
    if not isinstance(value, np.ndarray) or (value.dtype is not _F4 and value.dtype.char not in "fd"):
        got = checks.place(value)
        raise TypeError(f"{name}[{i}] must be a NumPy array of float32 or float64, to be updated; got {got}")
    if value.shape != (size,):
        checks.shape(f"{name}[{i}]", value, (size,), f"({size},)", f"to match weights[{i}]'s {size} {what}")
    if not value.flags.writeable:
        raise ValueError(f"{name}[{i}] must be writeable, to be updated; got a read-only array")


def _outputs(out: Any, ws: Sequence[checks.Array]) -> list[Any]:
    """Return the arrays for the scaled weights."""
    targets = list(arrays("out", out))
    same_count(weights=ws, out=targets)
    for i, (target, w) in enumerate(zip(targets, ws, strict=True)):
        if not isinstance(target, np.ndarray) or (target.dtype is not w.dtype and target.dtype != w.dtype):
            got = target.dtype if isinstance(target, np.ndarray) else type(target).__name__
            raise TypeError(f"out[{i}] must be a NumPy array of {w.dtype} like weights[{i}]; got {got}")
        if target.shape != w.shape:
            checks.shape(f"out[{i}]", target, w.shape, str(w.shape), f"to match weights[{i}]")
        if not target.flags.writeable:
            raise ValueError(f"out[{i}] must be writeable; got a read-only array")
    return targets


def spectral_normalize_backward(
    grads: Sequence[Any],
    weights: Sequence[Any],
    us: Sequence[Any],
    vs: Sequence[Any],
    sigmas: Any,
    *,
    coeff: float = 0.9,
    mode: str = "soft",
    extra: float = 0.0,
    conv: Any = None,
    backend: str | None = None,
) -> list[Any]:
    """Return the gradients for the weights from those for the scaled weights.

    The vectors are constants: ``dW = G`` where nothing was scaled, else
    ``(c / sigma) (G - (<G, scaled W> / c) u v')``.

    Parameters
    ----------
    grads : sequence of arrays
        Gradients for the scaled weights, of the weights' shapes.
    weights : sequence of arrays, shape (m, ...)
        The weights before scaling.
    us, vs : sequences of arrays, shapes (m,) and (n,)
        The vectors after the forward step; with `conv` of the shapes of one output and input.
    sigmas : array, shape (layers,)
        What the forward step returned.
    coeff : float
        The norm wanted.
    mode : {"soft", "hard", "scale_only"}
        As in the forward step.
    extra : float
        Added to the divisor; 1e-5 in i-ResNet's convolutions.
    conv : mapping, optional
        For operator norms of convolutions, as in `power_iteration`; one for all layers.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    list of arrays

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or a weight that was scaled is not finite.

    Notes
    -----
    Source: Miyato et al., arXiv:1802.05957, with the soft form of i-ResNet.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> w, e = np.diag([3., 1.]), np.array([1., 0.])
    >>> kx.lipschitz.spectral_normalize_backward([np.ones((2, 2))], [w], [e], [e], [3.], coeff=1.)[0].round(4).tolist()
    [[-0.1111, 0.3333], [0.3333, 0.3333]]

    """
    run = implementation("lipschitz", "spectral_normalize_backward", backend)
    usual = conv is None and implementation("lipschitz", "usual_layers", backend)(weights, us, vs, grads)
    ws: Any = weights
    if not usual:
        ws = [matrix_weight("weights", i, w) for i, w in enumerate(arrays("weights", weights))]
    s = checks.floating("sigmas", sigmas, ndim=1).astype(np.float64)
    checks.finite("sigmas", s)
    same_count(weights=ws, grads=arrays("grads", grads), us=arrays("us", us), vs=arrays("vs", vs), sigmas=list(s))
    coeff, extra = checks.number("coeff", coeff, above=0), checks.number("extra", extra, low=0)
    hard = checks.choice("mode", mode, MODES) == "hard"
    flat, flat_gs, moves = ws, grads, None
    if not usual:
        gs = [_matching("grads", i, g, w.shape, "") for i, (g, w) in enumerate(zip(grads, ws, strict=True))]
    if not usual and conv is None:
        flat = [w if w.ndim == 2 else w.reshape(len(w), -1) for w in ws]
        flat_gs = [g if g.ndim == 2 else g.reshape(len(g), -1) for g in gs]
        us = [_matching("us", i, u, w.shape[:1], "rows") for i, (u, w) in enumerate(zip(us, flat, strict=True))]
        vs = [_matching("vs", i, v, w.shape[1:], "columns") for i, (v, w) in enumerate(zip(vs, flat, strict=True))]
    elif conv is not None:
        flat_gs, pairs = gs, []
        for i, (w, u, v) in enumerate(zip(ws, us, vs, strict=True)):
            size, moves = from_mapping(kernel(w, f"weights[{i}]"), conv)
            after, before = (len(w), *output_size(w, size, moves)), (w.shape[1] * moves.groups, *size)
            pairs.append((_matching("us", i, u, after, ""), _matching("vs", i, v, before, "")))
        us, vs = ([pair[k] for pair in pairs] for k in (0, 1))
    made, inners = run(flat_gs, flat, us, vs, s, coeff, hard, extra, moves)
    if not np.isfinite(inners).all():  # a gradient may be infinite: who scales losses looks for that
        for i, w in enumerate(ws):
            checks.finite(f"weights[{i}]", w)
    return list(made) if usual else _like(made, ws, grads)


def _matching(name: str, i: int, value: Any, shape: tuple[int, ...], what: str) -> checks.Array:
    """Return a canonical array of this shape."""
    if type(value) is np.ndarray and value.shape == shape and (value.dtype is _F4 or value.dtype is _F8):
        flags = value.flags
        return value if flags.c_contiguous and flags.aligned else checks.canonical(value)
    x = checks.floating(f"{name}[{i}]", value)
    reason = f"to match weights[{i}]" + (f"'s {shape[0]} {what}" if what else "")
    checks.shape(f"{name}[{i}]", x, shape, str(shape), reason)
    return x
