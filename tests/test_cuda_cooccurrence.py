"""Co-occurrence counts on a GPU, run by the emulation: the reference's, number by number."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_emulation import LaunchError, emulated

import kxfast as kx
from kxfast.backends.cuda import cooccurrence, nvrtc

TEXT = cooccurrence._TEXT
WORDS = 23


def corpus(seed, size=400):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, WORDS, size).astype(np.int32)
    ids[rng.random(size) < 0.05] = -1
    return ids


def same(ids, device=None, **keywords):
    expected = kx.cooccurrence.count(ids, backend="reference", **keywords)
    with emulated(**(device or {})) as used:
        found = kx.cooccurrence.count(ids, backend="cuda", **keywords)
    for name in ("indptr", "indices", "data"):
        a, b = getattr(found.matrix, name), getattr(expected.matrix, name)
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert found.matrix.dtype == expected.matrix.dtype
    return used


@pytest.mark.parametrize("direction", ["symmetric", "left", "right"])
@pytest.mark.parametrize("weighting", ["uniform", "harmonic"])
@pytest.mark.parametrize("window", [0, 1, 4, None])
def test_counts_are_the_references(direction, weighting, window):
    used = same(corpus(1), window=window, weighting=weighting, direction=direction, device={"orders": [0]})
    assert bool(used.launches) == (window != 0)


def test_no_order_of_threads_changes_a_count():
    assert same(corpus(2), window=3).launches == 1


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257])
def test_any_length(size):
    same(corpus(3, size), window=5, device={"orders": [1]})


def test_documents_too_long_for_whole_sums_of_fractions():
    rng = np.random.default_rng(5)
    same(rng.integers(0, 9, 150).astype(np.int32), window=None, weighting="harmonic", device={"orders": [0]})


def test_a_corpus_larger_than_memory_goes_in_slabs():
    used = same(
        corpus(4), window=6, device={"free": 24 * 1000, "orders": [2]}
    )  # a thousand keys of 32 bits: 2 distances
    assert used.launches == 3
    used = same(corpus(4), window=6, device={"free": 24 * 150, "orders": [2]})
    assert used.launches == 6 * 3


def test_large_vocabularies_have_wider_keys():
    ids = np.array([3, 70_000, 3, 70_000, -1, 69_999, 3], np.int32)
    same(ids, window=2)


def test_text_is_read_on_the_cpu():
    lines = ["the cat saw the dog", "a dog", "", "the the the"]
    expected = kx.cooccurrence.count(lines, window=2, backend="reference")
    seen = []
    with emulated():
        found = kx.cooccurrence.count(lines, window=2, backend="cuda", progress=lambda *done: seen.append(done))
    assert found.vocabulary.words == expected.vocabulary.words
    np.testing.assert_array_equal(found.matrix.toarray(), expected.matrix.toarray())
    assert seen
    assert all(done <= total for done, total, _ in seen)


def test_a_vocabulary_that_leaves_words_out():
    expected = kx.cooccurrence.count(["a b c a b", "c d a"], vocabulary=["a", "c"], window=1, backend="reference")
    with emulated():
        found = kx.cooccurrence.count(["a b c a b", "c d a"], vocabulary=["a", "c"], window=1, backend="cuda")
    np.testing.assert_array_equal(found.matrix.toarray(), expected.matrix.toarray())


def test_a_limit_of_memory_is_for_the_cpu():
    with emulated(), pytest.raises(kx.BackendError, match="backend 'cuda' cannot serve cooccurrence"):
        kx.cooccurrence.count(["a b"], backend="cuda", memory_limit=2**30)


def test_a_planted_bug_is_found(monkeypatch):
    text = (nvrtc.source_folder() / "cooccurrence.cuh").read_text()
    wrong = text.replace("keys[slot] =", "keys[slot + 1] =")
    assert wrong != text
    monkeypatch.setattr(cooccurrence, "_TEXT", wrong)
    with pytest.raises(LaunchError, match="written beside an array"):
        same(corpus(1), window=2)
