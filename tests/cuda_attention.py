"""Attention on the emulated device beside the reference in double, and kernels with a bug planted in them."""

from __future__ import annotations

import re

import numpy as np
from cuda_emulation import GpuArray, emulated

import kxfast as kx
from kxfast.backends.cuda import attention_plan, nvrtc
from kxfast.checks import half_types

HALF, BRAIN = half_types()
# Of the norm of the difference to the norm of the reference, whose inputs are rounded alike.
TOLERANCE = {HALF: 1e-3, BRAIN: 6e-3, np.dtype("f"): 2e-6, np.dtype("d"): 1e-14}


def there(x):
    return None if x is None else GpuArray(np.array(x, order="C"))


def inputs(rng, kind, b, h, groups, q_len, k_len, d, dv):
    shapes = ((b, h, q_len, d), (b, groups, k_len, d), (b, groups, k_len, dv))
    return tuple(rng.standard_normal(shape).astype(kind) for shape in shapes)


def exact(x):
    return x if x is None else x.astype(np.float64)


def distance(found, expected, least=1e-3):
    """Return the norm of the difference relative to what is expected, infinities and NaN being alike.

    What is expected counts as `least` at least: it may be 0, as the sum along a row of the gradient of a bias is.
    """
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.where(finite, 0, found), np.where(finite, 0, expected))
    assert np.isfinite(found[finite]).all()
    return np.linalg.norm(found[finite] - expected[finite]) / max(np.linalg.norm(expected[finite]), least)


def forward(arrays, mask=None, bias=None, scale=None, orders=range(3), warp_groups=False):
    """Return (out, lse) of the emulation and of the reference."""
    keywords = {"mask": mask, "scale": scale, "return_lse": True}
    expected = kx.attention.scaled_dot_product_attention(
        *map(exact, arrays), bias=exact(bias), backend="reference", **keywords
    )
    with emulated(orders=orders, warp_groups=warp_groups) as device:
        found = kx.attention.scaled_dot_product_attention(*map(there, arrays), bias=there(bias), **keywords)
        assert device.launches or not expected[0].size
    return [x.memory for x in found], expected


def agree(arrays, mask=None, **keywords):
    (out, lse), (theirs, their_lse) = forward(arrays, mask, **keywords)
    kind = arrays[0].dtype
    assert out.dtype == kind
    assert lse.dtype == (np.float64 if kind == np.float64 else np.float32)
    assert distance(out, theirs) <= TOLERANCE[kind]
    assert distance(lse, their_lse) <= (1e-14 if kind == np.float64 else 2e-6)


def backward(arrays, grad, mask=None, bias=None, scale=None, orders=range(3), need_dbias=None, warp_groups=False):
    """Return the gradients of the emulation and of the reference."""
    keywords = {"mask": mask, "scale": scale, "need_dbias": bias is not None if need_dbias is None else need_dbias}
    run, kind = kx.attention.scaled_dot_product_attention_backward, arrays[0].dtype
    plain = {"mask": mask, "scale": scale, "bias": exact(bias), "backend": "reference"}
    out, lse = kx.attention.scaled_dot_product_attention(*map(exact, arrays), return_lse=True, **plain)
    out = out.astype(kind)
    expected = run(exact(grad), *map(exact, arrays), exact(out), lse, need_dbias=keywords["need_dbias"], **plain)
    lse = lse.astype(np.float64 if kind == np.float64 else np.float32)
    with emulated(orders=orders, warp_groups=warp_groups) as device:
        found = run(there(grad), *map(there, arrays), there(out), there(lse), bias=there(bias), **keywords)
        assert device.launches or not (out.size or expected[1].size)
    return [x.memory for x in found], expected


def agree_back(arrays, mask=None, grad=None, **keywords):
    kind, shape = arrays[0].dtype, (*arrays[0].shape[:3], arrays[2].shape[3])
    grad = np.random.default_rng(9).standard_normal(shape).astype(kind) if grad is None else grad
    found, expected = backward(arrays, grad, mask, **keywords)
    assert len(found) == len(expected)
    for x, y, of in zip(found, expected, [*arrays, keywords.get("bias")], strict=False):
        assert x.dtype == kind
        assert x.shape == of.shape
        assert distance(x, y, least=1.0) <= 3 * TOLERANCE[kind]


def flat(name, done=None):
    """Return a kernel's source with what it includes of its own stem, once each."""
    done = set() if done is None else done
    text = (nvrtc.source_folder() / name).read_text().replace("#pragma once", "")
    for each in re.findall(r'#include "(attention_\w+\.cuh)"\n', text):
        new = each not in done
        done.add(each)
        text = text.replace(f'#include "{each}"\n', flat(each, done) if new else "", 1)
    return text


def plant(monkeypatch, file, old, new):
    """Change the source of a kernel from now on."""
    text, write = flat(file), attention_plan.text
    assert text.count(old) == 1, text.count(old)

    def written(*arguments):
        defines = write(*arguments)
        return defines.replace(f'#include "{file}"', text.replace(old, new))

    monkeypatch.setattr(attention_plan, "text", written)
