"""Enclosures of circular convolutions on a GPU, run by the emulation, beside norms of the operators written out."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, inf

import numpy as np
import pytest
from cuda_conv import there
from cuda_emulation import GpuArray, LaunchError, emulated, play_gpu

import kxfast as kx
from kxfast.backends.cuda import lipschitz_circular, nvrtc
from kxfast.backends.reference.lipschitz.convolution import convolve, matrix
from kxfast.errors import BackendError
from kxfast.lipschitz.geometry import geometry

enclose = kx.lipschitz.conv_spectral_norm
AROUND = {"padding_mode": "circular"}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def on_gpu(w, shape, orders=(0,), blocks=2, **options):
    with emulated(orders=orders, blocks=blocks) as device:
        norm = enclose(there(w), shape, **AROUND | options)
        assert device.launches or not w.any()
    assert norm.u.memory.dtype == norm.v.memory.dtype == w.dtype
    return norm


def written(w, shape, stride=1, padding=0, dilation=1, groups=1, **_):
    moves = geometry(w, stride, padding, dilation, groups, "circular")
    return matrix(w.astype("d"), (shape,) if isinstance(shape, int) else shape, moves), moves


def holds(norm, w, shape, tol, **options):
    """Judge both ends beside the operator written out, and the vectors that come with them."""
    operator, moves = written(w, shape, **options)
    sigma = np.linalg.norm(operator, 2)
    slack = 1e-14 * sigma  # the accuracy of what it is compared with
    assert norm.lower <= sigma + slack
    assert sigma - slack <= norm.upper
    assert norm.upper - norm.lower <= max(tol, 1e-12) * 1.001 * sigma
    u, v = (x.memory.astype("d").ravel() for x in (norm.u, norm.v))
    rounded = 1e-6 if w.dtype == "f" else 1e-12
    assert u @ operator @ v >= norm.lower * (1 - rounded)
    assert [np.linalg.norm(x) for x in (u, v)] == pytest.approx([1, 1], rel=rounded)
    assert convolve(norm.v.memory[None].astype("d"), w.astype("d"), moves)[0].shape == norm.u.memory.shape


def some_convolution(rng, i):
    """Return a kernel, a shape and how it moves, with one output for each stride position."""
    dimensions, groups = rng.integers(1, 3), int(rng.choice([1, 1, 2, 3]))
    some = lambda low, high: np.array([int(x) for x in rng.integers(low, high, dimensions)])
    taps, dilation, shape, stride = some(1, 5), some(1, 3), some(4, 9), some(1, 4)
    w = rng.standard_normal((groups * int(rng.integers(1, 5)), int(rng.integers(1, 5)), *taps))
    span = dilation * (taps - 1) + 1
    places = [n // gcd(int(n), int(s)) for n, s in zip(shape, stride, strict=True)]
    # n + 2 p - span must be (places - 1) stride and less than a stride more
    least = (np.array(places) - 1) * stride + span - shape
    padding = -(-least // 2)
    if (padding < 0).any() or (shape + 2 * padding - span >= np.array(places) * stride).any():
        return some_convolution(rng, i)
    if i % 4 == 1:
        w[:] = w[:1, :1]  # rank one
    if i % 4 == 2:
        w = np.rint(w)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    options = {name: tuple(map(int, each)) for name, each in options.items()} | {"groups": groups}
    return (w * 10.0 ** rng.integers(-20, 21)), tuple(map(int, shape)), options


def test_50_operators_are_enclosed(rng):
    kinds = set()
    for i in range(50):
        w, shape, options = some_convolution(rng, i)
        tol, upper = 10.0 ** -rng.integers(1, 10), "proof"
        w = w.astype("f") if i % 3 == 0 else w
        norm = on_gpu(w, shape, tol=tol, upper=upper, seed=i, orders=[i % 3], **options)
        if w.any():
            holds(norm, w, shape, tol, **options)
        rest = [n % s for n, s in zip(shape, options["stride"], strict=True)]
        kinds |= {(w.ndim, max(options["stride"]) > 1, options["groups"] > 1, any(rest), w.shape[0] < w.shape[1])}
        assert norm.kind == "proof"
        assert norm.failure == 0
    assert len(kinds) > 15


CASES = {
    "odd": ((4, 3, 3, 3), (6, 5), {"padding": 1}),
    "more taps than pixels": ((3, 2, 9), (5,), {"padding": 4}),
    "one pixel": ((4, 3, 3, 3), (1, 1), {"padding": 1}),
    "a line of pixels": ((2, 3, 1, 4), (1, 7), {"padding": (0, 5), "stride": (1, 2)}),
    "strides that go around": ((3, 2, 4), (9,), {"stride": 4, "padding": 14}),
    "groups and holes": ((6, 2, 2, 3), (8, 6), {"stride": 2, "groups": 3, "dilation": 2, "padding": (1, 2)}),
    "wide": ((20, 70, 3), (4,), {"padding": 1}),
    "tall": ((70, 20, 3), (4,), {"padding": 1}),
    "three tiles": ((150, 130, 1), (2,), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_in_any_order_of_threads(rng, name):
    shape, pixels, options = CASES[name]
    w = rng.standard_normal(shape)
    orders = [0] if name == "three tiles" else range(3)
    holds(on_gpu(w, pixels, orders=orders, tol=1e-6, **options), w, pixels, 1e-6, **options)


@pytest.mark.parametrize("tol", [1e-3, 1e-9, 1e-15])
def test_norms_known_exactly_are_enclosed_without_any_slack(tol):
    line = np.array([[[1.0, 2, 1]]])
    known = [(line, (n,), 16, 1) for n in (6, 17)] + [(np.ones((2, 3, 3, 3)), n, 81 * 6, 1) for n in ((6, 6), (5, 8))]
    known += [(np.eye(4)[..., None], (5,), 1, 0), (np.array([[[3.0, 3, 0]]]), (4,), 36, 1)]  # all tied; two taps
    for w, shape, squared, padding in known:
        norm = on_gpu(w, shape, tol=tol, padding=padding)
        assert Fraction(float(norm.lower)) ** 2 <= squared <= Fraction(float(norm.upper)) ** 2
        assert norm.upper - norm.lower <= max(tol, 1e-11) * squared**0.5


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e20, 1e300])
def test_scales_change_nothing_but_the_scale(rng, scale):
    w = np.ldexp(rng.standard_normal((4, 3, 3)), int(np.log2(scale)))
    norm, same = (on_gpu(x, 6, padding=1) for x in (w, np.ldexp(w, -int(np.log2(scale)))))
    assert norm.lower == np.ldexp(same.lower, int(np.log2(scale)))
    assert norm.upper == np.ldexp(same.upper, int(np.log2(scale)))
    np.testing.assert_array_equal(norm.v.memory, same.v.memory)


def test_zeros_nothing_and_no_upper_end(rng):
    zero = on_gpu(np.zeros((4, 2, 3)), 5, padding=1)
    assert (zero.lower, zero.upper, zero.steps) == (0, 0, 0)
    assert zero.u.memory.shape == (4, 5)
    assert not zero.u.memory.any()
    assert not zero.v.memory.any()
    empty = on_gpu(np.zeros((0, 2, 3), "f"), 5, padding=1)
    assert (empty.lower, empty.upper) == (0, 0)
    assert empty.v.memory.shape == (2, 5)
    half = np.concatenate([np.zeros((2, 2, 3)), rng.standard_normal((2, 2, 3))])
    holds(on_gpu(half, 6, padding=1, groups=2), half, 6, 1e-3, padding=1, groups=2)
    estimate = on_gpu(half, 6, padding=1, upper=None)
    assert (estimate.upper, estimate.kind) == (inf, "estimate")
    assert estimate.lower == pytest.approx(enclose(half, 6, padding=1, **AROUND).lower, rel=1e-3)


def test_any_number_of_blocks_encloses(rng):
    w = rng.standard_normal((9, 7, 3, 3))
    for blocks in 1, 3, 50:
        holds(on_gpu(w, (5, 4), blocks=blocks, padding=1, tol=1e-5), w, (5, 4), 1e-5, padding=1)
    with emulated(blocks=7, free=20_000, orders=[0]):  # room for a block or two
        holds(enclose(there(w), (5, 4), padding=1, **AROUND), w, (5, 4), 1e-3, padding=1)


def circular(device, w, pixels):
    moves = geometry(w, 1, 1, 1, 1, "circular")
    weight = there(w)
    array = kx.devices.canonical("weight", weight)
    taps = lipschitz_circular._taps(w.shape[2:], (pixels,) * (w.ndim - 2), moves)
    return lipschitz_circular._Circular(device, array, 0, taps, moves)


def judge_proofs(rng, channels, orders=(0,)):
    """Ask for proofs a little below and above the norms of blocks, which NumPy finds."""
    w = rng.standard_normal((channels, channels, 3)) / channels
    with emulated(orders=orders) as device:
        found = circular(device, w, 6)
        ids = found.frequencies()
        norms = np.linalg.svd(np.moveaxis(np.fft.fft(w, 6)[..., -ids % 6], 2, 0), compute_uv=False)[:, 0]
        for i, norm in enumerate(norms):
            assert found.test(ids[[i]], norm * (1 - 1e-12))[0] == 0
            proven = found.test(ids[[i]], norm * (1 + 1e-9))[0]
            assert norm * (1 - 1e-14) <= proven <= norm * (1 + 1.001e-9)
        seen, _ = found.seek(ids, 1e-9, 1)
    np.testing.assert_allclose(seen, norms, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 5, 17, 40])
def test_what_is_proven_is_true_and_nearly_all_that_is_true_is_proven(rng, channels):
    judge_proofs(rng, channels)


WRONG = {
    "weight must be in the memory of a GPU": ({"weight": lambda w: w.memory, "backend": "cuda"}, TypeError),
    "weight must have 3 or 4 dimensions": ({"weight": lambda w: w.reshape((4, 6))}, ValueError),
    "weight must be finite": ({"weight": lambda w: GpuArray(w.memory * np.nan)}, ValueError),
    "weight must be finite; got inf": ({"weight": lambda w: GpuArray(w.memory + np.inf)}, ValueError),
    "stride must be at least 1": ({"stride": 0}, ValueError),
    "tol must be above 0": ({"tol": 0}, ValueError),
    "upper must be": ({"upper": "guess"}, ValueError),
    "weight must fit into the padded input": ({"dilation": 4}, ValueError),
    "one output for each stride position, .* padding_mode 'zeros'": ({"padding_mode": "zeros"}, BackendError),
    r"got padding_mode 'circular', \(7,\) outputs of \(5,\)": ({"padding": 2}, BackendError),
    "not at random; got .* upper='random'; available: native, reference": ({"upper": "random"}, BackendError),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_calls_are_said_in_one_line(rng, words):
    options, kind = WRONG[words]
    given = {"padding": 1} | AROUND | options
    weight = given.pop("weight", lambda w: w)(there(rng.standard_normal((4, 2, 3))))
    with emulated(orders=[0]) as device, pytest.raises(kind, match=words) as caught:
        enclose(weight, 5, **given)
    assert "\n" not in str(caught.value)
    assert bool(device.launches) == ("finite" in words)


def test_tensors_come_back_as_tensors(rng, monkeypatch):
    import torch

    play_gpu(monkeypatch)
    w = rng.standard_normal((4, 3, 3)).astype("f")
    with emulated(orders=[0]):
        norm = enclose(torch.from_numpy(w), 6, padding=1, **AROUND)
    monkeypatch.undo()
    assert norm.u.dtype == norm.v.dtype == torch.float32
    assert norm.lower <= np.linalg.norm(written(w, 6, padding=1)[0], 2) <= norm.upper


PLANTED = {
    "a barrier after the corner": (
        "factor_corner(rows, pieces);\n    __syncthreads();",
        "factor_corner(rows, pieces);",
    ),
    "the sign of an imaginary part": ("fused(y, u, imaginary[a][b])", "fused(-y, u, imaginary[a][b])"),
    "a bound that is not below": ("bound * bound * (1 - 8 * kRound)", "bound * bound * (1 + 4e-12)"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(rng, monkeypatch, bug):
    text = (nvrtc.source_folder() / "circular.cuh").read_text()
    right, wrong = PLANTED[bug]
    assert text.count(right) == 1
    monkeypatch.setattr(lipschitz_circular, "TEXT", text.replace(right, wrong))
    with pytest.raises((AssertionError, LaunchError)):
        judge_proofs(rng, 40, range(3))


@pytest.mark.parametrize("taps", [(1.0, 0, -1), (1e16, 1, -1e16), (1, 2.0, 3)])
def test_taps_that_wrap_onto_one_place(taps):
    norm = on_gpu(np.array(taps).reshape(1, 1, 3), 1, padding=1)
    assert Fraction(norm.lower) <= abs(sum(map(Fraction, taps))) <= Fraction(norm.upper)
