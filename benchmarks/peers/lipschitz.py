"""Other ways to the largest singular value and the other answers of `kx.lipschitz`, each as its authors would call it.

An iteration with a tolerance is given, in advance and for nothing, the loosest one with which its answer is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh, svds
from torch.nn import functional
from torch.nn.utils import spectral_norm as hook
from torch.nn.utils.parametrizations import spectral_norm as parametrization

Array = Any
Call = Callable[[], Any]


def loosest(run: Callable[[float], float], truth: float, width: float) -> float | None:
    """Return the loosest tolerance whose answer is within `width` of the truth."""
    for tol in (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-7):
        if abs(run(tol) / truth - 1) <= width:
            return tol
    return None


def arpack(a: Array, truth: float, width: float) -> Call | None:
    def run(tol: float) -> float:
        return float(svds(a, k=1, tol=tol, return_singular_vectors=False, rng=np.random.default_rng(0))[0])

    tol = loosest(run, truth, width)
    return None if tol is None else lambda: run(tol)


def gram_eigenvalues(a: Array) -> Call:
    def run() -> Array:
        gram = a @ a.swapaxes(-1, -2) if a.shape[-2] < a.shape[-1] else a.swapaxes(-1, -2) @ a
        return np.sqrt(np.linalg.eigvalsh(gram)[..., -1])

    return run


def gram_iteration(blocks: Callable[[], Any], truth: float, width: float) -> Call:
    """Delattre et al., arXiv:2305.16173: upper bounds |G_k|_F^(2^-k) with rescaling, until the largest is close."""

    def run() -> float:
        gram = blocks()
        gram = gram.mH if gram.shape[-2] < gram.shape[-1] else gram  # products of the shorter side
        scale = torch.zeros(gram.shape[:-2], dtype=torch.float64)
        for k in range(1, 16):
            size = torch.linalg.matrix_norm(gram)
            gram = gram / size[..., None, None]
            scale = 2 * scale + 2 * size.double().log()
            gram = gram.mH @ gram
            bound = float(((scale + torch.linalg.matrix_norm(gram).double().log()) / 2**k).max().exp())
            if bound <= truth * (1 + width):
                break
        assert bound >= truth * (1 - 1e-5)  # an upper bound, but for the roundings of float32
        return bound

    return run


def frequency_blocks(weight: Any, shape: Sequence[int]) -> Any:
    axes = tuple(range(2, weight.ndim))
    return torch.fft.rfftn(weight, tuple(shape), axes).movedim((0, 1), (-2, -1))


def circular_eigenvalues(weight: Any, shape: Sequence[int]) -> Call:
    def run() -> float:
        blocks = frequency_blocks(weight, shape)
        return float(torch.linalg.eigvalsh(blocks.mH @ blocks)[..., -1].max().sqrt())

    return run


def arpack_convolution(weight: Any, shape: Sequence[int], circular: bool, truth: float, width: float) -> Call | None:
    """ARPACK on the operator as torch applies it: in floats, or in doubles where floats never come near enough."""
    return _arpack_in(np.float32, weight, shape, circular, truth, width) or _arpack_in(
        np.float64, weight.double(), shape, circular, truth, width
    )


def _arpack_in(kind: Any, weight: Any, shape: Sequence[int], circular: bool, truth: float, width: float) -> Call | None:
    plain = functional.conv1d if len(shape) == 1 else functional.conv2d
    back = functional.conv_transpose1d if len(shape) == 1 else functional.conv_transpose2d
    pads = (1, 1) * len(shape)
    inner, size = (1, weight.shape[1], *shape), int(weight.shape[1] * np.prod(shape))

    def apply(x: Array) -> Array:
        image = torch.from_numpy(x.astype(kind, copy=False)).reshape(inner)
        if not circular:
            y = plain(image, weight, padding=1)
            return back(y, weight, padding=1).reshape(-1).numpy()
        y = plain(functional.pad(image, pads, "circular"), weight)
        wide = back(y, weight)
        for axis in range(2, wide.ndim):
            n = wide.shape[axis] - 2
            middle = wide.narrow(axis, 1, n).clone()
            middle.select(axis, n - 1).add_(wide.select(axis, 0))
            middle.select(axis, 0).add_(wide.select(axis, n + 1))
            wide = middle
        return wide.reshape(-1).numpy()

    start = np.random.default_rng(0).standard_normal(size).astype(kind)

    def run(tol: float) -> float:
        operator = LinearOperator((size, size), matvec=apply, dtype=kind)
        with torch.inference_mode():
            return float(np.sqrt(eigsh(operator, k=1, tol=tol, v0=start, return_eigenvectors=False)[0]))

    tol = loosest(run, truth, width)
    return None if tol is None else lambda: run(tol)


def sedghi(weight: Array, shape: Sequence[int]) -> Call:
    """The code of arXiv:1805.10408: kernel (K, K, in, out), all frequencies."""
    kernel = np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2)))
    axes = list(range(len(shape)))
    return lambda: np.linalg.svd(np.fft.fftn(kernel, tuple(shape), axes=axes), compute_uv=False)


def sedghi_clip(weight: Array, shape: Sequence[int], bound: float) -> Call:
    """The same authors' projection: all frequencies, clipped, cut to the kernel's support."""
    kernel = np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-1, -2)))
    axes = list(range(len(shape)))

    def run() -> Array:
        u, s, vh = np.linalg.svd(np.fft.fftn(kernel, tuple(shape), axes=axes), full_matrices=False)
        clipped = np.fft.ifftn((u * np.minimum(s, bound)[..., None, :]) @ vh, axes=axes).real
        return clipped[tuple(slice(k) for k in weight.shape[2:])]

    return run


def half_frequencies(weight: Any, shape: Sequence[int]) -> Call:
    return lambda: torch.linalg.svdvals(frequency_blocks(weight, shape))


def training(shapes: Sequence[tuple[int, int]]) -> dict[str, Call]:
    """PyTorch's two ways of one step for layers of these shapes."""
    old = [hook(torch.nn.Linear(n, m, bias=False)) for m, n in shapes]
    new = [parametrization(torch.nn.Linear(n, m, bias=False)) for m, n in shapes]

    def hooked() -> None:
        with torch.no_grad():
            for layer in old:
                next(iter(layer._forward_pre_hooks.values()))(layer, None)

    def parametrized() -> list[Any]:
        with torch.no_grad():
            return [layer.weight for layer in new]

    return {"torch hook": hooked, "torch parametrization": parametrized}


def traffic(ws: Sequence[Array], outs: Sequence[Array]) -> dict[str, Call]:
    """What a step moves at least, without its work: each weight is read, then read again and written scaled."""
    pairs = [(torch.from_numpy(w), torch.from_numpy(out)) for w, out in zip(ws, outs, strict=True)]

    def by_numpy() -> None:
        for w, out in zip(ws, outs, strict=True):
            np.dot(w.ravel(), w.ravel())
            np.multiply(w, np.float32(0.9), out=out)

    def by_torch() -> None:
        for w, out in pairs:
            torch.dot(w.view(-1), w.view(-1))
            torch.mul(w, 0.9, out=out)

    return {"NumPy, dot and multiply": by_numpy, "torch, dot and mul": by_torch}


def state(ws: Sequence[Array]) -> Call:
    """A step of block iteration with Rayleigh-Ritz for each layer, and its norm."""
    blocks = [np.linalg.qr(np.random.default_rng(0).standard_normal((w.shape[1], 4), np.float32))[0] for w in ws]

    def run() -> list[Array]:
        for i, w in enumerate(ws):
            blocks[i] = np.linalg.svd(w.T @ np.linalg.qr(w @ blocks[i])[0], full_matrices=False)[0]
        return [gram_eigenvalues(w)() for w in ws]

    return run


def gradients(ws: Sequence[Array], us: Sequence[Array], vs: Sequence[Array], grads: Sequence[Array]) -> Call:
    """Gradients through W / max(1, u'Wv / 0.9), the graph kept from one call to the next."""
    leaves = [torch.from_numpy(w).requires_grad_() for w in ws]
    scaled = []
    for w, u, v in zip(leaves, us, vs, strict=True):
        sigma = torch.dot(torch.from_numpy(u), torch.mv(w, torch.from_numpy(v)))
        scaled.append(w / (sigma / 0.9).clamp(min=1))
    back = [torch.from_numpy(g) for g in grads]
    return lambda: torch.autograd.grad(scaled, leaves, back, retain_graph=True)


def operator_step(weight: Any, shape: Sequence[int]) -> Call:
    """One step of i-ResNet's power iteration on a convolution with zeros around it."""
    v = functional.normalize(torch.randn(1, weight.shape[1], *shape).flatten(), dim=0).view(1, -1, *shape)
    u = functional.conv2d(v, weight, padding=1)

    def run() -> Any:
        with torch.inference_mode():
            new = functional.conv_transpose2d(u, weight, padding=1)
            new = new / new.norm()
            out = functional.conv2d(new, weight, padding=1)
            out = out / out.norm()
            return (out * functional.conv2d(new, weight, padding=1)).sum()

    return run


def block(layers: Sequence[tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Return a block of ("linear" | "conv", weight) and "elu" as a function of tensors."""

    def run(x: Any) -> Any:
        for kind, *rest in layers:
            if kind == "elu":
                x = functional.elu(x)
            else:
                x = functional.linear(x, rest[0]) if kind == "linear" else functional.conv2d(x, rest[0], padding=1)
        return x

    return run


def fixed_point(g: Callable[[Any], Any], y: Any, truth: Any, tol: float) -> Call:
    """Plain steps, as many as the accuracy asked for needs (counted in advance)."""

    def run(steps: int) -> Any:
        with torch.inference_mode():
            x = y
            for _ in range(steps):
                x = y - g(x)
            return x

    def error(steps: int) -> float:
        return float((run(steps) - truth).flatten(1).norm(dim=1).div(truth.flatten(1).norm(dim=1).clamp(min=1)).max())

    steps = next(n for n in range(1, 400) if error(n) <= tol)
    return lambda: run(steps)


def series(g: Callable[[Any], Any], x: Any, probe: Any, terms: int) -> Call:
    def run() -> Any:
        leaf = x.clone().requires_grad_()
        value, w, total = g(leaf), probe, 0
        for k in range(1, terms + 1):
            (w,) = torch.autograd.grad(value, leaf, w, retain_graph=k < terms)
            total = total + (-1) ** (k + 1) / k * (w * probe).flatten(1).sum(1)
        return total

    return run


def exact_logdet(g: Callable[[Any], Any], x: Any) -> Call:
    """Jacobians by reverse mode, vectorised over samples, and one factorisation each.

    On one at a time: with several threads MKL's batched factorisation reports errors and its result is wrong.
    """
    jacobian = torch.vmap(torch.func.jacrev(lambda sample: g(sample[None])[0]))

    def run() -> Any:
        shifted = torch.eye(x.shape[1]) + jacobian(x)
        return torch.stack([torch.linalg.slogdet(each)[1] for each in shifted])

    return run
