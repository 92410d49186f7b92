"""Masks given as functions: compiled or called, once for what they ignore."""

from __future__ import annotations

import numpy as np
import pytest
from test_masks import ORDER, RULES, B, H, L, full

import kxfast as kx

m = kx.masks


@pytest.fixture
def many(monkeypatch):
    pytest.importorskip("numba", reason="Numba is not installed")
    from kxfast.masks import by_function

    monkeypatch.setattr(by_function, "MANY", 0)
    return by_function


@pytest.mark.parametrize("name", ["causal", "prefix", "documents", "permutation", "strided", "blocks", "function"])
def test_compiled_functions_are_their_rules(name, many):
    rule = RULES[name][1]
    expected = many.reference.called(rule, (B, H, L, L))
    np.testing.assert_array_equal(full(m.function(rule)), expected)


def test_what_numba_does_not_compile_is_called(many):
    words = {"a": 1}
    assert full(m.function(lambda b, h, i, j: j <= i + words["a"])).sum() == B * H * (L * (L + 1) // 2 + L - 1)
    with pytest.raises(IndexError):
        full(m.function(lambda b, h, i, j: ORDER[b, j + L] > 0))


def test_a_function_that_ignores_head_and_row_is_called_for_one():
    called = []
    mask = m.function(lambda b, h, i, j: called.append((b, h)) or j <= i)
    assert mask.to_dense(B, H, L, L).all(axis=(0, 1)).sum() == L * (L + 1) // 2
    assert len(called) == B * H * L * L
    called.clear()
    plain = m.function(lambda b, h, i, j: called.append(i) or j <= i)
    assert plain.to_dense(B, H, L, L).shape == (B, H, L, L)
    plain.key_intervals(B, H, L, L)
    assert len(called) == L * L
    rows, hidden = m.function(lambda b, h, i, j: j <= i + b), m.function(lambda b, h, i, j: eval("h") <= j)
    assert rows.pattern(B, H, L, L).shape == (B, 1, L, L)
    assert hidden.pattern(B, H, L, L).shape == (B, H, L, L)
    assert plain.key_intervals(B, H, L, L).shape == (1, 1, L, 4)
    assert hidden.to_dense(0, H, L, L).shape == (0, H, L, L)
