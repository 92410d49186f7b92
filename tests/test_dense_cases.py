"""The cases of the dense stems: each runs, is what it says, and repeats."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

STEMS = ("conv", "attention", "masks")


@pytest.mark.parametrize("stem", STEMS)
def test_random_cases_run_and_repeat(stem):
    seen = set()
    for case in cases.random_cases(11, stem):
        assert case.operation.startswith(f"{stem}.")
        assert case.compare(case.run(), case.run()) == 0
        seen.add(case.operation.partition(".")[2])
    functions = {name for name in getattr(kx, stem).__all__ if not isinstance(getattr(getattr(kx, stem), name), type)}
    assert functions - seen <= {"vote"}  # it takes mappings, and has one implementation


def converted(value, change):
    """Apply `change` to every floating array of a nest of tuples, lists, dicts and layers."""
    if isinstance(value, (np.ndarray, np.generic)):
        return change(value) if value.dtype.kind in "fV" else value
    if isinstance(value, kx.conv.GatedLayer):
        return kx.conv.GatedLayer(**converted(vars(value), change))
    if isinstance(value, dict):
        return {name: converted(each, change) for name, each in value.items()}
    return type(value)(converted(each, change) for each in value) if isinstance(value, (tuple, list)) else value


@pytest.mark.parametrize("stem", ["conv", "attention"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_narrow_types_are_within_tolerance_of_float64(stem, seed):
    checked = 0
    for case in cases.random_cases(seed, stem):
        kind = getattr(case.args[0], "dtype", None)
        if kind is None or kind == np.float64 or isinstance(case.args[-1], kx.attention.KVCache):
            continue
        wide = lambda x: x.astype(np.float64)
        exact = replace(case, args=converted(case.args, wide), keywords=converted(case.keywords, wide)).run()
        results, expected = (list(flat(each)) for each in (case.run(), exact))
        for a, b in zip(results, expected, strict=True):
            assert cases.largest_difference(np.asarray(a).astype(float), b, 1.0) <= case.tolerance, case.label
        checked += 1
    assert checked > 100


def flat(value):
    """Yield the arrays and numbers of a nest of tuples, lists and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for each in value:
            yield from flat(each)
    elif value is not None:
        yield np.asarray(value, float) if isinstance(value, float) else value


@pytest.mark.parametrize("stem", STEMS)
def test_random_cases_are_the_same_for_the_same_seed(stem):
    pairs = zip(cases.random_cases(4, stem), cases.random_cases(4, stem), strict=True)
    for a, b in pairs:
        assert a.label == b.label
        for x, y in zip(a.args, b.args, strict=True):
            if isinstance(x, np.ndarray):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("stem", STEMS)
def test_real_cases_say_how_much_work_they_are(stem, shared_data):
    found = list(import_module(f"kxfast.cases.{stem}").real(shared_data, True))
    assert found
    for case in found:
        assert case.unit == "flop"
        assert case.amount > 0
        assert all(np.isfinite(x).all() for x in case.args if isinstance(x, np.ndarray))
    assert np.isfinite(found[0].run()).all()
