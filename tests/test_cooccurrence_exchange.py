"""Files of other programs."""

import shutil
import subprocess

import numpy as np
import pytest

import kxfast as kx

C = kx.cooccurrence


def corpus(words=60, documents=200):
    rng = np.random.default_rng(2)
    return [" ".join(f"w{i}" for i in rng.zipf(1.5, 15) % words) for _ in range(documents)]


@pytest.mark.parametrize("weighting", ["uniform", "harmonic"])
def test_records_come_back(tmp_path, weighting):
    co = C.count(corpus(), window=4, weighting=weighting, direction="left")
    C.write_glove(co, tmp_path / "x.bin")
    records = np.fromfile(tmp_path / "x.bin", [("i", "i4"), ("j", "i4"), ("x", "f8")])
    np.testing.assert_array_equal(co.matrix.toarray()[records["i"] - 1, records["j"] - 1], records["x"])
    assert len(records) == co.matrix.nnz
    assert np.all(np.diff(records["i"].astype(np.int64) * 1000 + records["j"]) > 0)
    np.random.default_rng(0).shuffle(records)
    records.tofile(tmp_path / "shuffled.bin")
    for name in "x.bin", "shuffled.bin":
        found = C.read_glove(tmp_path / name, co.vocabulary, window=4, weighting=weighting, direction="left")
        for part in "indptr", "indices", "data":
            np.testing.assert_array_equal(getattr(found.matrix, part), getattr(co.matrix, part))
        assert found.matrix.dtype == co.matrix.dtype
        np.testing.assert_array_equal((found + co).matrix.toarray(), 2 * co.matrix.toarray())


def test_records_that_are_wrong(tmp_path):
    record = np.array([(1, 2, 0.5)], [("i", "i4"), ("j", "i4"), ("x", "f8")])
    path = tmp_path / "x.bin"
    record.tofile(path)
    assert C.read_glove(path, ["a", "b"]).matrix.toarray().tolist() == [[0, 0.5], [0, 0]]
    with pytest.raises(ValueError, match="path must hold ids from 1 to 1, the vocabulary's size; got 1 to 2"):
        C.read_glove(path, ["a"])
    with pytest.raises(ValueError, match="path must hold whole numbers for uniform weights; got others in"):
        C.read_glove(path, ["a", "b"], weighting="uniform")
    path.write_bytes(record.tobytes()[:-1])
    with pytest.raises(ValueError, match="path must hold records of 16 bytes; got 15 bytes in"):
        C.read_glove(path, ["a", "b"])


def test_vocabularies(tmp_path):
    vocabulary = C.count(corpus()).vocabulary
    C.write_vocabulary(vocabulary, tmp_path / "v.txt")
    again = C.read_vocabulary(tmp_path / "v.txt")
    assert again.words == vocabulary.words
    np.testing.assert_array_equal(again.counts, vocabulary.counts)
    (tmp_path / "tabs.txt").write_text("\u4e2d\t5\nb 2\n", encoding="utf-8")
    found = C.read_vocabulary(tmp_path / "tabs.txt")
    assert (found.words, found.counts.tolist()) == (("\u4e2d", "b"), [5, 2])
    for text in "a\n", "a x\n", "\n":
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(ValueError, match="path must hold a word and its count in each line; got line 1 of"):
            C.read_vocabulary(tmp_path / "wrong")
    with pytest.raises(ValueError, match="words must have no white space to be written; got 'a b'"):
        C.write_vocabulary(C.Vocabulary(["a b"]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_tools_themselves(tmp_path):
    """GloVe's own programs, where they are installed: a vocabulary above its dense table would be needed to see the
    first cell doubled, so that cell is left out."""
    if not (shutil.which("cooccur") and shutil.which("vocab_count")):
        pytest.skip("needs GloVe's vocab_count and cooccur on the PATH")
    text = "\n".join(corpus()) + "\n"
    counted = subprocess.run(["vocab_count", "-verbose", "0"], input=text.encode(), capture_output=True, check=True)
    (tmp_path / "vocab.txt").write_bytes(counted.stdout)
    vocabulary = C.read_vocabulary(tmp_path / "vocab.txt")
    command = ["cooccur", "-window-size", "6", "-verbose", "0", "-vocab-file", str(tmp_path / "vocab.txt")]
    made = subprocess.run(command, input=text.encode(), capture_output=True, check=True, cwd=tmp_path)
    (tmp_path / "x.bin").write_bytes(made.stdout)
    theirs = C.read_glove(tmp_path / "x.bin", vocabulary, window=6).matrix.toarray()
    ours = C.count(corpus(), window=6, weighting="harmonic", vocabulary=vocabulary).matrix.toarray()
    theirs[0, 0] = ours[0, 0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
