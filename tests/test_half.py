"""Half types: every value of 16 bits, and floats beside all of them, as NumPy and ml_dtypes convert them."""

import numpy as np
import pytest

from kxfast import checks, settings

pytestmark = pytest.mark.skipif(settings.native() is None, reason="the compiled module is not built")
KINDS = checks.half_types()


def same(a, b):
    nan = np.isnan(b.astype(np.float32))
    np.testing.assert_array_equal(np.isnan(a.astype(np.float32)), nan)
    unsigned = np.uint32 if a.itemsize == 4 else np.uint16
    np.testing.assert_array_equal(a.view(unsigned)[~nan], b.view(unsigned)[~nan])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_half_number_is_widened(kind):
    from kxfast.backends.native.half import rounded, widened

    every = np.arange(1 << 16, dtype=np.uint16).view(kind)
    with np.errstate(invalid="ignore"):
        same(widened(every), every.astype(np.float32))
        same(rounded(widened(every), kind), every)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_floats_are_rounded_to_the_nearest(kind):
    from kxfast.backends.native.half import rounded, widened

    every = widened(np.arange(1 << 16, dtype=np.uint16).view(kind))
    halves = (
        every[np.isfinite(every)].astype(np.float64)[:, None] * [1, 1 + 2.0**-8, 1 + 2.0**-9, 1 + 2.0**-11]
    ).ravel()
    middles = np.unique(np.sort(every[np.isfinite(every)]).astype(np.float64))
    middles = (middles[1:] + middles[:-1]) / 2
    rng = np.random.default_rng(0)
    strange = np.array([np.inf, -np.inf, np.nan, -np.nan, 65519.9, 65520, 3.4e38, 1e-45, 2.0**-25, 2.0**-25 * 1.001])
    bits = rng.integers(0, 1 << 32, 300_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.concatenate([halves, middles, np.nextafter(middles, np.inf), strange]).astype(np.float32)
        x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), bits])
        same(rounded(x, kind), x.astype(kind))


def test_layouts_are_kept():
    from kxfast.backends.native.half import rounded, widened

    x = np.arange(24, dtype=np.float16).reshape(2, 3, 4).swapaxes(0, 2)[::-1]
    np.testing.assert_array_equal(widened(x), x.astype(np.float32))
    np.testing.assert_array_equal(rounded(widened(x), x.dtype), x)
    assert widened(np.zeros((0, 3), np.float16)).shape == (0, 3)
