"""kxfast cooccur, and how vectors are scored."""

import numpy as np
import pytest

import kxfast as kx
from kxfast.cli import main
from kxfast.cli.cooccur import in_bytes
from kxfast.cooccurrence import quality

C = kx.cooccurrence


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(4)
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(f"w{i}" for i in rng.zipf(1.5, 20) % 50) for _ in range(200)))
    return path


def test_counts_vocabulary_and_records(corpus, tmp_path, capsys):
    counts, words, records = tmp_path / "counts", tmp_path / "words", tmp_path / "x.bin"
    call = ["cooccur", str(corpus), "--window", "4", "--min-count", "2", "--weighting", "harmonic"]
    targets = ["-o", str(counts), "--write-vocabulary", str(words), "--write-glove", str(records)]
    expected = C.count(corpus, window=4, min_count=2, weighting="harmonic")
    for more in [], ["--memory-limit", "300M"]:
        assert main([*call, *targets, *more]) == 0
        told = capsys.readouterr()
        assert told.out == ""
        assert f"{len(expected.vocabulary)} words, {expected.vocabulary.counts.sum()} tokens" in told.err
        assert "\r" not in told.err  # progress is for terminals
        found = C.load(counts)
        np.testing.assert_array_equal(found.matrix.toarray(), expected.matrix.toarray())
        assert C.read_vocabulary(words).words == expected.vocabulary.words
        again = C.read_glove(records, expected.vocabulary)
        np.testing.assert_array_equal(again.matrix.toarray(), expected.matrix.toarray())
    assert main(["cooccur", str(corpus), "--window", "all", "--vocabulary", str(words), "-o", str(counts)]) == 0
    whole = C.count(corpus, window=None, vocabulary=expected.vocabulary)
    np.testing.assert_array_equal(C.load(counts).matrix.toarray(), whole.matrix.toarray())


@pytest.mark.parametrize("method", ["pmi", "svd"])
def test_vectors_and_scores(corpus, tmp_path, capsys, method):
    (tmp_path / "sim_xx_some.tsv").write_text("w1\tw2\t3.5\nW1\tw3\t1\nw1\tnone\t2\nw2\tw3\t2\n")
    (tmp_path / "analogy_xx_few.txt").write_text(": section\nw1 w2 w3 w4\nw1 w2 w3 none\n")
    call = ["cooccur", str(corpus), "--vectors", str(tmp_path / "v"), "--dim", "6", "--epochs", "2", "--seed", "3"]
    assert main([*call, "--method", method, "--score", str(tmp_path), "--language", "xx"]) == 0
    told = capsys.readouterr()
    assert ("epoch 2: loss" in told.err) == (method == "pmi")
    expected = C.word_vectors(C.count(corpus, window=10, min_count=5), dim=6, epochs=2, seed=3, method=method)
    found = C.WordVectors.load(tmp_path / "v")
    np.testing.assert_allclose(found.vectors, expected.vectors, rtol=1e-6)
    similarity, analogy = told.out.splitlines()
    assert similarity.split()[:2] == ["some", "similarity"]
    assert similarity.endswith("3 of 4 known")
    assert analogy.split()[:2] == ["few", "analogy"]
    assert analogy.endswith("1 of 2 known")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no file"], "one of --output, --write-vocabulary, --write-glove, --vectors, --score must say what is to be"),
        (["no file", "-o", "x"], "corpus must be an existing file; got 'no file'"),
        ([__file__, "-o", "x", "--window", "ten"], "--window must be a whole number or 'all'; got 'ten'"),
        (
            [__file__, "-o", "x", "--memory-limit", "1T"],
            "--memory-limit must be bytes, or a number with K, M or G; got",
        ),
        ([__file__, "--score", "nowhere"], "--score must be an existing folder; got 'nowhere'"),
        (
            [__file__, "-o", "nowhere/x", "--memory-limit", "1G"],
            "output must be in an existing folder; got 'nowhere/x'",
        ),
    ],
)
def test_wrong_calls(arguments, words, capsys):
    assert main(["cooccur", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_sizes():
    assert [in_bytes(text) for text in ("7", "2k", "512M", "1G")] == [7, 2048, 512 << 20, 1 << 30]


def test_ranks_share_their_mean():
    np.testing.assert_array_equal(quality.ranks(np.array([3.0, 1, 3, 2, 3])), [4, 1, 4, 2, 4])


def test_scores_of_known_vectors():
    wv = C.WordVectors([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], ["a", "b", "c", "d"])
    assert quality.correlation(wv, [("a", "b", 9), ("a", "d", 3), ("a", "c", 1)]) == (pytest.approx(1), 3)
    assert quality.correlation(wv, [("a", "b", 1), ("a", "d", 3), ("a", "c", 9)]) == (pytest.approx(-1), 3)
    assert quality.correlation(wv, [("a", "x", 1)]) == (0, 0)
    king = C.WordVectors(
        [[1.0, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1], [5, 5, 0]], ["king", "man", "queen", "woman", "x"]
    )
    questions = [("man", "king", "woman", "queen"), ("man", "woman", "king", "queen"), ("king", "man", "queen", "x")]
    assert quality.solved(king, questions) == (pytest.approx(2 / 3), 3)


@pytest.mark.parametrize("text", ["a\tb\n", "a\tb\tc\n"])
def test_sets_that_are_wrong(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(ValueError, match="path must hold word, word, number in each line; got line 1 of"):
        quality.pairs_of(tmp_path / "x")
    with pytest.raises(ValueError, match="path must hold four words in each line; got line 1 of"):
        quality.questions_of(tmp_path / "x")
