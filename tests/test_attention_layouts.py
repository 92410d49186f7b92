"""Heads in any layout: read where they lie if their last axis is in one piece, with the result of one piece."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases, checks

ENGINES = cases.engines("attention.scaled_dot_product_attention")
KINDS = [np.dtype("f"), np.dtype("d"), *checks.half_types()]
MASKS = {"none": None, "causal": kx.masks.causal(), "permutation": kx.masks.permutation(np.arange(70)[::-1])}


def fused(rng, kind, heads, parts=3, length=70, width=16):
    """Return slices of one projection (B, L, parts, H, D), as (B, H, L, D) each."""
    x = rng.standard_normal((2, length, parts, heads, width)).astype(kind)
    return [x[:, :, part].swapaxes(1, 2) for part in range(parts)]


def both(x, grad, mask=None):
    out, lse = kx.attention.scaled_dot_product_attention(*x, mask=mask, return_lse=True)
    return out, lse, *kx.attention.scaled_dot_product_attention_backward(grad, *x, out, lse, mask=mask)


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("mask", MASKS)
def test_slices_of_a_projection(engine, kind, mask):
    rng = np.random.default_rng(0)
    *x, grad = fused(rng, kind, 3, parts=4)
    with cases.engine(engine):
        found, dense = (both(each[:3], each[3], MASKS[mask]) for each in ((*x, grad), [y.copy() for y in (*x, grad)]))
    if engine != "reference":  # its sums are NumPy's, in an order that depends on the layout
        same(found, dense)
    for each in (found[0], *found[2:]):
        assert each.swapaxes(1, 2).flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("batch", "queries"), [(2, 1), (1, 40), (2, 40)])
@pytest.mark.parametrize("layout", ["room in each head", "heads inside of rows"])
def test_keys_and_values_of_a_cache(kind, batch, queries, layout):
    rng = np.random.default_rng(1)
    room = rng.standard_normal((2, batch, 2, 300, 16)).astype(kind)
    if layout == "heads inside of rows":
        room = np.ascontiguousarray(room.swapaxes(2, 3)).swapaxes(2, 3)
    k, v = room[..., :201, :]
    q, grad = rng.standard_normal((2, batch, 4, queries, 16)).astype(kind)
    same(both((q, k, v), grad), both((q, k.copy(), v.copy()), grad))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[..., ::2],  # the last axis in pieces
        lambda x: x[:, :, ::-1, ::2],  # and backwards
        lambda x: np.broadcast_to(x[:1, :1, :, :8], (2, 3, 70, 8)),
        lambda x: np.frombuffer(b"0" + x[..., :8].tobytes(), np.uint8)[1:].view(x.dtype).reshape(2, 3, 70, 8),
        lambda x: x[..., :8].astype(x.dtype.newbyteorder()),
    ],
    ids=["pieces", "backwards", "broadcast", "unaligned", "byte order"],
)
def test_other_layouts(change):
    rng = np.random.default_rng(2)
    x = [change(rng.standard_normal((2, 3, 70, 16), np.float32)) for _ in range(3)]
    grad = rng.standard_normal(x[0].shape, np.float32)
    dense = [np.ascontiguousarray(each, np.float32) for each in x]
    same(both(x, grad), both(dense, grad))


def test_widths_that_are_no_multiple_of_a_register():
    *x, grad = fused(np.random.default_rng(3), np.float32, 2, parts=4, width=20)
    same(both(x, grad), both([each.copy() for each in x], grad.copy()))
