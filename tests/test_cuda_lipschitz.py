"""Spectral normalisation on a GPU, run by the emulation, beside the reference."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_emulation import GpuArray, LaunchError, emulated

import kxfast as kx
from kxfast.backends.cuda import lipschitz, nvrtc

TEXT = lipschitz._TEXT
SHAPES = [(1, 1), (5, 7), (40, 3, 3, 2), (33, 130), (3, 70_000), (260, 129), (7, 1), (1, 300), (1030, 2)]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def state(rng, shapes=SHAPES, dtype=np.float32):
    ws = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    flat = [(len(w), w.size // len(w) if len(w) else 0) for w in ws]
    return ws, *([rng.standard_normal(shape[k]).astype(dtype) for shape in flat] for k in (0, 1))


def there(arrays):
    return [GpuArray(x.copy()) for x in arrays]


def here(arrays):
    return [getattr(x, "memory", x) for x in arrays]


def both(ws, us, vs, device=None, **keywords):
    """Return (result, sigmas, us, vs) of the emulation and of the reference."""
    theirs_us, theirs_vs = ([x.copy() for x in each] for each in (us, vs))
    expected = kx.lipschitz.spectral_normalize(ws, theirs_us, theirs_vs, backend="reference", **keywords)
    ours_us, ours_vs = there(us), there(vs)
    with emulated(**(device or {})) as used:
        result, sigmas = kx.lipschitz.spectral_normalize(there(ws), ours_us, ours_vs, **keywords)
    assert used.launches
    result = result if isinstance(result, np.ndarray) else here(result)
    return (result, sigmas, here(ours_us), here(ours_vs)), (*expected, theirs_us, theirs_vs)


def assert_close(results, tolerance):
    (result, sigmas, us, vs), (expected, theirs, their_us, their_vs) = results
    np.testing.assert_allclose(sigmas, theirs, rtol=tolerance)
    for name, a, b in (("result", result, expected), ("us", us, their_us), ("vs", vs, their_vs)):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, atol=tolerance * np.abs(y).max(), rtol=0, err_msg=f"{name}[{i}]")


@pytest.mark.parametrize("mode", ["soft", "hard", "scale_only"])
@pytest.mark.parametrize("n_iter", [0, 1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_agrees_with_the_reference(mode, n_iter, dtype, tolerance):
    rng = np.random.default_rng(n_iter)
    device = {"orders": range(3 if mode == "soft" else 1)}
    assert_close(both(*state(rng, dtype=dtype), mode=mode, n_iter=n_iter, coeff=0.7, device=device), tolerance)


def test_layers_of_both_types_in_one_call(rng):
    a, b = state(rng, SHAPES[:3]), state(rng, SHAPES[:3], np.float64)
    mixed = [[x for pair in zip(p, q, strict=True) for x in pair] for p, q in zip(a, b, strict=True)]
    assert_close(both(*mixed, n_iter=2), 2e-5)


def test_zero_and_empty_layers_are_left_as_they_are(rng):
    ws, us, vs = state(rng, [(4, 3), (2, 2)])
    ws[0][...] = 0
    us[0][...] = vs[0][...] = 0
    assert_close(both(ws, us, vs), 1e-5)
    ws, us, vs = state(rng, [(3, 0), (0, 2)])
    given = there(us)
    with emulated():
        scaled, sigmas = kx.lipschitz.spectral_normalize(there(ws), given, [GpuArray(np.ones(0, np.float32))] * 2)
    assert [x.memory.shape for x in scaled] == [(3, 0), (0, 2)]
    assert sigmas.tolist() == [0, 0]
    np.testing.assert_array_equal(given[0].memory, us[0])


def test_weights_may_be_their_own_output_and_of_any_layout(rng):
    ws, us, vs = state(rng, [(6, 8), (9, 4)])
    expected, _ = kx.lipschitz.spectral_normalize(ws, [u.copy() for u in us], [v.copy() for v in vs])
    mine = there(ws)
    with emulated():
        returned, _ = kx.lipschitz.spectral_normalize(mine, there(us), there(vs), out=mine)
        turned = [GpuArray(np.asfortranarray(w)) for w in ws]
        copied, _ = kx.lipschitz.spectral_normalize(turned, there(us), there(vs))
    for found in here(mine), here(returned), here(copied):
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5)


def test_the_norm_is_found(rng):
    ws, us, vs = state(rng, [(30, 20)], np.float64)
    (_, sigmas, _, _), _ = both(ws, us, vs, n_iter=200, device={"orders": [0]})
    assert sigmas[0] == pytest.approx(np.linalg.norm(ws[0], 2), rel=1e-9)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nothing_is_written_if_something_is_not_finite(rng, which):
    arrays = state(rng, [(4, 3), (5, 6)])
    arrays[which][1][1] = np.nan
    given = [there(each) for each in arrays]
    name = ("weights", "us", "vs")[which]
    with emulated(), pytest.raises(ValueError, match=rf"{name}\[1\] must be finite"):
        kx.lipschitz.spectral_normalize(*given, n_iter=int(which != 1), out=given[0])  # u is read in evaluation alone
    for before, after in zip(arrays, given, strict=True):
        for x, y in zip(before, here(after), strict=True):
            np.testing.assert_array_equal(x, y)


WRONG = [
    (r"us\[1\] must be in the memory of a GPU, where backend 'cuda' works; got numpy", 1, 1, lambda x: x.memory),
    (r"weights\[1\] must be in host memory for this call; got", 0, 0, lambda x: x.memory),
    (r"weights\[1\] must be float32 or float64; got int64", 0, 1, lambda x: GpuArray(x.memory.astype(np.int64))),
    (
        r"weights\[1\] must have at least 2 dimensions; got shape \(5,\)",
        0,
        1,
        lambda x: GpuArray(x.memory[:, 0].copy()),
    ),
    (r"us\[0\] must be float32 like its weight on a GPU", 1, 0, lambda x: GpuArray(x.memory.astype(np.float64))),
    (r"us\[0\] must be C-contiguous, .* on a GPU; got strides", 1, 0, lambda x: GpuArray(x.memory.repeat(2)[::2])),
    (r"us\[1\] must be on GPU 0 like the arrays before; got .* on cuda:1", 1, 1, lambda x: GpuArray(x.memory, 1)),
    (r"vs\[0\] must have shape \(3,\) to match weights\[0\]'s 3", 2, 0, lambda x: GpuArray(x.memory[:2].copy())),
    (r"us must have 2 entries to match weights; got 1", 1, None, lambda x: x[:1]),
    (r"weights must be a list of arrays, one for each layer; got GpuArray", 0, None, lambda x: x[0]),
]


@pytest.mark.parametrize(("words", "which", "index", "change"), WRONG, ids=[each[0] for each in WRONG])
def test_wrong_calls_are_said_before_any_work(rng, words, which, index, change):
    given = [there(each) for each in state(rng, [(4, 3), (5, 6)])]
    if index is None:
        given[which] = change(given[which])
    else:
        given[which][index] = change(given[which][index])
    with emulated() as device, pytest.raises((TypeError, ValueError), match=words) as caught:
        kx.lipschitz.spectral_normalize(*given)
    assert "\n" not in str(caught.value)
    assert not device.launches


def test_arrays_of_the_host_are_never_moved(rng):
    ws, us, vs = state(rng, [(4, 3)])
    with emulated(), pytest.raises(TypeError, match=r"weights\[0\] must be in the memory of a GPU"):
        kx.lipschitz.spectral_normalize(ws, us, vs, backend="cuda")
    with pytest.raises(kx.BackendError, match=r"backend 'cuda' cannot serve lipschitz\.spectral_normalize: "):
        kx.lipschitz.spectral_normalize(there(ws), there(us), there(vs))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("__threadfence();  // and is read", "if (threadIdx.x > 99) return; __threadfence();  // and is read"),
        ("product;\n  }\n  __syncthreads();", "product;\n  }"),
        ("__shfl_xor_sync(kAllLanes, all,", "__shfl_xor_sync(kAllLanes >> 1, all,"),
    ],
    ids=["barrier not reached", "barrier missing", "wrong mask"],
)
def test_planted_bugs_are_found(rng, monkeypatch, old, new):
    text = (nvrtc.source_folder() / "lipschitz.cuh").read_text()
    assert old in text
    monkeypatch.setattr(lipschitz, "_TEXT", text.replace(old, new))
    with pytest.raises(LaunchError):
        both(*state(rng, [(40, 70)]))


def test_a_block_that_counts_as_arrived_before_its_threads_have_written_is_found(rng, monkeypatch):
    text = (nvrtc.source_folder() / "lipschitz.cuh").read_text()
    barrier = (
        "  __threadfence();  // what the block has written is there before it counts as arrived\n  __syncthreads();\n"
    )
    assert text.count(barrier) == 1
    monkeypatch.setattr(lipschitz, "_TEXT", text.replace(barrier, ""))
    with pytest.raises(LaunchError, match="the result depends on the order in which threads run"):
        both(*state(rng, [(3, 70_000)]))
