"""Calls with arrays of a GPU: what is taken, what is refused before any work, and torch's operator over it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from types import SimpleNamespace

import cuda_emulation
import numpy as np
import pytest
import torch
from cuda_attention import BRAIN, HALF, distance, inputs, there
from cuda_emulation import GpuArray, emulated, play_gpu

import kxfast as kx
import kxfast.torch as kt
from kxfast import devices, masks
from kxfast.backends.cuda import load


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def call(q, k, v, **keywords):
    return kx.attention.scaled_dot_product_attention(q, k, v, **keywords)


def moved(change, which):
    """Return a change of one of q, k, v."""
    return lambda arrays, keywords: arrays.__setitem__(which, change(arrays[which]))


def given(**keywords):
    return lambda arrays, options: options.update(keywords)


WRONG = {
    "k must be in the memory of a GPU, where backend 'cuda' works; got numpy": moved(lambda x: x.memory, 1),
    "q must be float32, float64, float16 or bfloat16; got int64": moved(
        lambda x: GpuArray(x.memory.astype(np.int64)), 0
    ),
    "v must be float32 like q on a GPU; got float64": moved(lambda x: GpuArray(x.memory.astype("d")), 2),
    "k must be on GPU 0 like the arrays before": moved(lambda x: GpuArray(x.memory, 1), 1),
    r"q must have 4 dimensions; got shape \(2, 5, 20\)": moved(lambda x: GpuArray(x.memory[0].copy()), 0),
    r"k must have shape \(1, Hkv, Lk, 20\)": moved(lambda x: GpuArray(x.memory[..., :9].copy()), 1),
    r"v must have shape \(1, 1, 6, Dv\) to match k": moved(lambda x: GpuArray(x.memory[:, :, :4].copy()), 2),
    "mask must be in the memory of a GPU": given(mask=np.ones((5, 6), bool)),
    r"mask must broadcast to \(B, H, Lq, Lk\) = \(1, 2, 5, 6\)": given(mask=GpuArray(np.ones((4, 6), bool))),
    "mask must be bool; got float32": given(mask=GpuArray(np.ones((5, 6), "f"))),
    "bias must be float32 like q": given(bias=GpuArray(np.ones((5, 6)))),
    r"bias must broadcast to .*; got shape \(5, 5\)": given(bias=GpuArray(np.ones((5, 5), "f"))),
    "scale must be finite": given(scale=np.nan),
    "return_lse must be True or False": given(return_lse=1),
    r"out must be float32 of shape \(1, 2, 5, 7\)": given(out=GpuArray(np.zeros((1, 2, 5, 8), "f"))),
    "out must be C-contiguous": given(out=GpuArray(np.zeros((1, 2, 5, 14), "f")[..., ::2])),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_calls_are_said_before_any_work(rng, words):
    arrays, keywords = [there(x) for x in inputs(rng, np.dtype("f"), 1, 2, 1, 5, 6, 20, 7)], {}
    WRONG[words](arrays, keywords)
    with emulated() as device, pytest.raises((TypeError, ValueError), match=words) as caught:
        call(*arrays, **keywords)
    assert "\n" not in str(caught.value)
    assert not device.launches


def test_wrong_gradients_are_said_before_any_work(rng):
    q, k, v = (there(x) for x in inputs(rng, HALF, 1, 2, 1, 5, 6, 20, 7))
    good = GpuArray(np.zeros((1, 2, 5, 7), HALF)), GpuArray(np.zeros((1, 2, 5), "f"))
    run = kx.attention.scaled_dot_product_attention_backward
    with emulated() as device:
        with pytest.raises(ValueError, match=r"grad must have shape \(1, 2, 5, 7\)"):
            run(GpuArray(np.zeros((1, 2, 5, 6), HALF)), q, k, v, *good)
        with pytest.raises(TypeError, match="lse must be float32; got float64"):
            run(good[0], q, k, v, good[0], GpuArray(np.zeros((1, 2, 5))))
        with pytest.raises(ValueError, match="need_dbias must be False without a bias"):
            run(good[0], q, k, v, *good, need_dbias=True)
    assert not device.launches


def test_arrays_never_move_by_themselves(rng):
    arrays = inputs(rng, np.dtype("f"), 1, 2, 1, 5, 6, 20, 7)
    with emulated(), pytest.raises(TypeError, match="q must be in the memory of a GPU"):
        call(*arrays, backend="cuda")
    with emulated(), kx.use_backend("cuda"), pytest.raises(TypeError, match="q must be in the memory of a GPU"):
        call(*arrays)
    with pytest.raises(kx.BackendError, match=r"backend 'cuda' cannot serve attention\.scaled_dot_product_attention: "):
        call(*map(there, arrays))


def test_any_layout_is_taken_and_results_may_be_given_a_place(rng):
    arrays = inputs(rng, np.dtype("f"), 2, 2, 1, 5, 6, 20, 8)
    expected = call(*arrays, backend="reference")
    turned = [GpuArray(np.asfortranarray(x)) for x in arrays]
    shifted = []
    for x in arrays:  # at 4 bytes from where asynchronous copies may begin
        memory = np.empty(x.size + 1, "f")[1:].reshape(x.shape)
        memory[...] = x
        shifted.append(GpuArray(memory))
    out = GpuArray(np.full(expected.shape, np.nan, "f"))
    with emulated(orders=[0]):
        assert distance(call(*turned).memory, expected) < 1e-6
        assert distance(call(*shifted).memory, expected) < 1e-6
        assert call(*map(there, arrays), out=out) is out
        same = there(rng.standard_normal((2, 2, 5, 8)).astype("f"))
        with pytest.raises(ValueError, match="out must not share memory with"):
            call(there(arrays[0][..., :8]), same, same, out=same)
    assert distance(out.memory, expected) < 1e-6


def turned(x):
    """Lay (B, H, L, D) out as projections leave it: (B, L, H, D)."""
    return GpuArray(np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3))


def far_apart(*steps):
    """Lay arrays out with so many numbers from one to the next along each axis, in a file that is mostly a hole."""

    def lay(x):
        last = sum((size - 1) * step for size, step in zip(x.shape, steps, strict=True))
        with tempfile.TemporaryFile() as file:
            memory = np.memmap(file, x.dtype, "w+", shape=last + 1)
        far = np.lib.stride_tricks.as_strided(memory, x.shape, [step * x.itemsize for step in steps])
        far[...] = x
        return GpuArray(far)

    return lay


# Rows of heads side by side; and sequences, then rows, with more than 2**31 numbers between the first and the last.
LAYOUTS = turned, far_apart(2**31 + 2**18, 2**13, 64, 1), far_apart(256, 64, 2**25, 1)


@pytest.mark.parametrize("warp_groups", [False, True])
@pytest.mark.parametrize("lay", LAYOUTS, ids=["turned", "far sequences", "far rows"])
def test_heads_are_read_where_they_are(rng, monkeypatch, lay, warp_groups):
    def refuse(x):
        raise AssertionError("copied")

    arrays = inputs(rng, BRAIN, 2, 4, 2, 70, 75, 64, 64)
    grad = rng.standard_normal((2, 4, 70, 64)).astype(BRAIN)
    exact = [x.astype("d") for x in (grad, *arrays)]
    mask = masks.causal()
    out, lse = call(*exact[1:], mask=mask, return_lse=True)
    expected = kx.attention.scaled_dot_product_attention_backward(*exact, out, lse, mask=mask)
    given = list(map(lay, arrays))
    monkeypatch.setattr(cuda_emulation, "ascontiguousarray", refuse)
    with emulated(orders=[2], warp_groups=warp_groups):
        found = call(*given, mask=mask, return_lse=True)
        gradients = kx.attention.scaled_dot_product_attention_backward(there(grad), *given, *found, mask=mask)
    for x, y in zip((*found, *gradients), (out, lse, *expected), strict=True):
        assert x.memory.flags.c_contiguous
        assert distance(x.memory, y) < 2e-2


def test_heads_without_numbers_are_refused(rng):
    with emulated(), pytest.raises(ValueError, match="q and v must have heads of at least 1 on a GPU; got 20 and 0"):
        call(*map(there, inputs(rng, np.dtype("f"), 1, 2, 1, 5, 6, 20, 0)))
    with (
        emulated(),
        pytest.raises(
            kx.BackendError,
            match="backend 'cuda' cannot serve heads of sizes 3000 and 1 in this type: a tile of 16 rows",
        ),
    ):
        call(*map(there, inputs(rng, np.dtype("d"), 1, 1, 1, 1, 1, 3000, 1)))


@pytest.fixture
def tensors_of_a_gpu(monkeypatch):
    play_gpu(monkeypatch)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_tensors_keep_their_gradients(tensors_of_a_gpu, kind):
    torch.manual_seed(3)
    shapes = (1, 2, 20, 64), (1, 1, 30, 64), (1, 1, 30, 64), (2, 20, 30)
    leaves = [torch.randn(shape).to(kind).requires_grad_() for shape in shapes]
    results = []
    mask = masks.causal() & masks.padding(25)
    for double in False, True:
        used = [x.detach().double().requires_grad_() if double else x for x in leaves]
        with emulated(orders=[1]) as device, kx.use_backend("reference") if double else nullcontext():
            out = kt.scaled_dot_product_attention(*used[:3], mask=mask, bias=used[3], scale=0.5)
            out.square().sum().backward()
        assert bool(device.launches) != double
        assert out.dtype == used[0].dtype
        results.append([out.detach(), *(x.grad for x in used)])
    for found, expected in zip(*results, strict=True):
        assert distance(found.double().numpy(), expected.numpy()) < (3e-2 if kind == torch.bfloat16 else 1e-5)


def test_results_are_of_the_library_of_the_arrays(monkeypatch):
    example = torch.zeros(2, dtype=torch.bfloat16)
    made = load.empty_beside(example, (3, 2), np.dtype("f"))
    assert (made.dtype, tuple(made.shape)) == (torch.float32, (3, 2))
    assert load.empty_beside(example, (1,), BRAIN).dtype is torch.bfloat16
    assert load.address(made) == made.data_ptr()
    library = SimpleNamespace(empty=lambda shape, dtype: (shape, dtype))
    monkeypatch.setitem(sys.modules, "cupy", library)
    array = type("ndarray", (), {"__module__": "cupy", "data": SimpleNamespace(ptr=64)})()
    assert load.empty_beside(array, (4,), HALF) == ((4,), HALF)
    assert load.address(array) == 64


def test_torch_tells_of_bfloat16_by_integers():
    """It has no name for the type in the interface that arrays of GPUs share."""

    class Tensor:
        dtype = "torch.bfloat16"

        def detach(self):
            return self

        def __dlpack_device__(self):
            return 2, 0

        def view(self, dtype):
            assert dtype is torch.int16
            facts = {"shape": (2, 3), "typestr": "<i2", "data": (64, False), "strides": None, "version": 3}
            return SimpleNamespace(__cuda_array_interface__=facts)

    Tensor.__module__ = "torch"
    found = devices.canonical("q", Tensor(), types=("bfloat16",), align=16, strided=True)
    assert found[1:] == (64, (2, 3), BRAIN, 0, None)
