"""Gated convolutions of arrays of a GPU: what is taken and refused, stacks, and torch's operators and modules there."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from cuda_attention import BRAIN, distance
from cuda_conv import case, here, pairs, there
from cuda_emulation import GpuArray, emulated, play_gpu

import kxfast as kx
import kxfast.torch as kt

run, back = kx.conv.dilated_gated_conv1d, kx.conv.dilated_gated_conv1d_backward
FLOAT = np.dtype("f")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def given(**keywords):
    return lambda arrays, options: options.update(keywords)


def ones(*shape, dtype="f", number=0):
    return GpuArray(np.ones(shape, dtype), number)


WRONG = {
    "weight must be in the memory of a GPU, where backend 'cuda' works; got numpy": lambda arrays, options: (
        arrays.__setitem__(1, arrays[1].memory)
    ),
    "x must be float32, float64, float16 or bfloat16; got int64": lambda arrays, options: arrays.__setitem__(
        0, ones(2, 9, 4, dtype=np.int64)
    ),
    "weight must be float32 to go with x on a GPU; got float64": lambda arrays, options: arrays.__setitem__(
        1, ones(3, 4, 8, dtype="d")
    ),
    r"x must have 3 dimensions; got shape \(9, 4\)": lambda arrays, options: arrays.__setitem__(0, ones(9, 4)),
    r"weight must have shape \(K, 4, 2\*F\) to match x's 4 channels": lambda arrays, options: arrays.__setitem__(
        1, ones(3, 5, 8)
    ),
    "bias must be on GPU 0 like the arrays before": given(bias=ones(8, number=1)),
    r"bias must have shape \(8,\)": given(bias=ones(9)),
    "shortcut must be given": lambda arrays, options: arrays.__setitem__(1, ones(3, 4, 6)),
    r"mask must have shape \(2, 9\) to match": given(mask=ones(2, 8, dtype=bool)),
    "mask must be in the memory of a GPU": given(mask=np.ones((2, 9), bool)),
    "dilation must be at least 1": given(dilation=0),
    "drop_gate must be below 1": given(drop_gate=1.5, seed=1),
    "return_parts must be True or False": given(return_parts=1),
    r"out must be float32 of shape \(2, 9, 4\)": given(out=ones(2, 9, 5)),
    "norm must be None unless skip='add'": given(norm=(ones(4), ones(4), 0.5)),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_calls_are_said_before_any_work(words):
    arrays, options = [ones(2, 9, 4), ones(3, 4, 8)], {}
    WRONG[words](arrays, options)
    with emulated() as device, pytest.raises((TypeError, ValueError), match=words) as caught:
        run(*arrays, **options)
    assert "\n" not in str(caught.value)
    assert not device.launches


def test_wrong_gradients_and_stacks_are_said_before_any_work():
    x, weight = ones(2, 9, 4), ones(3, 4, 8)
    layer = kx.conv.GatedLayer(weight)
    with emulated() as device:
        with pytest.raises(ValueError, match=r"grad must have shape \(2, 9, 4\)"):
            back(ones(2, 9, 5), x, weight)
        with pytest.raises(ValueError, match=r"parts must have shape \(2, 9, 8\)"):
            back(x, x, weight, parts=ones(2, 9, 4))
        with pytest.raises(TypeError, match="seed must be the int or SeedSequence"):
            back(x, x, weight, drop_gate=0.5)
        with pytest.raises(TypeError, match=r"layers\[1\] must be a GatedLayer; got GpuArray"):
            kx.conv.dgcnn(x, [layer, weight])
        with pytest.raises(TypeError, match=r"layers\[1\].bias must be float32 to go with x"):
            kx.conv.dgcnn(x, [layer, kx.conv.GatedLayer(weight, ones(8, dtype="d"))])
        with pytest.raises(TypeError, match="kept must be what dgcnn returned"):
            kx.conv.dgcnn_backward(x, x, [layer], kept=3)
        with pytest.raises(ValueError, match=r"kept.inputs\[0\] must have shape \(2, 9, 4\)"):
            kx.conv.dgcnn_backward(x, x, [layer], kept=kx.conv.Kept((ones(2, 9, 3),), (ones(2, 9, 8),)))
        with pytest.raises(ValueError, match="out must not share memory with x"):
            run(x, weight, out=x)
    assert not device.launches


def test_arrays_never_move_by_themselves(rng):
    x, weight, _ = case(rng, FLOAT, (2, 9, 4), 4, 3)
    with emulated(), pytest.raises(TypeError, match="x must be in the memory of a GPU"):
        run(x, weight, backend="cuda")
    with pytest.raises(kx.BackendError, match=r"backend 'cuda' cannot serve conv\.dilated_gated_conv1d: "):
        run(there(x), there(weight))
    with emulated(), pytest.raises(TypeError, match="x must be in host memory for this call"):
        kx.conv.dilated_conv1d(there(x), weight[..., :4])


def test_any_layout_masks_of_numbers_and_a_place_for_the_result(rng):
    x, weight, given = case(rng, FLOAT, (2, 9, 4), 4, 3, masked=[9, 5])
    expected = run(x, weight, **given, backend="reference")
    out = ones(2, 9, 4)
    with emulated(orders=[0]):
        for mask in given["mask"][..., None], given["mask"].astype("f"), given["mask"].astype(np.int64):
            arrays = GpuArray(np.asfortranarray(x)), GpuArray(np.asfortranarray(weight)), there(given["bias"])
            assert distance(run(*arrays, mask=there(mask)).memory, expected) < 1e-6
        assert run(*arrays, mask=there(mask), out=out) is out
    assert distance(out.memory, expected) < 1e-6


def layers_of(rng, kind):
    """Return layers of every sort, 12 channels in and 20 out, as their arguments."""
    sizes = [(12, 12, {}), (12, 20, {"shortcut": True}), (20, 20, {"gate": "first"}), (20, 20, {"norm": True})]
    found = []
    for i, (deep, channels, options) in enumerate(sizes):
        extra = {"norm": options.pop("norm", False), "shortcut": options.pop("shortcut", None)}
        _, weight, given = case(rng, kind, (1, 1, deep), channels, 3, **extra)
        found.append(
            {"weight": weight, **given, "dilation": 2**i, "skip": "add" if extra["norm"] else "gated", **options}
        )
    return found


@pytest.mark.parametrize("kind", [BRAIN, np.dtype("d")], ids=str)
def test_stacks(rng, kind):
    described = layers_of(rng, kind)
    x, grad = rng.standard_normal((2, 31, 12)).astype(kind), rng.standard_normal((2, 31, 20)).astype(kind)
    mask = np.arange(31) < np.array([[31], [20]])
    double = lambda x: tuple(map(double, x)) if isinstance(x, tuple) else x.astype("d") if hasattr(x, "dtype") else x
    layers = [kx.conv.GatedLayer(**{n: double(v) for n, v in each.items()}) for each in described]
    options = {"mask": mask, "drop_gate": 0.2, "seed": 2**64 - 2}
    expected = kx.conv.dgcnn(double(x), layers, **options, backend="reference")
    theirs = kx.conv.dgcnn_backward(double(grad), double(x), layers, **options, backend="reference")
    layers = [kx.conv.GatedLayer(**{n: there(v) for n, v in each.items()}) for each in described]
    options["mask"] = there(mask)
    with emulated(orders=[1]):
        y, kept = kx.conv.dgcnn(there(x), layers, **options, return_kept=True)
        most = 3e-2 if kind == BRAIN else 1e-13
        assert distance(y.memory, expected) < most
        for held in kept, None:
            found = kx.conv.dgcnn_backward(there(grad), there(x), layers, **options, kept=held)
            for a, b in pairs(found, theirs):
                assert distance(a, b, least=1.0) < 2 * most
        out = there(np.zeros((2, 31, 20), kind))
        assert kx.conv.dgcnn(there(x), layers, **options, out=out) is out
        np.testing.assert_array_equal(here(out), here(y))


@pytest.fixture
def tensors_of_a_gpu(monkeypatch):
    play_gpu(monkeypatch)


def results_of(leaves, call, double):
    used = [x.detach().double().requires_grad_() if double else x for x in leaves]
    with (
        emulated(orders=[1]) if not double else nullcontext() as device,
        kx.use_backend("reference") if double else nullcontext(),
    ):
        out = call(*used)
        out.square().sum().backward()
    assert double or device.launches
    return [out.detach(), *(x.grad for x in used)]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_tensors_keep_their_gradients(monkeypatch, kind):
    torch.manual_seed(3)
    shapes = (2, 20, 8), (3, 8, 16), (16,), (8, 8), (8,), (8,), (8,), ()
    leaves = [torch.randn(shape).div(2).to(kind).requires_grad_() for shape in shapes]
    mask = torch.arange(20) < torch.tensor([[20], [13]])

    def call(x, weight, bias, s, s_bias, *norm):
        first = kt.dilated_gated_conv1d(x, weight, bias, mask=mask, shortcut=(s, s_bias), drop_gate=0.2, seed=seed)
        return kt.dilated_gated_conv1d(first, weight, dilation=2, skip="add", norm=norm)

    seed = torch.tensor(5)
    expected = results_of(leaves, call, True)
    play_gpu(monkeypatch)
    for found, right in zip(results_of(leaves, call, False), expected, strict=True):
        assert found.dtype == kind
        assert distance(found.double().numpy(), right.numpy(), least=1.0) < (4e-2 if kind == torch.bfloat16 else 1e-5)


def test_modules_train(tensors_of_a_gpu):
    torch.manual_seed(3)
    net = kt.DGCNN(8, (1, 2), drop_gate=0.1)
    net.append(kt.DilatedGatedConv1d(8, 5))
    x, mask = torch.randn(2, 17, 8), torch.arange(17) < torch.tensor([[17], [9]])
    with emulated(orders=[0]) as device:
        net(x, mask).square().sum().backward()
        assert device.launches > 10
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def step(weights, state, mode):
    scaled, sigmas = kt.spectral_normalize(weights, *state, coeff=0.5, n_iter=2, mode=mode)
    if mode != "scale_only":
        sum((x * x.detach().cos()).sum() for x in scaled).backward()
    return [
        *(x.detach().clone() for x in scaled),
        sigmas,
        *state[0],
        *state[1],
        *(w.grad for w in weights if w.grad is not None),
    ]


@pytest.mark.parametrize("mode", ["soft", "hard", "scale_only"])
def test_spectral_normalisation_keeps_its_gradients(monkeypatch, mode):
    torch.manual_seed(3)
    start = [torch.randn(6, 3, 2), torch.randn(4, 5) * 1e-3]
    state = [torch.randn(6), torch.randn(4)], [torch.randn(6), torch.randn(5)]
    results = []
    for gpu in False, True:
        if gpu:
            play_gpu(monkeypatch)
        with emulated(orders=[0]) if gpu else nullcontext() as device:
            weights = [w.clone().requires_grad_(mode != "scale_only") for w in start]
            results.append(step(weights, tuple([x.clone() for x in xs] for xs in state), mode))
        assert not gpu or device.launches
    for expected, found in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-7)


def test_the_parametrization_works_there(tensors_of_a_gpu):
    with emulated(orders=[0]):
        layer = kt.spectral_norm(torch.nn.Linear(7, 5))
        assert float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) == pytest.approx(1, rel=0.1)
        layer.weight.sum().backward()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: kt.dilated_gated_conv1d(x, torch.zeros(3, 4, 8)),
        lambda x: kt.residual_inverse(lambda y: y / 2, x),
        lambda x: kt.spectral_normalize([x], [torch.ones(2)], [torch.ones(12)]),
    ],
    ids=["dilated_gated_conv1d", "residual_inverse", "spectral_normalize"],
)
def test_other_devices_are_refused_in_a_line_that_says_what_is_served(call):
    with pytest.raises(kx.BackendError, match=r"must be on the CPU for this call \(dilated_gated_conv1d, ") as caught:
        call(torch.empty(2, 3, 4, device="meta"))
    assert "\n" not in str(caught.value)
