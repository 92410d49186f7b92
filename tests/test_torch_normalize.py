"""Spectral normalisation of lists of tensors, read as they are where they are plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
memory = pytest.importorskip("kxfast.torch.memory")


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)


def close(found: Any, expected: Any, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


SHAPES = [(4, 6), (3, 2, 3, 1), (1, 5), (5, 5), (3, 0)]


def lists(kind: Any = torch.float32, shapes: Any = SHAPES) -> tuple[list[Any], list[Any], list[Any]]:
    sizes = [(shape[0], int(np.prod(shape[1:]))) for shape in shapes]
    weights = [torch.randn(shape, dtype=kind) for shape in shapes]
    return weights, [torch.randn(m, dtype=kind) for m, _ in sizes], [torch.randn(n, dtype=kind) for _, n in sizes]


def step_and_gradients(
    weights: list[Any], us: list[Any], vs: list[Any], grads: list[Any] | None = None, **options: Any
) -> list[Any]:
    leaves, us, vs = [w.clone().requires_grad_() for w in weights], [u.clone() for u in us], [v.clone() for v in vs]
    scaled, sigmas = kt.spectral_normalize(leaves, us, vs, **options)
    grads = [w.cos() for w in weights] if grads is None else grads
    return [*scaled, sigmas, *us, *vs, *torch.autograd.grad(scaled, leaves, grads)]


@pytest.mark.skipif(memory._TABLE is None, reason="needs a torch that has DLPack's table of functions")
@pytest.mark.parametrize("mode", ["soft", "hard"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_iter", [0, 2])
def test_tensors_as_they_are_give_what_arrays_give(monkeypatch: Any, mode: str, kind: Any, n_iter: int) -> None:
    weights, us, vs = lists(kind)
    weights[3] *= 0.01  # of a norm below the coefficient, one step of the state past it
    options = {"mode": mode, "n_iter": n_iter, "coeff": 0.9}
    assert memory.Step.run(weights, [u.clone() for u in us], [v.clone() for v in vs], **options) is not None
    found = step_and_gradients(weights, us, vs, **options)
    monkeypatch.setattr(memory, "_TABLE", None)  # as in versions of torch without one
    expected = step_and_gradients(weights, us, vs, **options)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is b.dtype
        close(a, b, 0)


class Named(torch.Tensor):
    pass


OTHERS = {
    "strided": lambda w: w.t().contiguous().t(),
    "of another type": lambda w: w.double(),
    "of a class of its own": lambda w: w.as_subclass(Named),
    "of a vector": lambda w: w[0],
}


@pytest.mark.parametrize("which", OTHERS)
@pytest.mark.parametrize("place", [0, 1])
def test_other_tensors_take_the_way_of_arrays(which: str, place: int) -> None:
    weights, us, vs = lists(shapes=[(4, 6), (4, 6)])
    weights[place] = OTHERS[which](weights[place])
    assert memory.Step.run(weights, us, vs, 0.9, 1, "soft") is None
    if which == "of a vector":
        with pytest.raises(ValueError, match=rf"weights\[{place}\] must have at least 2 dimensions"):
            kt.spectral_normalize(weights, us, vs)
        return
    us, vs = ([x.to(w.dtype) for x, w in zip(xs, weights, strict=True)] for xs in (us, vs))
    found = step_and_gradients(weights, us, vs)
    plain = [torch.tensor(w.tolist(), dtype=w.dtype) for w in weights]
    for a, b in zip(found, step_and_gradients(plain, us, vs), strict=True):
        close(torch.as_tensor(a), b, 1e-6)


def test_state_of_wrong_shapes_and_signs_is_refused() -> None:
    weights, us, vs = lists()
    for wrong in (us[0][:-1], us[0][:, None], us[0].numpy()):
        assert memory.Step.run(weights, [wrong, *us[1:]], vs, 0.9, 1, "soft") is None
    assert memory.Step.run(weights, us[:-1], vs, 0.9, 1, "soft") is None
    with pytest.raises(ValueError, match=r"us\[0\] must have shape"):
        kt.spectral_normalize(weights, [us[0][:-1], *us[1:]], vs)
    turned = torch.tensor([[1 + 2j]]).conj().imag  # of one entry: in one piece, and -1 times what is in memory
    assert turned.is_neg()
    assert turned.is_contiguous()
    assert memory.Step.run([turned], [torch.ones(1)], [torch.ones(1)], 0.9, 1, "soft") is None
    for bad in ({"coeff": 0.0}, {"coeff": float("nan")}, {"n_iter": -1}, {"mode": "firm"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            kt.spectral_normalize(weights, us, vs, **bad)


def test_weights_that_are_not_finite_change_no_state() -> None:
    weights, us, vs = lists()
    weights[1][0, 0] = float("nan")
    before = [x.clone() for x in (*us, *vs)]
    with pytest.raises(ValueError, match=r"weights\[1\] must be finite"):
        kt.spectral_normalize(weights, us, vs)
    assert all(torch.equal(a, b) for a, b in zip((*us, *vs), before, strict=True))


def test_gradients_of_any_layout_and_weights_in_hooks() -> None:
    weights, us, vs = lists()
    expected = step_and_gradients(weights, us, vs, [torch.ones_like(w) for w in weights])
    spread = [torch.ones(()).expand(w.shape) for w in weights]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.numpy().copy(), torch.from_numpy):
        found = step_and_gradients(weights, us, vs, spread)
    for a, b in zip(found, expected, strict=True):
        close(a, b, 0)
    infinite = [torch.full_like(w, float("inf")) for w in weights]  # who scales losses looks for these
    assert not all(g.isfinite().all() for g in step_and_gradients(weights, us, vs, infinite)[-len(weights) :])


def test_weights_replaced_before_the_gradient_are_seen() -> None:
    w = torch.randn(4, 6, requires_grad=True)
    scaled, _ = kt.spectral_normalize([w], [torch.randn(4)], [torch.randn(6)])
    w.data = torch.randn(6, 4)  # rows and columns have the same sum
    with pytest.raises(ValueError, match=r"must have shape"):
        scaled[0].sum().backward()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32(kind: Any) -> None:
    weights, us, vs = lists()
    narrow = [[x.to(kind) for x in xs] for xs in (weights, us, vs)]
    wide = [[x.float() for x in xs] for xs in narrow]
    expected, sigmas = kt.spectral_normalize(*wide)
    leaves = [w.requires_grad_() for w in narrow[0]]
    scaled, found = kt.spectral_normalize(*narrow)
    close(found, sigmas, 0)
    for a, b in zip([*scaled, *narrow[1], *narrow[2]], [*expected, *wide[1], *wide[2]], strict=True):
        assert a.dtype is kind
        assert torch.equal(a, b.to(kind))
    sum(x.float().square().sum() for x in scaled).backward()
    assert all(w.grad.dtype is kind for w in leaves)


def test_the_reference_takes_the_same_lists() -> None:
    given = lists(torch.float64)
    with settings.use_backend("reference"):
        expected = step_and_gradients(*given, coeff=0.8)
    for a, b in zip(step_and_gradients(*given, coeff=0.8), expected, strict=True):
        close(a, b, 1e-12)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [None, (6, 5)])
def test_modules_of_half_types_are_normalised(kind: Any, shape: Any) -> None:
    conv = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False, dtype=kind)
    layer = kt.spectral_norm(conv, input_shape=shape, n_power_iterations=30)
    for _ in range(3):
        weight = layer.weight
    assert weight.dtype is kind
    if shape is None:
        norm = torch.linalg.matrix_norm(weight.detach().float().flatten(1), 2)
    else:
        norm = kx.lipschitz.conv_spectral_norm(weight.detach().float().numpy(), shape, padding=1).upper
    assert abs(float(norm) - 1) < 0.02
    weight.float().square().sum().backward()
    assert layer.parametrizations.weight.original.grad.dtype is kind
