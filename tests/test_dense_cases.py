"""The cases of the dense stems: each runs, is what it says, and repeats."""

from __future__ import annotations

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
