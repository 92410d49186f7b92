"""Segmentation: the worked numbers, both tie rules, jieba's treatment of characters, sampling."""

from __future__ import annotations

import lzma
import pickle
from collections import Counter
from itertools import product
from math import exp, log

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

LEXICON = {"a": 3, "b": 2, "ab": 5, "abc": 2, "c": 2, "bc": 4}
ENGINES = cases.engines("words.Segmenter")
TOTAL = sum(LEXICON.values())


@pytest.fixture(params=ENGINES)
def engine(request):
    with cases.engine(request.param):
        yield request.param


def score(pieces, lexicon, unknown=-100.0):
    total = sum(lexicon.values())
    return sum(log(lexicon[p] / total) if p in lexicon else unknown for p in pieces)


def test_worked_example(engine):
    seg = kx.words.Segmenter(LEXICON, tie="longest_last")
    assert seg.cut("abcab") == ["abc", "ab"]
    assert score(["abc", "ab"], LEXICON) == pytest.approx(-3.478158423, abs=5e-10)
    assert seg.cut("abq") == ["ab", "q"]
    assert score(["ab", "q"], LEXICON) == pytest.approx(-1.280933845 - 100, abs=5e-10)


def test_ties(engine):
    # ln(4/16) twice on either path: a|bc and ab|c
    even = {"a": 4, "bc": 4, "ab": 4, "c": 4}
    assert kx.words.Segmenter(even, tie="longest_first").cut("abc") == ["ab", "c"]
    assert kx.words.Segmenter(even, tie="longest_last").cut("abc") == ["a", "bc"]


def test_no_cut_is_better(engine):
    rng = np.random.default_rng(1)
    for tie in "longest_first", "longest_last":
        seg = kx.words.Segmenter(LEXICON, tie=tie)
        for _ in range(30):
            text = "".join(rng.choice(list("abc"), rng.integers(1, 9)))
            best = max(score(cut, LEXICON) for cut in every_cut(text) if all(p in LEXICON for p in cut))
            assert score(seg.cut(text), LEXICON) == pytest.approx(best)


def every_cut(text):
    for marks in product([False, True], repeat=len(text) - 1):
        ends = [*(i + 1 for i, mark in enumerate(marks) if mark), len(text)]
        yield [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


@pytest.mark.parametrize("tie", ["longest_first", "longest_last"])
def test_words_together_are_the_text(engine, tie):
    rng = np.random.default_rng(2)
    seg = kx.words.Segmenter(LEXICON, tie=tie)
    texts = ["".join(rng.choice(list("abcd 科\n𠀀"), rng.integers(0, 30))) for _ in range(50)]
    for text, words in zip(texts, seg.cut_many(texts), strict=True):
        assert "".join(words) == text
        assert [text[a:b] for a, b in seg.spans(text)] == words == seg.cut(text)


def test_empty(engine):
    seg = kx.words.Segmenter(LEXICON)
    assert seg.cut("") == []
    assert seg.cut_many([]) == []
    assert seg.cut_many(["", "a", ""]) == [[], ["a"], []]
    assert seg.spans("").shape == (0, 2)


def test_sampling_follows_the_scores(engine):
    seg = kx.words.Segmenter(LEXICON, tie="longest_last")
    alpha, draws = 0.7, 3000
    cuts = [tuple(cut) for cut in every_cut("abc") if all(p in LEXICON for p in cut)]
    weights = np.array([exp(alpha * score(cut, LEXICON)) for cut in cuts])
    seen = Counter(tuple(seg.sample("abc", alpha, seed)) for seed in range(draws))
    assert set(seen) <= set(cuts)
    for cut, p in zip(cuts, weights / weights.sum(), strict=True):
        assert abs(seen[cut] - draws * p) < 4.5 * np.sqrt(draws * p * (1 - p))
    assert seg.sample("abcab", alpha, 3) == seg.sample("abcab", alpha, 3)


def test_pickle_and_threads(engine):
    seg = pickle.loads(pickle.dumps(kx.words.Segmenter(LEXICON, tie="longest_last", unknown=-5.0)))
    texts = ["abcab" * 100, "q", ""] * 200
    expected = seg.cut_many(texts, threads=1)
    assert seg.cut_many(texts, threads=4) == expected
    assert len(seg) == 6


def test_as_jieba(engine):
    jieba = pytest.importorskip("jieba", reason="compares with jieba, which is not installed")
    lexicon = {"科学": 10, "空间": 8, "科": 2, "学空": 3, "abc": 4, "a": 1, "1.5": 1}
    check_as_jieba(jieba, lexicon, ["科学空间", "abc1.5 a b\r\n\t。科1a2空", "𠀀a b", "", "c++科学-x_y", "\r\r\n\n"])


def test_as_jieba_on_real_text(shared_data):
    jieba = pytest.importorskip("jieba", reason="compares with jieba, which is not installed")
    with lzma.open(shared_data / "text" / "dict_jieba.txt.xz", "rt", encoding="utf-8") as file:
        lexicon = {word: int(count) for word, count, *_ in map(str.split, file)}
    with lzma.open(shared_data / "text" / "zh_wiki_dev.txt.xz", "rt", encoding="utf-8") as file:
        texts = [line for _, line in zip(range(1500), file, strict=False)]
    check_as_jieba(jieba, lexicon, texts)


def check_as_jieba(jieba, lexicon, texts):
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = {}, sum(lexicon.values())
    for word, count in lexicon.items():
        tokenizer.FREQ[word] = count
        for i in range(1, len(word)):
            tokenizer.FREQ.setdefault(word[:i], 0)
    tokenizer.initialized = True
    seg = kx.words.Segmenter.jieba(lexicon)
    assert seg.cut_many(texts) == [list(tokenizer.cut(text, HMM=False)) for text in texts]
