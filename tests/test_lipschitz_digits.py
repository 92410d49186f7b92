"""Gram matrices from digits of 8 bits: in the tiles of AMX where the processor has them, emulated everywhere."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases, settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")
L = kx.lipschitz


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def gram(a, digits, stages):
    """Return the Gram matrix in digits, what is apart and what is wrong at most, of the matrix itself."""
    from kxfast._native import lipschitz as native

    largest = float(np.abs(a).max())
    exponent = int(np.frexp(largest)[1])
    upper, apart, wrong = native.digit_gram(a, exponent, largest, digits, stages)
    unit = 2.0**exponent
    return (np.triu(upper) + np.triu(upper, 1).T) * unit**2, apart * unit, wrong * unit**2


def matrices(rng):
    yield rng.standard_normal((64, 64)).astype(np.float32)
    yield rng.standard_normal((67, 131))
    yield rng.standard_normal((301, 70)).astype(np.float32)
    yield 1e-9 * rng.standard_normal((65, 2113)).astype(np.float32)  # more than one block of depth
    yield 1e7 * rng.standard_normal((2050, 66))
    yield rng.integers(-3, 4, (100, 80)).astype(np.float32)
    yield np.linalg.qr(rng.standard_normal((90, 90)))[0]
    yield np.outer(rng.standard_normal(100), rng.standard_normal(129)).astype(np.float32)
    wide = rng.standard_normal((96, 160))
    wide[3, 5] = 1e6
    yield wide
    yield np.sign(rng.standard_normal((128, 192))).astype(np.float32)  # every entry is the largest one


@pytest.mark.parametrize(("digits", "stages"), [(3, 1), (3, 2), (4, 1), (4, 2), (4, 3)])
def test_grams_are_as_near_as_they_say(rng, products, digits, stages):
    for a in matrices(rng):
        found, apart, wrong = gram(a, digits, stages)
        short = (a if a.shape[0] <= a.shape[1] else a.T).astype(np.float64)
        true = short @ short.T
        norm = np.linalg.norm(true, 2)
        assert np.linalg.norm(found - true, 2) <= wrong + 2 * np.sqrt(norm) * apart + apart**2 + 1e-14 * norm
        # and what it says is of use
        largest = a.size * float(np.abs(a).max()) ** 2
        assert apart <= 1.1 * np.sqrt(largest) * 256.0 ** -(4 if stages == 3 else 3)
        assert wrong <= largest * {1: 2.1 * 256.0**-3, 2: 1e-13, 3: 2.1 * 256.0**-5}[stages]


def test_both_ways_give_the_same_bits(rng):
    if core.half_products() != "tiles":
        pytest.skip("this processor has no matrix extension (AMX), or it is off")
    for a in matrices(rng):
        there = gram(a, 4, 3)
        core.emulate_tiles(True)
        try:
            here = gram(a, 4, 3)
        finally:
            core.emulate_tiles(False)
        for one, other in zip(there, here, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-5, 1e-6])
def test_enclosures_hold(rng, products, tol):
    for a in matrices(rng):
        if products == "emulated" and a.size > 20_000:
            continue  # seconds each
        truth = np.linalg.norm(a.astype(np.float64), 2)
        for start in None, np.linalg.svd(a.astype(np.float64))[2][1]:
            found = L.spectral_norm(a, tol=tol, start=start)
            assert found.lower <= truth * (1 + 1e-14)
            assert truth <= found.upper * (1 + 1e-14)
            assert found.upper <= found.lower * (1 + 1.001 * tol)
            assert np.linalg.norm(a.astype(np.float64) @ found.v) >= truth * (1 - 2 * tol)
            np.testing.assert_allclose([np.linalg.norm(found.u), np.linalg.norm(found.v)], 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(520, 531), (601, 513)])
def test_steps_on_grams_in_floats_find_the_same_norm(rng, products, shape):
    """From 512 on Lanczos reads the Gram matrix in floats, unless the width asked for would see that."""
    k = min(shape)
    left, right = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in shape)
    values = np.r_[1, 1 - 1e-4, 1 - 3e-4, np.linspace(0.98, 0, k - 3)]
    for a in (left * values @ right.T).astype(np.float32), (1e15 * left * values**40 @ right.T):
        truth = np.linalg.norm(a.astype(np.float64), 2)
        for tol in 1e-3, 1e-4, 1e-5:
            found = L.spectral_norm(a, tol=tol)
            assert found.lower <= truth * (1 + 1e-14)
            assert truth <= found.upper * (1 + 1e-14)
            assert found.upper <= found.lower * (1 + 1.001 * tol)


def test_widths_beyond_digits_are_met_all_the_same(rng, products):
    a = rng.standard_normal((80, 120))
    truth = np.linalg.norm(a, 2)
    found = L.spectral_norm(a, tol=1e-11)
    assert found.lower <= truth * (1 + 1e-14)
    assert truth <= found.upper * (1 + 1e-14)
    assert found.upper <= found.lower * (1 + 1e-11)


def test_digits_are_for_processors_with_tiles(rng):
    """A set below AMX goes another way: it takes other steps."""
    a = rng.standard_normal((300, 400)).astype(np.float32)
    steps = {}
    for isa in core.isas():
        with cases.engine(f"native/{isa}"):
            steps[isa] = (core.half_products(), int(L.spectral_norm(a).steps))
            core.emulate_tiles(True)
            try:
                emulated = int(L.spectral_norm(a).steps)
            finally:
                core.emulate_tiles(False)
    plain = {count for kind, count in steps.values() if kind != "tiles"}
    assert emulated not in plain
    assert {count for kind, count in steps.values() if kind == "tiles"} <= {emulated}


def test_emulated_tiles_multiply_bytes(rng):
    for m, n, k in (16, 16, 16), (1, 1, 1), (5, 7, 3), (16, 2, 9):
        configured = np.zeros(64, np.uint8)
        configured[0] = 1
        for i, (rows, width) in enumerate(((m, 4 * n), (m, 4 * k), (k, 4 * n))):
            configured[16 + 2 * i], configured[48 + i] = width, rows
        a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((m, 4 * k), (4 * k, n)))
        sums = rng.integers(-(2**31), 2**31, (m, n), np.int32)
        tile = np.zeros((3, 16, 64), np.uint8)
        words = b.reshape(k, 4, n).swapaxes(1, 2).reshape(k, 4 * n)
        for to, values in zip(tile, (sums, a, words), strict=True):
            given = np.ascontiguousarray(values).view(np.uint8)
            to[: given.shape[0], : given.shape[1]] = given
        found = core.tile_product(configured, *tile, of_bytes=True).view(np.int32)
        wide = sums.astype(np.int64) + a.astype(np.int64) @ b.astype(np.int64)
        np.testing.assert_array_equal(found[:m, :n], wide.astype(np.int32))  # which wraps around
        assert not found[m:].any()
        assert not found[:, n:].any()
