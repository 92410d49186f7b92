"""What `kxfast verify` compares with: a result that is not a number is never near."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases
from kxfast.cases.gillespie import moments_distance
from kxfast.cases.lipschitz import _same_ends


@pytest.mark.parametrize("end", ["lower", "upper"])
def test_ends_of_norms(end):
    norm = kx.lipschitz.spectral_norm(np.random.default_rng(0).standard_normal((3, 5, 4)))
    assert _same_ends(norm, norm) == 0
    wrong = getattr(norm, end).copy()
    wrong[1] = np.nan
    assert not _same_ends(replace(norm, **{end: wrong}), norm) <= 1
    wrong[1] = norm.upper[1] * (1 + 1e-3)  # beyond the other end, or wider than it was
    assert 1e-4 < _same_ends(replace(norm, **{end: wrong}), norm) < 1e-2


@pytest.mark.parametrize("name", ["mean", "variance"])
def test_moments(name):
    found = kx.gillespie.moments(kx.gillespie.example("schlogl"), [0.0, 1.0], n=50, seed=1)
    assert moments_distance(found, found) == 0
    wrong = getattr(found, name).copy()
    wrong[1, 0] = np.nan
    assert not moments_distance(replace(found, **{name: wrong}), found) <= 1e9


@pytest.mark.parametrize("expected", [np.ones(3), (np.ones(2), np.ones(3)), {"a": np.ones(3)}, [np.ones(1), 2.0]])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_arrays(expected, value):
    def spoilt(x):
        if isinstance(x, np.ndarray):
            return np.append(x[:-1], value)
        return {k: spoilt(v) for k, v in x.items()} if isinstance(x, dict) else type(x)([*x[:-1], spoilt(x[-1])])

    if isinstance(expected, list):
        expected = expected[::-1]
    assert cases.largest_difference(expected, expected) == 0
    assert cases.largest_difference(spoilt(expected), expected) == np.inf
