"""Gated convolutions on the emulated device beside the reference in double."""

from __future__ import annotations

import numpy as np
from cuda_attention import BRAIN, HALF, distance, exact
from cuda_emulation import GpuArray, emulated

import kxfast as kx

# Of the norm of the difference to the norm of the reference, whose inputs are rounded alike.
TOLERANCE = {HALF: 2e-3, BRAIN: 8e-3, np.dtype("f"): 3e-6, np.dtype("d"): 1e-13}


def there(x):
    """Put arrays on the emulated device, in whatever they are packed."""
    if isinstance(x, tuple):
        return tuple(map(there, x))
    return GpuArray(np.array(x, order="C")) if isinstance(x, np.ndarray) else x


def here(x):
    """Return what lies on the emulated device."""
    if isinstance(x, (tuple, list)):
        return type(x)(map(here, x))
    return getattr(x, "memory", x)


def in_double(x):
    if isinstance(x, tuple):
        return tuple(map(in_double, x))
    return exact(x) if isinstance(x, np.ndarray) and x.dtype.kind != "b" else x


def case(rng, kind, shape, channels, kernel, *, bias=True, norm=False, shortcut=None, masked=None):
    """Return x, weight and the keyword arguments that are arrays."""
    length, deep = shape[1:]
    new = lambda *size: rng.standard_normal(size).astype(kind)
    weight = (rng.standard_normal((kernel, deep, 2 * channels)) / max(kernel * deep, 1) ** 0.5).astype(kind)
    given = {"bias": new(2 * channels) if bias else None}
    if norm:
        given["norm"] = new(channels), new(channels), 0.6
    if shortcut is not None:
        given["shortcut"] = new(deep, channels) / kind.type(4), new(channels) if shortcut else None
    if masked is not None:
        given["mask"] = np.arange(length) < np.asarray(masked)[:, None]
    return new(*shape), weight, given


def pairs(found, expected):
    """Yield arrays and what they should be, out of nested tuples."""
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            yield from pairs(x, y)
    elif expected is None:
        assert found is None
    else:
        yield here(found), expected


def agree(x, weight, given, *, orders=range(3), back=True, blocks=2, warp_groups=False, **options):
    """Compare forward, and backward with and without what forward has kept, with the reference in double."""
    plain = {"backend": "reference", **in_double_of(given), **options}
    run, gradients = kx.conv.dilated_gated_conv1d, kx.conv.dilated_gated_conv1d_backward
    expected = run(in_double(x), in_double(weight), **plain, return_parts=True)
    grad = np.random.default_rng(9).standard_normal(expected[0].shape).astype(x.dtype)
    if given.get("mask") is not None and options.get("skip") != "add":
        grad[~given["mask"]] = np.nan  # where nothing counts
    keywords = {name: there(value) for name, value in given.items()} | options
    with emulated(orders=orders, blocks=blocks, warp_groups=warp_groups) as device:
        found = run(there(x), there(weight), return_parts=True, **keywords)
        assert device.launches or not expected[0].size
        assert found[0].memory.dtype == x.dtype
        for a, b in pairs(found, expected):
            assert a.shape == b.shape
            assert distance(a, b) <= TOLERANCE[x.dtype]
        if not back:
            return
        theirs = gradients(in_double(grad), in_double(x), in_double(weight), **plain)
        for parts in None, found[1]:
            mine = gradients(there(grad), there(x), there(weight), parts=parts, **keywords)
            for a, b in pairs(mine, theirs):
                assert a.dtype == x.dtype
                assert a.shape == b.shape
                assert distance(a, b, least=1.0) <= 3 * TOLERANCE[x.dtype]


def in_double_of(given):
    return {name: in_double(value) for name, value in given.items()}
