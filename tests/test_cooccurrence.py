"""Co-occurrence counts and PMI: the specification's worked numbers, laws, edge cases."""

import numpy as np
import pytest

import kxfast as kx

C = kx.cooccurrence
LINES = ["a b a c", "b c d b", "a b"]
#                 vocabulary: b a c


def near(value, expected, digits=9):
    np.testing.assert_allclose(value, expected, rtol=0, atol=0.51 * 10.0**-digits)


def records(co):
    """The stored cells, with the specification's ids from 1."""
    m = co.matrix.tocoo()
    return [(int(i) + 1, int(j) + 1, float(x)) for i, j, x in zip(*m.coords, m.data, strict=True)]


def random_documents(rng, count=20, words=8):
    return [[chr(97 + w) for w in rng.integers(0, words, rng.integers(0, 12))] for _ in range(count)]


def same(a, b):
    assert a.shape == b.shape
    np.testing.assert_array_equal(a.toarray(), b.toarray())


def test_worked_vocabulary():
    found = C.count(LINES, min_count=2).vocabulary
    assert found.words == ("b", "a", "c")
    assert found.counts.tolist() == [4, 3, 2]
    assert found.id_of == {"b": 0, "a": 1, "c": 2}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"window": 1}, [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]),
        (
            {"window": 2},
            [(1, 1, 2), (1, 2, 3), (1, 3, 3), (2, 1, 3), (2, 2, 2), (2, 3, 1), (3, 1, 3), (3, 2, 1)],
        ),
        (
            {"window": 2, "direction": "left"},
            [(1, 1, 1), (1, 2, 1), (1, 3, 2), (2, 1, 2), (2, 2, 1), (2, 3, 1), (3, 1, 1)],
        ),
        (
            {"window": 2, "weighting": "harmonic"},
            [(1, 1, 1), (1, 2, 3), (1, 3, 2.5), (2, 1, 3), (2, 2, 1), (2, 3, 1), (3, 1, 2.5), (3, 2, 1)],
        ),
    ],
)
def test_worked_records(options, expected):
    found = C.count(LINES, min_count=2, **options)
    assert records(found) == expected
    assert found.matrix.dtype == (np.float64 if "weighting" in options else np.int64)
    off_diagonal = found.matrix.sum() - found.matrix.diagonal().sum()
    if options == {"window": 1}:
        assert off_diagonal == 12
    if options == {"window": 2}:
        assert off_diagonal == 14


@pytest.mark.parametrize(
    ("window", "values"),
    [(1, [0.523248144, 0.523248144, 0.117783036]), (2, [0.369097464, 0.774562572, -0.036367644])],
)
def test_worked_pmi(window, values):
    m = C.pmi(C.count(LINES, min_count=2, window=window)).toarray()
    near([m[0, 1], m[0, 2], m[1, 2]], values)
    near(m, m.T, 15)
    assert np.all(np.diag(m) == 0)


@pytest.mark.parametrize("weighting", ["uniform", "harmonic"])
@pytest.mark.parametrize("window", [1, 3, 50])
def test_counts_by_definition(rng, weighting, window):
    documents = random_documents(rng)
    found = C.count(documents, window=window, weighting=weighting, direction="left")
    size = len(found.vocabulary)
    tally = np.zeros((window + 1, size, size))
    for document in documents:
        ids = [found.vocabulary.id_of[word] for word in document]
        for j, b in enumerate(ids):
            for d in range(1, min(window, j) + 1):
                tally[d, ids[j - d], b] += 1
    share = 1 / np.arange(1, window + 1) if weighting == "harmonic" else np.ones(window)
    np.testing.assert_allclose(found.matrix.toarray(), np.tensordot(share, tally[1:], 1), rtol=1e-14)
    assert np.all(found.matrix.data > 0)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("weighting", ["uniform", "harmonic"])
def test_left_and_right_make_symmetric(rng, weighting):
    documents = random_documents(rng)
    found = {d: C.count(documents, window=4, weighting=weighting, direction=d) for d in ("left", "right", "symmetric")}
    same(found["symmetric"].matrix, found["symmetric"].matrix.T)
    same(found["right"].matrix, found["left"].matrix.T)
    both = (found["left"].matrix + found["right"].matrix).toarray()
    np.testing.assert_allclose(both, found["symmetric"].matrix.toarray(), rtol=1e-15)


def test_total_is_twice_the_number_of_pairs(rng):
    documents = random_documents(rng)
    pairs = sum(sum(min(3, i) for i in range(len(d))) for d in documents)
    assert C.count(documents, window=3).matrix.sum() == 2 * pairs


@pytest.mark.parametrize(("weighting", "window"), [("uniform", 7), ("harmonic", 1), ("harmonic", 7), ("harmonic", 60)])
def test_corpora_add(rng, weighting, window):
    first, second = random_documents(rng, 90), random_documents(rng, 90)
    words = C.count(first + second).vocabulary.words
    options = {"window": window, "weighting": weighting, "vocabulary": words}
    total = C.count(first, **options) + C.count(second, **options)
    whole = C.count(first + second, **options)
    np.testing.assert_allclose(total.matrix.toarray(), whole.matrix.toarray(), rtol=0 if window < 60 else 1e-14)
    assert total.matrix.dtype == whole.matrix.dtype
    assert total.vocabulary.counts.tolist() == whole.vocabulary.counts.tolist()
    assert total.vocabulary.words == words


def test_harmonic_counts_do_not_depend_on_the_order(rng):
    documents = random_documents(rng, 60)
    options = {"window": 10, "weighting": "harmonic", "vocabulary": list("abcdefgh")}
    expected = C.count(documents, **options).matrix
    for _ in range(3):
        rng.shuffle(documents)
        same(C.count(documents, **options).matrix, expected)


def test_harmonic_counts_of_a_window_whose_common_multiple_overflows():
    found = C.count([["x", *"y" * 99]], window=99, weighting="harmonic", direction="left")
    np.testing.assert_allclose(found.matrix[[1], [0]], np.sum(1 / np.arange(1, 100)), rtol=1e-14)


def test_every_kind_of_corpus_gives_the_same(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n")
    expected = C.count(LINES)
    as_ids = [[expected.vocabulary.id_of[word] for word in line.split()] for line in LINES]
    flat = [each for line in as_ids for each in [*line, -1]]
    for corpus in (
        path, str(path), [path], iter(LINES), [line.split() for line in LINES], (tuple(x.split()) for x in LINES),
        np.array(LINES), [x.replace(" ", "\t ") + "\r\n" for x in LINES],
    ):  # fmt: skip
        found = C.count(corpus)
        assert found.vocabulary.words == expected.vocabulary.words
        same(found.matrix, expected.matrix)
    for corpus in np.array(flat), np.array(flat, np.int8), flat[:-1]:
        found = C.count(corpus)
        assert found.vocabulary.words == ("0", "1", "2", "3")
        assert found.vocabulary.counts.tolist() == expected.vocabulary.counts.tolist()
        same(found.matrix, expected.matrix)
    same(C.count(np.array(flat), vocabulary=expected.vocabulary).matrix, expected.matrix)


def test_unknown_words_take_no_place():
    same(C.count(["a x x b"], window=1, vocabulary=["a", "b"]).matrix, C.count(["a b"], window=1).matrix)


def test_largest_vocabulary_and_ties():
    assert C.count(["b a c c B é"], max_size=3).vocabulary.words == ("c", "B", "a")
    assert C.count(["b a c c B é"]).vocabulary.words == ("c", "B", "a", "b", "é")


@pytest.mark.parametrize(
    "corpus", [[], [""], ["one"], ["", "one", "two"], [[]], np.zeros(0, int), np.array([-1, 0, -1])]
)
def test_nothing_to_count(corpus):
    found = C.count(corpus)
    assert found.matrix.nnz == 0
    assert found.matrix.shape == (len(found.vocabulary),) * 2
    assert C.pmi(found).nnz == 0


def test_no_window_and_no_vocabulary():
    assert C.count(LINES, window=0).matrix.nnz == 0
    for empty in C.count(LINES, min_count=9), C.count(LINES, vocabulary=[]), C.count(LINES, max_size=0):
        assert empty.matrix.shape == (0, 0)
    for corpus, times in (LINES, 1), ([*LINES, "a"] * 3, 3):
        whole = C.count(corpus, window=10**9)
        assert whole.matrix.sum() == 2 * (6 + 6 + 1) * times
        same(whole.matrix, C.count(corpus, window=3).matrix)


def test_subsampling_is_seeded_and_thins_frequent_words():
    corpus = [["the"] * 900 + [f"w{i}" for i in range(100)]]
    a, b = (C.count(corpus, subsample=0.01, seed=3) for _ in range(2))
    same(a.matrix, b.matrix)
    kept = dict(zip(a.vocabulary.words, a.vocabulary.counts, strict=True))
    assert 50 < kept["the"] < 150  # 900 * sqrt(0.01 / 0.9) = 95
    assert sum(kept.values()) - kept["the"] == 100


def test_saved_and_loaded(tmp_path):
    found = C.count([*LINES, "中 a"], weighting="harmonic", direction="left", window=3)
    found.save(tmp_path / "x.counts")
    assert [p.name for p in tmp_path.iterdir()] == ["x.counts"]
    again = C.load(tmp_path / "x.counts")
    same(again.matrix, found.matrix)
    assert again.vocabulary.words == found.vocabulary.words
    assert (again.window, again.weighting, again.direction) == (3, "harmonic", "left")
    np.testing.assert_array_equal((again + found).matrix.toarray(), 2 * found.matrix.toarray())
    (tmp_path / "other").write_text("something else")
    with pytest.raises(ValueError, match=r"path must be a file that Cooccurrence.save wrote; got '.*other'"):
        C.load(tmp_path / "other")


def test_pmi_does_not_change_when_all_documents_come_twice(rng):
    documents = random_documents(rng)
    for options in {}, {"smoothing": 0.75, "positive": True}, {"normalized": True}, {"marginals": "rows"}:
        once, twice = (C.pmi(C.count(d), **options).toarray() for d in (documents, documents * 2))
        np.testing.assert_allclose(once, twice, atol=1e-12)


def test_merged_corpora(rng):
    first, second = random_documents(rng, 30, 5), random_documents(rng, 30, 8)
    third = [["z", "z", "a"]]
    options = {"window": 4, "weighting": "harmonic"}
    found = C.merge(C.count(each, **options) for each in (first, second, third))
    whole = C.count(first + second + third, **options)
    assert found.vocabulary.words == whole.vocabulary.words
    assert found.vocabulary.counts.tolist() == whole.vocabulary.counts.tolist()
    same(found.matrix, whole.matrix)
    same(C.merge([whole]).matrix, whole.matrix)


def test_every_two_words_of_a_document(rng):
    documents = random_documents(rng)
    found = C.count(documents, window=None)
    tallies = np.array([[d.count(w) for w in found.vocabulary.words] for d in documents])
    expected = tallies.T @ tallies - np.diag(tallies.sum(axis=0))
    np.testing.assert_array_equal(found.matrix.toarray(), expected)
    assert found.window is None


def test_progress(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a b\n" * 100)
    seen = []
    C.count(path, progress=lambda *each: seen.append(each))
    assert (400, 400, "B") in seen
    assert seen[-1] == (200, 200, "token")
    seen.clear()
    C.count(LINES, memory_limit=1 << 34, progress=lambda *each: seen.append(each))
    assert seen[-1] == (10, 10, "token")


def test_options_of_pmi(rng):
    co = C.count(random_documents(rng, 30, 5), window=1)
    x = co.matrix.toarray().astype(float)
    off = (x > 0) & ~np.eye(len(x), dtype=bool)
    rows = np.where(off, np.log(np.where(off, x, 1) * x.sum() / np.outer(x.sum(1), x.sum(0))), 0)
    np.testing.assert_allclose(C.pmi(co, marginals="rows").toarray(), rows, atol=1e-14)
    plain = C.pmi(co).toarray()
    np.testing.assert_allclose(C.pmi(co, shift=0.1).toarray(), np.where(off, plain - 0.1, 0), atol=1e-14)
    positive = C.pmi(co, positive=True, shift=0.1)
    np.testing.assert_allclose(positive.toarray(), np.maximum(np.where(off, plain - 0.1, 0), 0), atol=1e-14)
    assert positive.nnz == np.count_nonzero(off & (plain > 0.1))
    joint = -np.log(np.where(off, x, 1) / x[off].sum())
    np.testing.assert_allclose(C.pmi(co, normalized=True).toarray(), np.where(off, plain / joint, 0), atol=1e-14)
    c = co.vocabulary.counts / co.vocabulary.counts.sum()
    context = co.vocabulary.counts**0.75 / np.sum(co.vocabulary.counts**0.75)
    expected = np.where(off, np.log(np.where(off, x, 1) / x[off].sum() / np.outer(c, context)), 0)
    np.testing.assert_allclose(C.pmi(co, smoothing=0.75).toarray(), expected, atol=1e-14)


def test_a_word_that_always_comes_with_another_has_normalized_pmi_one():
    co = C.count(["a b"] * 3 + ["c d"] * 5, window=1)
    np.testing.assert_allclose(C.pmi(co, normalized=True, marginals="rows").data, 1.0)
