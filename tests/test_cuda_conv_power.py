"""Power iteration with convolutions on a GPU, run by the emulation, beside the reference in double."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cuda_attention import distance
from cuda_conv import there
from cuda_emulation import GpuArray, LaunchError, emulated, play_gpu

import kxfast as kx
import kxfast.torch as kt
from kxfast.backends.cuda import lipschitz_power, nvrtc

run = kx.lipschitz.conv_power_iteration


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def inputs(rng, kind, weight, outer, inner):
    return tuple(rng.standard_normal(shape).astype(kind) for shape in (weight, outer, inner))


def both(rng, weight, outer, inner, n_iter=3, kind="d", orders=range(3), blocks=4, **options):
    """Return the largest distance of sigma, u and v from the reference in double."""
    given = inputs(rng, kind, weight, outer, inner)
    options |= {"input_shape": inner[1:]}
    expected = run(*(x.astype("d") for x in given), n_iter, **options, backend="reference")
    with emulated(orders=orders, blocks=blocks) as device:
        sigma, u, v = run(*map(there, given), n_iter, **options)
        assert device.launches == 1
    assert sigma.dtype == u.memory.dtype == v.memory.dtype == np.dtype(kind)
    return max(distance(x, y) for x, y in zip((sigma, u.memory, v.memory), expected, strict=True))


CASES = {
    "3 x 3": ((9, 5, 3, 3), (9, 12, 13), (5, 12, 13), {"padding": 1}),
    "strides and holes": (
        (8, 4, 3, 2),
        (8, 5, 4),
        (4, 11, 9),
        {"stride": (2, 3), "dilation": (1, 3), "padding": (0, 2)},
    ),
    "groups": ((20, 3, 3, 3), (20, 7, 7), (6, 7, 7), {"padding": 1, "groups": 2}),
    "circular": ((3, 2, 3, 3), (3, 6, 5), (2, 6, 5), {"padding": 1, "padding_mode": "circular"}),
    "around twice": ((3, 2, 8, 1), (3, 5, 3), (2, 2, 3), {"padding": (5, 0), "padding_mode": "circular"}),
    "one axis": ((7, 3, 4), (7, 150), (3, 300), {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_convolution_in_any_order_of_threads(rng, name):
    *shapes, options = CASES[name]
    assert both(rng, *shapes, **options) < 1e-12
    assert both(rng, *shapes, **options, n_iter=0, orders=[0]) < 1e-12
    assert both(rng, *shapes, **options, n_iter=1, orders=[1], blocks=1) < 1e-12
    assert both(rng, *shapes, **options, kind="f", orders=[2]) < 1e-5


def test_any_number_of_blocks_gives_the_same_bits(rng):
    given = list(map(there, inputs(rng, "f", (30, 20, 3, 3), (30, 12, 13), (20, 12, 13))))
    results = []
    for blocks in 1, 2, 7:
        with emulated(blocks=blocks, orders=[0]):
            sigma, u, v = run(*given, 2, input_shape=(12, 13), padding=1)
        results.append((sigma.tobytes(), u.memory.tobytes(), v.memory.tobytes()))
    assert len(set(results)) == 1


def test_the_worked_number_and_the_norm():
    w, u, v = np.array([[[0.25, 0.5, 0.3]]]), np.ones((1, 6)), np.zeros((1, 6))
    with emulated(orders=[0]):
        options = {"input_shape": (6,), "padding": 1}
        assert run(*map(there, (w, u, v)), 5, **options)[0] == pytest.approx(0.995716559, abs=1e-9)
        sigma = kx.lipschitz.power_iteration(*map(there, (w, u, v)), 300, conv=options)[0]
    assert kx.lipschitz.conv_spectral_norm(w, 6, padding=1).lower == pytest.approx(sigma, rel=1e-6)


def test_a_zero_kernel_and_a_given_least_length(rng):
    _, u, v = inputs(rng, "d", (1,), (4, 5), (2, 5))
    with emulated(orders=[0]):
        sigma, new_u, new_v = run(there(np.zeros((4, 2, 3))), there(u), there(v), 2, input_shape=5, padding=1)
    assert sigma == 0
    assert not new_u.memory.any()
    assert not new_v.memory.any()
    assert both(rng, (4, 2, 3), (4, 5), (2, 5), padding=1, eps=100.0) < 1e-12


WRONG = {
    "u must be in the memory of a GPU": (lambda w, u, v: (w, u.memory, v), {}),
    r"u must have shape \(4, 5\) to match the output": (lambda w, u, v: (w, v, v), {}),
    "v must be float64 like its weight": (lambda w, u, v: (w, u, GpuArray(v.memory.astype("f"))), {}),
    "weight must have 3 or 4 dimensions": (lambda w, u, v: (u, u, v), {}),
    "weight must be finite": (lambda w, u, v: (GpuArray(w.memory * np.nan), u, v), {}),
    "stride must be at least 1": (lambda *given: given, {"stride": 0}),
    "n_iter must be at least 0": (lambda *given: given, {"n_iter": -1}),
    "weight must fit into the padded input": (lambda *given: given, {"dilation": 4}),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_calls_are_said_in_one_line(rng, words):
    change, options = WRONG[words]
    given = change(*map(there, inputs(rng, "d", (4, 2, 3), (4, 5), (2, 5))))
    with emulated(orders=[0]) as device, pytest.raises((TypeError, ValueError), match=words) as caught:
        run(*given, **{"n_iter": 2, "input_shape": 5, "padding": 1} | options)
    assert "\n" not in str(caught.value)
    assert bool(device.launches) == ("finite" in words)


def test_the_parametrization_of_a_convolution(monkeypatch):
    play_gpu(monkeypatch)
    torch.manual_seed(3)
    with emulated(orders=[0]) as device:
        layer = kt.spectral_norm(torch.nn.Conv2d(3, 5, 3, padding=1), input_shape=(6, 7), coeff=0.9, mode="hard")
        layer(torch.randn(2, 3, 6, 7)).sum().backward()
        weight = layer.weight.detach().double().numpy()
        assert device.launches > 2
    assert all(p.grad is not None for p in layer.parameters())
    monkeypatch.undo()
    assert kx.lipschitz.conv_spectral_norm(weight, (6, 7), padding=1).lower == pytest.approx(0.9, rel=0.02)


PLANTED = {
    "no barrier between products": (
        "    length = sqrt(total(parts + of_u, of_v));",
        "  wait_for_all_blocks(arrived, ++rounds);\n",
    ),
    "a part left out": ("for (i64 i = threadIdx.x; i < count; i += kPlaces)", None),
    "a barrier in the block too few": ("  if (threadIdx.x % kWarp == 0) of_warp", "  __syncthreads();\n"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    text = (nvrtc.source_folder() / "conv_power.cuh").read_text()
    place, before = PLANTED[bug]
    assert text.count(place) == 1
    if before is None:
        spoiled = text.replace(place, place.replace("i = threadIdx.x", "i = threadIdx.x + 1"))
    else:
        at = text.index(place)
        cut = text.rindex(before, 0, at)
        spoiled = text[:cut] + text[cut + len(before) :]
    monkeypatch.setattr(lipschitz_power, "TEXT", spoiled)
    with pytest.raises((AssertionError, LaunchError, ValueError)):
        assert both(rng, (20, 5, 3, 3), (20, 12, 13), (5, 12, 13), padding=1) < 1e-12
