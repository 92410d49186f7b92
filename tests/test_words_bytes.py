"""Words of bytes: the definitions of characters, on the bytes of the text's UTF-8."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

TEXT = ["科学空间", "科学，空间 a", "空间é\r", "", "x\0y"] * 3


@pytest.fixture(params=["reference", *(e for e in cases.engines("words.count_ngrams") if e != "reference")])
def engine(request):
    with cases.engine(request.param):
        yield request.param


def by_hand(texts: list[str], order: int) -> dict[bytes, int]:
    from collections import Counter

    runs = [run for text in texts for run in text.encode().replace(b"\r", b"\0").replace(b"\n", b"\0").split(b"\0")]
    return Counter(run[i : i + n] for run in runs for n in range(1, order + 1) for i in range(len(run) - n + 1))


def listed(ngrams) -> dict[bytes, int]:
    tables = [ngrams.ngrams(n) for n in range(1, ngrams.max_order + 1)]
    return {gram: int(count) for grams, counts in tables for gram, count in zip(grams, counts, strict=True)}


def test_counts_are_those_of_bytes(tmp_path, engine):
    expected = by_hand(TEXT, 5)
    ng = kx.words.count_ngrams(TEXT, max_order=5, characters="bytes")
    assert listed(ng) == expected
    assert ng["科".encode()] == expected["科".encode()] == 6
    assert ng[b"\xa7\x91"] == 6
    path = tmp_path / "text.txt"
    path.write_bytes("\n".join(TEXT).encode() + b"\n\xff\xfe\n")  # bytes that are not UTF-8 are bytes like others
    of_file = kx.words.count_ngrams(path, max_order=5, characters="bytes")
    assert listed(of_file) == expected | {b"\xff": 1, b"\xfe": 1, b"\xff\xfe": 1}
    assert kx.words.count_ngrams(path, max_order=5, characters="bytes", memory_limit=32 << 20)[b"\xff\xfe"] == 1


def test_a_character_coheres_like_its_bytes(engine):
    # Of E7 A7 91 (科) no byte comes elsewhere, so each split has ratio N c / (c c) = N / c.
    ng = kx.words.count_ngrams(["科a"] * 4, max_order=3, characters="bytes")
    place = ng.ngrams(3)[0].index("科".encode())
    assert ng.cohesion(3)[place] == pytest.approx(np.log(16 / 4))
    left, right = ng.entropies(1)
    assert left.tolist() == right.tolist() == [0.0] * 4


def test_words_are_bytes(tmp_path, engine):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    bounds = {"min_count": 3, "max_length": 6, "min_pmi": 0.5, "characters": "bytes"}
    found = kx.words.discover(TEXT, **bounds)
    assert found
    assert all(isinstance(word, bytes) for word in found)
    assert dict(kx.words.discover(TEXT, ngrams=kx.words.count_ngrams(TEXT, max_order=6, characters="bytes"), **bounds))
    first = next(iter(found))
    assert first not in kx.words.discover(TEXT, exclude=[first], **bounds)
    found.save(tmp_path / "lexicon.txt")
    assert dict(kx.words.load(tmp_path / "lexicon.txt", base64=True)) == dict(found)
    (tmp_path / "bad.txt").write_text("? 1\n")
    with pytest.raises(ValueError, match="path must hold words in base64; got '\\?'"):
        kx.words.load(tmp_path / "bad.txt", base64=True)
    assert isinstance(found.to_dataframe(), pandas.DataFrame)


def test_a_lexicon_of_bytes_cuts_bytes(tmp_path, engine):
    lexicon = {"科学".encode(): 5, "空间".encode(): 4, b"\xe7": 1}
    made = kx.words.Segmenter(lexicon)
    data = "科学空间!".encode() + b"\xff"
    made.save(tmp_path / "saved")
    for seg in made, kx.words.Segmenter.load(tmp_path / "saved"), pickle.loads(pickle.dumps(made)):
        assert seg.cut(data) == ["科学".encode(), "空间".encode(), b"!", b"\xff"]
        assert seg.cut("科学!") == ["科学".encode(), b"!"]
        assert seg.cut_many([data, ""]) == [seg.cut(data), []]
        assert seg.join_many([data], b"|") == [b"|".join(seg.cut(data))]
        assert seg.spans(data).tolist() == [[0, 6], [6, 12], [12, 13], [13, 14]]
        assert b"".join(seg.sample(data, 0.5, seed=1)) == data
    assert made.cut_many(["科空"]) == [[b"\xe7", b"\xa7", b"\x91", *(bytes([b]) for b in "空".encode())]]
