"""Products of float32 in tiles of bfloat16: those of the processor where it has them, emulated everywhere."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import kxfast as kx
from kxfast import settings
from kxfast.backends.reference import linear as reference

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")

SHAPES = ((1, 1, 1), (40, 33, 50), (16, 300, 31), (130, 70, 513), (70, 130, 1100), (600, 5, 64))  # M, N, K


def multiplied(a: Any, b: Any, bias: Any = None) -> Any:
    from kxfast.backends.native import linear

    return linear.product(a, b, bias)


def matrices(shape: tuple[int, int, int]) -> Any:
    """Give each layout of numbers of very different sizes: rows in one piece, columns in one piece, gaps between."""
    rng = np.random.default_rng(sum(shape))
    m, n, k = shape

    def made(rows: int) -> Any:
        return (rng.standard_normal((rows, k)) * 10.0 ** rng.integers(-3, 3, (rows, k))).astype(np.float32)

    def gaps(x: Any) -> Any:
        wide = np.full((len(x), k + 3), np.nan, np.float32)
        wide[:, :k] = x
        return wide[:, :k]

    layouts = (np.ascontiguousarray, np.asfortranarray, gaps)
    a, b, bias = made(m), made(n), rng.standard_normal(n).astype(np.float32)
    for one, other, added in product(layouts, layouts, (None, bias)):
        yield one(a), other(b), added


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_as_exact_as_floats(shape: tuple[int, int, int], products: str) -> None:
    for a, b, bias in matrices(shape):
        wide = [None if x is None else x.astype(np.float64) for x in (a, b, bias)]
        true, size = (reference.product(*each) for each in (wide, [x if x is None else np.abs(x) for x in wide]))
        assert np.max(np.abs(multiplied(a, b, bias) - true) / size) < 4e-7


def test_both_ways_give_the_same_bits() -> None:
    if core.half_products() != "tiles":
        pytest.skip("this processor has no matrix extension (AMX), or it is off")
    for each in matrices(SHAPES[3]):
        there = multiplied(*each)
        core.emulate_tiles(True)
        try:
            np.testing.assert_array_equal(multiplied(*each), there)
        finally:
            core.emulate_tiles(False)


def test_threads_change_no_bit(products: str) -> None:
    a, b, _ = next(matrices((330, 200, 600)))
    alone = kx.get_num_threads()
    try:
        made = []
        for threads in (1, 2, 5):
            kx.set_num_threads(threads)
            made += [multiplied(a, b), multiplied(b, a).T]
    finally:
        kx.set_num_threads(alone)
    for i, each in enumerate(made):
        np.testing.assert_array_equal(each, made[i % 2])


def test_what_is_no_number_stays_in_its_row(products: str) -> None:
    a, b, _ = next(matrices(SHAPES[1]))
    plain = multiplied(a, b)
    a[3, 7] = np.nan
    made = multiplied(a, b)
    assert np.isnan(made[3]).all()
    np.testing.assert_array_equal(np.delete(made, 3, 0), np.delete(plain, 3, 0))


def test_matrices_in_pieces_are_refused() -> None:
    x = np.zeros((4, 8), np.float32)[::2, ::2]
    with pytest.raises(ValueError, match="rows or columns must be in one piece"):
        multiplied(x, x)
