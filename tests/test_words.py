"""Word discovery: the worked numbers of the specification, and laws."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

LINES = ["abcab", "abxab", "xyzab", "abcxyz", "zabc"]
ENGINES = ["reference", *(e for e in cases.engines("words.count_ngrams") if e != "reference")]


@pytest.fixture(params=ENGINES)
def engine(request):
    with cases.engine(request.param):
        yield request.param


def counts_of(ngrams, n):
    grams, counts = ngrams.ngrams(n)
    return " ".join(f"{gram}{count}" for gram, count in zip(grams, counts, strict=True))


def pmi_of(ngrams, *orders):
    return {gram: value for n in orders for gram, value in zip(ngrams.ngrams(n)[0], ngrams.cohesion(n), strict=True)}


def test_exact_counts_of_the_worked_example(engine):
    ng = kx.words.count_ngrams(LINES, max_order=3)
    assert ng.total == 25
    assert counts_of(ng, 1) == "a7 b7 c3 x3 y2 z3"
    assert counts_of(ng, 2) == "ab7 bc3 bx1 ca1 cx1 xa1 xy2 yz2 za2"
    assert counts_of(ng, 3) == "abc3 abx1 bca1 bcx1 bxa1 cab1 cxy1 xab1 xyz2 yza1 zab2"
    assert len(ng) == 6 + 9 + 11


def test_cohesion_of_the_worked_example(engine):
    expected = dict.fromkeys(["ab", "bc", "abc", "bxa"], 1.272965676)
    expected |= dict.fromkeys(["cx", "bcx"], 1.021651248) | dict.fromkeys(["xy", "yz", "xyz"], 2.120263536)
    expected |= dict.fromkeys(["za", "zab"], 0.867500568) | {"cxy": 1.427116356, "yza": 0.579818495}
    expected |= dict.fromkeys(["ca", "bx", "xa", "abx", "bca", "cab", "xab"], 0.174353387)
    assert pmi_of(kx.words.count_ngrams(LINES, max_order=3), 2, 3) == pytest.approx(expected, abs=5e-10)


def test_cut_of_the_worked_example(engine):
    found = kx.words.discover(LINES, max_length=3, min_count=1, min_pmi=(0, 0.5, 1))
    assert dict(found) == {"ab": 1, "abc": 1, "abcxyz": 1}
    strict = kx.words.discover(LINES, method="strict", max_length=3, min_count=1, min_pmi=(0, 0.5, 1))
    assert dict(strict) == dict(found)


def test_kenlm_counts_of_the_worked_example():
    ng = kx.words.count_ngrams(LINES, max_order=3, counts="kenlm")
    assert ng.total == 30
    assert counts_of(ng, 1) == "a13 b4 c2 x5 y2 z4"
    assert counts_of(ng, 2) == "ab10 bc3 bx1 ca1 cx1 xa1 xy3 yz2 za3"
    assert counts_of(ng, 3) == "abc3 abx1 bca1 bcx1 bxa1 cab1 cxy1 xab1 xyz2 yza1 zab2"
    pmi = pmi_of(ng, 2, 3)
    expected = {
        "ab": 1.752538756, "bc": 2.420368129, "xy": 2.197224577, "yz": 2.014903021, "cx": 1.098612289,
        "za": 0.548565952, "bx": 0.405465108, "ca": 0.143100844, "xa": -0.773189888, "xyz": 1.609437912,
        "cxy": 1.609437912, "abc": 0.836248024, "bxa": 0.836248024, "bcx": 0.693147181, "cab": 0.405465108,
        "zab": 0.405465108, "yza": 0.143100844, "bca": -0.262364264, "abx": -0.510825624, "xab": -0.510825624,
    }  # fmt: skip
    assert pmi == pytest.approx(expected, abs=5e-10)
    found = kx.words.discover(LINES, max_length=3, min_count=1, min_pmi=(0, 0.5, 1), counts="kenlm")
    assert dict(found) == {"ab": 3, "x": 1}


def test_kenlm_counts_of_one_line():
    ng = kx.words.count_ngrams(["pqrstu"], max_order=4, counts="kenlm")
    assert counts_of(ng, 1) == "p4 q1 r1 s1"


def test_minimum_entropy_cut_of_the_worked_example():
    # PMI above 1: ab, bc, xy, yz, cx, za; the redundancy test is switched off by an unreachable bound.
    found = kx.words.discover(LINES, method="minimum_entropy", min_pmi=1.0, min_proba=0.0, redundancy=-1e9)
    assert dict(found) == {"ab": 3, "abc": 1, "abcxyz": 1, "x": 1, "xyzab": 1, "zabc": 1}


def test_minimum_entropy_removes_words_their_parts_explain():
    lines = ["天地"] * 50 + ["天"] * 50 + ["地"] * 50
    kept = kx.words.discover(lines, method="minimum_entropy", min_pmi=-5.0, min_proba=0.0)
    # ln p(天地) - ln p(天) - ln p(地) = ln(1/3) + 2 ln 3 = 1.0986, and that is at least 2 - 1
    assert dict(kept) == {"地": 50, "天": 50, "天地": 50}
    gone = kx.words.discover(lines, method="minimum_entropy", min_pmi=-5.0, min_proba=0.0, redundancy=1.1)
    assert dict(gone) == {"地": 100, "天": 100}
    # letters in a row are one part, which the lexicon no longer has: -100, so the word stays
    lines = ["ab"] * 50 + ["a"] * 50 + ["b"] * 50
    letters = kx.words.discover(lines, method="minimum_entropy", min_pmi=-5.0, min_proba=0.0, redundancy=1.1)
    assert dict(letters) == {"a": 50, "ab": 50, "b": 50}


def test_pairs_cut():
    # N = 25: ln(25*7/49) = 1.273 for ab, ln(25*3/21) = 1.273 for bc; with min_pmi 1 also cx, xy, yz
    found = kx.words.discover(LINES, method="pairs", min_count=1, min_pmi=1.0)
    assert dict(found) == {"ab": 4, "abc": 2, "abcxyz": 1, "x": 1, "xyz": 1, "z": 1}


def test_entropy_method_keeps_free_strings_only():
    lines = [f"{left}天地{right}" for left in "甲乙丙丁" for right in "子丑寅卯"]
    found = kx.words.discover(lines, method="entropy", max_length=2, min_count=5, min_pmi=0.5, min_entropy=1.3)
    assert dict(found) == {"天地": 16}
    left, right = kx.words.count_ngrams(lines, max_order=2, min_count=6).entropies(2)
    assert left == pytest.approx([log(4)])
    assert right == pytest.approx([log(4)])


def test_entropy_method_joins_neighbours_across_punctuation():
    bounds = {"method": "entropy", "max_length": 2, "min_count": 1, "min_pmi": -9, "min_entropy": 0}
    assert dict(kx.words.discover(["天，地"] * 3, **bounds)) == {}
    assert dict(kx.words.discover(["甲天，地子", "乙天，地丑"], **bounds)) == {"天地": 2}


def test_counts_add_over_documents(engine):
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list("天地玄黄，"), 50)) for _ in range(6)]
    whole = kx.words.count_ngrams(texts, max_order=3)
    parts = [kx.words.count_ngrams([text], max_order=3) for text in texts]
    for n in 1, 2, 3:
        for gram, count in zip(*whole.ngrams(n), strict=True):
            assert count == sum(part[gram] for part in parts)


def test_a_part_is_never_rarer_than_the_whole(engine):
    rng = np.random.default_rng(6)
    ng = kx.words.count_ngrams(["".join(rng.choice(list("abcd"), 2000))], max_order=8, min_count=2)
    for n in range(2, 9):
        for gram, count in zip(*ng.ngrams(n), strict=True):
            assert ng[gram[1:]] >= count <= ng[gram[:-1]]


def test_counts_by_hand_against_a_counter(engine):
    from collections import Counter

    text = "春江潮水连海平，海上明月共潮生。" * 3 + "滟滟随波千万里"
    expected = Counter(
        run[i : i + n]
        for run in text.replace("，", "。").split("。")
        for n in range(1, 9)
        for i in range(len(run) - n + 1)
    )
    ng = kx.words.count_ngrams([text], max_order=8)
    assert {g: int(c) for n in range(1, 9) for g, c in zip(*ng.ngrams(n), strict=True)} == dict(expected)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_does_not_matter(threads):
    rng = np.random.default_rng(7)
    texts = ["".join(rng.choice(list("天地玄黄宇宙洪荒，"), 4000)) for _ in range(100)]
    one = kx.words.discover(texts, min_count=5, min_pmi=0.2, threads=1)
    assert list(kx.words.discover(texts, min_count=5, min_pmi=0.2, threads=threads).items()) == list(one.items())


def test_empty_corpora(engine):
    for corpus in [], [""], ["，。"]:
        assert len(kx.words.count_ngrams(corpus)) == 0
        for method in "cut", "strict":
            assert dict(kx.words.discover(corpus, method=method, min_count=1)) == {}


def test_files_and_strings_give_the_same(tmp_path, engine):
    import gzip

    lines = ["天地玄黄宇宙洪荒"] * 3 + ["天地"]
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("\n".join(lines), encoding="utf-8")
    packed.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    expected = counts_of(kx.words.count_ngrams(lines), 2)
    assert counts_of(kx.words.count_ngrams(plain), 2) == counts_of(kx.words.count_ngrams(packed), 2) == expected


def test_lexicon_files(tmp_path):
    lexicon = kx.words.Lexicon({"科学": 3, "空间": 1})
    lexicon.save(tmp_path / "words.txt")
    assert (tmp_path / "words.txt").read_text(encoding="utf-8") == "科学 3\n空间 1\n"
    assert dict(kx.words.load(tmp_path / "words.txt")) == dict(lexicon)
    (tmp_path / "tagged.txt").write_text("科学\t3\tn\n\n空间 1 n\n", encoding="utf-8")
    assert dict(kx.words.load(tmp_path / "tagged.txt")) == dict(lexicon)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tagged.txt", "words.txt"]


def test_merge_gain_of_the_worked_example():
    assert kx.words.merge_gain(0.01, [0.02, 0.03]) == pytest.approx(0.023043166, abs=5e-10)
    assert kx.words.merge_gain(0.01, [0.02, 0.03], exact=False) == pytest.approx(0.018134107, abs=5e-10)


def test_merge_gain_is_at_least_its_bound():
    rng = np.random.default_rng(9)
    for _ in range(200):
        k = rng.integers(2, 5)
        parts = rng.uniform(0.001, 1 / k, k)  # of different items, so their sum is at most 1
        joint = rng.uniform(0, parts.min() / len(parts))
        assert kx.words.merge_gain(joint, list(parts)) >= kx.words.merge_gain(joint, list(parts), exact=False)
    assert kx.words.merge_gain(0.25, [0.25, 0.5]) == pytest.approx(  # a part that never stands alone adds nothing
        0.25 * log(2) - 0.75 * log(0.75) + 0.25 * log(0.5)
    )


def test_a_saved_segmenter_cuts_alike(tmp_path, engine):
    import pickle

    lexicon = {"科学": 5, "空间": 4, "科": 1, "学空": 1, "𠀀é": 2, "ab": 3}
    texts = ["科学空间ab!", "", "学空𠀀é科", "间科学"]
    segmenters = [kx.words.Segmenter(lexicon, tie="longest_last", unknown=-7.0), kx.words.Segmenter.jieba(lexicon)]
    for made in segmenters:
        made.save(tmp_path / "saved")
        for other in kx.words.Segmenter.load(tmp_path / "saved"), pickle.loads(pickle.dumps(made)):
            assert len(other) == 6
            assert other.cut_many(texts) == made.cut_many(texts)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    with kx.use_backend("reference"):  # words and scores are in the file whatever trie it holds
        assert kx.words.Segmenter.load(tmp_path / "saved").cut_many(texts) == made.cut_many(texts)
    data = (tmp_path / "saved").read_bytes()
    for bad, message in [(b"no", "that Segmenter.save wrote"), (data[:-9], "a whole file"), (b"x" * 99, "save wrote")]:
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(ValueError, match=message):
            kx.words.Segmenter.load(tmp_path / "bad")


def test_joined_text_and_ends_are_those_of_the_lists(engine):
    segmenter = kx.words.Segmenter({"科学": 5, "空间": 4, "𠀀é": 2})
    texts = ["科学空间。", "", "a𠀀é科"]
    cut = segmenter.cut_many(texts)
    assert segmenter.join_many(texts, "、") == ["、".join(words) for words in cut]
    ends, first = segmenter.ends_many(texts)
    assert first.tolist() == np.cumsum([0, *map(len, cut)]).tolist()
    assert ends.tolist() == np.cumsum([len(word) for words in cut for word in words]).tolist()


def test_a_dictionary_file_that_repeats_a_word(tmp_path, engine):
    (tmp_path / "words.txt").write_text("ab 9\ncd 1\nab 1\nabcd 1\nef 0\n", encoding="utf-8")
    once = kx.words.Segmenter({"ab": 1, "cd": 1, "abcd": 1})
    read = kx.words.Segmenter(tmp_path / "words.txt")
    assert len(read) == 3
    assert read.cut("abcdef") == once.cut("abcdef") == ["abcd", "e", "f"]


def test_threads_share_a_segmenter():
    from concurrent.futures import ThreadPoolExecutor

    segmenter = kx.words.Segmenter({"科学": 5, "空间": 4})
    texts = [f"科学空间{i}" for i in range(200)]
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(segmenter.cut, texts)) == segmenter.cut_many(texts)


def test_known_words_are_not_cut_and_excluded_ones_not_listed(engine):
    lines = ["甲天地乙", "丙天地丁"] * 3
    bounds = {"min_count": 4, "min_pmi": 9}
    assert set(kx.words.discover(lines, **bounds)) == {"天", "地"}
    assert dict(kx.words.discover(lines, include=["地乙", "没有"], **bounds)) == {"天": 6, "地乙": 3}
    assert set(kx.words.discover(lines, exclude=["天"], **bounds)) == {"地"}


def test_other_scripts(engine):
    lines = ["สวัสดีครับ ขอบคุณครับ", "ครับ"] * 5
    found = kx.words.discover(lines, min_count=5, min_pmi=0, characters="letters")
    assert "ครับ" in "".join(found)
    assert dict(kx.words.count_ngrams(lines, max_order=1).ngrams(1)[1:1]) == {}
    kana = kx.words.count_ngrams(["すもも、桃"], max_order=2, characters=["ぁ-ん"])
    assert kana.ngrams(2)[0] == ["すも", "もも"]


def test_counts_can_be_added_and_judged_by(engine):
    old, new = ["天地玄黄宇宙洪荒"] * 9, ["天地人和"] * 9
    both = kx.words.count_ngrams(old) + kx.words.count_ngrams(new)
    whole = kx.words.count_ngrams(old + new)
    assert both.total == whole.total
    for n in range(1, 5):
        assert both.ngrams(n)[0] == whole.ngrams(n)[0]
        assert both.ngrams(n)[1].tolist() == whole.ngrams(n)[1].tolist()
        assert [side.tolist() for side in both.entropies(n)] == [side.tolist() for side in whole.entropies(n)]
    direct = kx.words.discover(old + new, min_count=5, min_pmi=1)
    assert dict(kx.words.discover(old + new, ngrams=both, min_count=5, min_pmi=1)) == dict(direct)


def test_the_report_tells_pmi_and_entropies(engine):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    lines = [f"{left}天地{right}" for left in "甲乙丙丁" for right in "子丑寅卯"]
    frame = kx.words.discover(lines, min_count=16, min_pmi=0.5, report=True).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["word", "count", "pmi", "left_entropy", "right_entropy"]
    row = frame[frame.word == "天地"].iloc[0]
    assert row["count"] == 16
    assert row.pmi == pytest.approx(log(32 * 16 / (16 * 16)))  # pruned characters are not in N
    assert (row.left_entropy, row.right_entropy) == pytest.approx((log(4), log(4)))
