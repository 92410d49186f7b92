"""Counts of n-grams and entropies beside them on a GPU, run by the emulation: the reference's, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_emulation import LaunchError, emulated

import kxfast as kx
from benchmarks.gpu import words as bench
from kxfast import cases, dispatch
from kxfast.backends.cuda import nvrtc, words, words_order
from kxfast.backends.reference import words as reference

TEXT = words_order._TEXT
LINES = ["abcab", "abxab", "xyzab", "abcxyz", "zabc"]


def text_of(seed, size, letters, breaks=0.08):
    """Return characters from all over Unicode, some far more frequent than others, with 0 between runs."""
    rng = np.random.default_rng(seed)
    alphabet = np.sort(rng.choice(np.arange(1, 0x110000, dtype=np.uint32), letters, replace=False))
    codes = alphabet[(letters * rng.random(size) ** 2).astype(int)]
    codes[rng.random(size) < breaks] = 0
    return codes


def same_tables(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def same_sides(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def same(codes, max_order, min_count, **device):
    """Compare both functions that count with the reference."""
    tables, total, sides = reference.count_with_entropies(codes, max_order, min_count)
    with emulated(**device) as used:
        mine, my_total = words.count_ngrams(codes, max_order, min_count)
        same_tables(mine, tables)
        assert my_total == total
        mine, my_total, my_sides = words.count_with_entropies(codes, max_order, min_count)
    same_tables(mine, tables)
    same_sides(my_sides, sides)
    assert my_total == total
    return used


def test_the_worked_example():
    with emulated():
        ng = kx.words.count_ngrams(LINES, max_order=3, backend="cuda")
        counts = [dict(zip(*ng.ngrams(n), strict=True)) for n in (1, 2, 3)]
        cohesion = ng.cohesion(3)
    assert ng.total == 25
    assert counts[0] == {"a": 7, "b": 7, "c": 3, "x": 3, "y": 2, "z": 3}
    assert counts[1] == {"ab": 7, "bc": 3, "ca": 1, "bx": 1, "xa": 1, "xy": 2, "yz": 2, "za": 2, "cx": 1}
    triples = {"abc": 3, "bca": 1, "cab": 1, "abx": 1, "bxa": 1, "xab": 1, "xyz": 2, "yza": 1, "zab": 2, "bcx": 1}
    assert counts[2] == {**triples, "cxy": 1}
    np.testing.assert_allclose(cohesion[:2], [1.272965676, 0.174353387], atol=1e-9)  # of abc and abx


@pytest.mark.parametrize("max_order", [1, 2, 5, 8])
@pytest.mark.parametrize(("letters", "min_count"), [(1, 1), (2, 3), (9, 4), (300, 1)])
def test_counts_and_entropies_are_the_references(max_order, letters, min_count):
    same(text_of(max_order, 600, letters), max_order, min_count, orders=[0])


def test_no_order_of_threads_changes_a_result():
    assert same(text_of(1, 2500, 70), 3, 2).launches > 50


def test_keys_of_three_words():
    codes = np.concatenate([text_of(2, 800, 40), np.arange(1, 4600, dtype=np.uint32), text_of(2, 800, 40)])
    same(codes, 8, 1, orders=[2])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255, 256, 257, 1023, 1024, 1025])
def test_any_length(size):
    same(text_of(3, size, 5), 3, 1, orders=[1])


@pytest.mark.parametrize("codes", [[0, 0, 0], [0, 7], [7, 0], [7, 7, 7, 7], [0, 7, 0, 0, 7, 7, 0]])
def test_runs_that_are_shorter_than_the_order(codes):
    same(np.array(codes, np.uint32), 4, 1)


def test_one_character_before_many_has_their_entropy():
    """A warp sums what a lane does not: u of 500 neighbours, each as often, has the entropy ln 500 on both sides."""
    others = np.arange(1000, 1500, dtype=np.uint32)
    codes = np.stack([others, np.full(500, 7), others, np.zeros(500)], axis=1).astype(np.uint32).reshape(-1)
    with emulated(orders=[0, 2]):
        (grams, counts), *_ = (found := words.count_with_entropies(codes, 1, 1))[0]
    assert (grams[0, 0], counts[0]) == (7, 500)
    for side in found[2][0]:
        np.testing.assert_allclose(side[0], np.log(500), rtol=1e-14)
        assert not side[1:].any()  # the others never have both neighbours


def test_entropies_of_any_ngrams():
    codes = text_of(4, 900, 12)
    tables, _ = reference.count_ngrams(codes, 4, 1)
    wanted = [grams[::3] for grams, _ in tables]
    wanted[1] = np.concatenate([np.zeros((1, 2), np.uint32) + 1, wanted[1], np.full((1, 2), 0x10FFFF, np.uint32)])
    wanted[2] = np.empty((0, 3), np.uint32)
    with emulated():
        found = words.neighbor_entropy(codes, wanted)
    same_sides(found, reference.neighbor_entropy(codes, wanted))


@pytest.mark.parametrize("entropies", [True, False])
def test_texts_come_from_the_cpu_and_report(entropies):
    lines, seen = ["科学空间的科学", "空间的一是在不了", "", "的科学abc", "的一的一的一"], []
    settings = {"max_order": 3, "entropies": entropies}
    expected = kx.words.count_ngrams(lines, **settings, backend="reference")
    with emulated():
        found = kx.words.count_ngrams(lines, **settings, backend="cuda", progress=lambda *done: seen.append(done))
        for n in (1, 2, 3):
            assert found.ngrams(n)[0] == expected.ngrams(n)[0]
            same_sides([found.entropies(n)], [expected.entropies(n)])
    assert seen
    assert all(done <= total for done, total, _ in seen)


VERIFIED = list(cases.random_cases(7, "words"))


def test_what_verify_compares_on_a_gpu_agrees():
    compared = 0
    for case in VERIFIED:
        with emulated(orders=[0]) as device:
            if "cuda" not in cases.backends(case):
                continue
            assert case.operation == "words.count_ngrams"
            with cases.engine("cuda"):
                result = case.run()
            compared += device.launches > 0
        with cases.engine("reference"):
            assert case.compare(result, case.run()) <= case.tolerance
    assert compared > 5


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("ngram_run", lambda corpus: kx.words.count_ngrams(corpus, counts="kenlm", backend="cuda")),
        ("ngram_run", lambda corpus: kx.words.count_ngrams(corpus, memory_limit=2**25, backend="cuda")),
        ("code_points", lambda corpus: kx.words.discover(corpus, backend="cuda")),
    ],
)
def test_what_stays_on_the_cpu_is_refused_before_anything_is_read(missing, call):
    untouched = iter(LINES)
    expected = rf"backend 'cuda' cannot serve words\.{missing}: it has no {missing}; available: "
    with emulated() as device, pytest.raises(kx.BackendError, match=expected):
        call(untouched)
    assert next(untouched) == LINES[0]
    assert not device.launches


def test_a_text_too_large_for_the_gpu_is_refused(monkeypatch):
    codes = text_of(5, 1000, 9)
    expected = r"backend 'cuda' cannot serve words.count_ngrams of 1000 characters: it needs \d+ bytes of the GPU's"
    with emulated(free=1000), pytest.raises(kx.BackendError, match=expected):
        words.count_ngrams(codes, 2, 1)
    monkeypatch.setattr(words_order, "_MOST", 999)
    with emulated() as device, pytest.raises(kx.BackendError, match="of 1000 characters; at most 999"):
        words.count_with_entropies(codes, 2, 1)
    assert not device.launches


def added_up(text=TEXT):
    tallies = np.random.default_rng(6).integers(0, 1025, 2500).astype(np.uint32)
    with emulated() as device:
        sums = device.upload(np.append(tallies, np.uint32(0xCDCDCDCD)))
        device.kernel(text, "add_up")(1, 1024, 128, [sums, np.int64(len(tallies))])
    np.testing.assert_array_equal(sums, np.append(0, np.cumsum(tallies)))


def test_tallies_of_many_tiles_are_added_up():
    added_up()


def test_planted_bugs_are_found(monkeypatch):
    header = (nvrtc.source_folder() / "words_selection.cuh").read_text()
    main = (nvrtc.source_folder() / "words.cuh").read_text().replace('#include "words_selection.cuh"', "")
    no_barrier = header.replace("    __syncthreads();\n", "", 1)
    assert no_barrier != header
    with pytest.raises((LaunchError, AssertionError), match=r"order in which threads run|Arrays are not equal"):
        added_up(no_barrier + main)
    lanes = "from, owner) + lane"
    assert lanes in main
    monkeypatch.setattr(words_order, "_TEXT", header + main.replace(lanes, "from, owner)"))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_one_character_before_many_has_their_entropy()


def test_the_check_of_the_benchmark_passes_and_fails(monkeypatch):
    with emulated(orders=[0]) as device:
        assert bench.check(300, 3, 3, characters=1500)["ngrams"] > 100
        right, left = bench.on_the_gpu(device.upload(bench.corpus(3, 3000, 4)))
        assert len(right) == len(left) > 0
        count = words.count_with_entropies

        def spoiled(*given):
            tables, total, sides = count(*given)
            return tables, total, [(right, left) for left, right in sides]

        monkeypatch.setattr(words, "count_with_entropies", spoiled)
        dispatch._found.clear()
        with pytest.raises(AssertionError, match="at most 1e-12 is right; seed 3"):
            bench.check(300, 3, 3, characters=1500)
