"""Word vectors: one worked update, laws of the trainers, and what vectors are asked."""

from itertools import pairwise

import numpy as np
import pytest
from test_cooccurrence import LINES, near

import kxfast as kx
from kxfast.backends.native import cooccurrence as native
from kxfast.backends.reference import cooccurrence as reference
from kxfast.cooccurrence import training

C = kx.cooccurrence


def corpus(words=12, documents=80, seed=1):
    rng = np.random.default_rng(seed)
    topics = rng.random((3, words)) ** 4
    return [
        [f"w{i}" for i in rng.choice(words, 10, p=t / t.sum())] for t in topics[rng.integers(0, 3, documents)]
    ]  # fmt: skip


def trained(rows, columns, values, weights, start, eta=0.1, make=reference.trainer):
    """One epoch on records in their order; vectors and cost."""
    whole = np.array([0, len(rows)])
    columns, rows = np.array(columns, np.int32), np.array(rows, np.int32)
    values, weights = np.array(values, float), np.array(weights, float)
    order = np.arange(len(rows))
    trainer = make(rows, columns, values, weights, order, whole, np.array([0, 1]), start, None, eta, 1)
    cost = trainer.epoch(None)
    return trainer.vectors(False), cost


TRAINERS = [reference.trainer, native.trainer]


@pytest.mark.parametrize("make", TRAINERS)
def test_worked_update(make):
    value = C.pmi(C.count(LINES, min_count=2, window=2))[0, 1]
    weight = (3 / 100) ** 0.75
    near([-0.025 - value, weight], [-0.394097464, 0.072084342])
    start = np.array([[0.1, -0.2], [0.05, 0.15]])
    vectors, cost = trained([0], [1], [value], [weight], start, make=make)
    near([cost], [0.005597811])
    near(vectors, [[0.1001420411, -0.1995738800], [0.0502840814, 0.1494318440]], 10)
    single, cost = trained([0], [1], [value], [weight], start.astype(np.float32), make=make)
    near(single, [[0.10014204, -0.19957388], [0.05028408, 0.14943184]], 6)
    near([cost], [0.0055978], 7)
    q = weight * (-0.025 - value)
    near(q * start[1], [-0.0014204128, -0.0042612385], 10)
    near(q * start[0], [-0.0028408257, 0.0056816513], 10)
    near(1 + (q * start[1]) ** 2, [1.0000020176, 1.0000181582], 10)
    near(1 + (q * start[0]) ** 2, [1.0000080703, 1.0000322812], 10)


@pytest.mark.parametrize("model", [0, 1, 2])
@pytest.mark.parametrize("truncate", [True, False])
def test_training_is_deterministic_and_lowers_the_loss(model, truncate):
    co = C.count(corpus())
    options = {"dim": 5, "epochs": 6, "model": model, "truncate": truncate, "x_max": 20, "seed": 4}
    a, b = C.word_vectors(co, **options), C.word_vectors(co, **options)
    np.testing.assert_array_equal(a.vectors, b.vectors)
    assert a.vectors.shape == (len(co.vocabulary), 10 if model == 1 else 5)
    assert np.all(np.diff(a.costs) < 0)


def test_models_one_and_two_are_the_same_two_halves():
    co = C.count(corpus())
    both, summed = (C.word_vectors(co, dim=4, epochs=2, model=m, seed=1).vectors for m in (1, 2))
    np.testing.assert_allclose(both[:, :4] + both[:, 4:], summed)


def test_gradient_of_the_loss():
    rng = np.random.default_rng(0)
    v, weight, value, h = rng.standard_normal((2, 3)), 0.7, 0.4, 1e-6
    loss = lambda v: 0.5 * weight * (v[0] @ v[1] - value) ** 2
    eta = 1e-9  # so small that the step is the gradient, divided by the root of the updated accumulator
    moved, _ = trained([0], [1], [value], [weight], v, eta)
    for place in np.ndindex(*v.shape):
        step = np.zeros_like(v)
        step[place] = h
        slope = (loss(v + step) - loss(v - step)) / (2 * h)
        assert (v - moved)[place] / eta == pytest.approx(slope / np.sqrt(1 + slope**2 + 1e-8), rel=1e-5)


@pytest.mark.parametrize("make", TRAINERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_records_that_are_not_finite_are_passed_over(make, dtype):
    start = np.array([[1.0, 2.0], [3.0, 4.0]], dtype)
    moved, cost = trained([0, 1], [1, 0], [np.inf, 1.0], [1.0, np.inf], start, make=make)
    np.testing.assert_array_equal(moved, start)
    assert cost == 0
    start[0, 0] = np.nan
    moved, cost = trained([0], [1], [0.5], [1.0], start, make=make)
    np.testing.assert_array_equal(moved, start)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", [0, 1])
def test_vectors_do_not_depend_on_threads(dtype, model):
    co = C.count(corpus(words=150, documents=600))
    options = {"dim": 7, "epochs": 3, "seed": 2, "dtype": dtype, "model": model}
    one, three = (C.word_vectors(co, threads=threads, **options) for threads in (1, 3))
    np.testing.assert_array_equal(one.vectors, three.vectors)
    np.testing.assert_array_equal(one.costs, three.costs)
    assert one.vectors.dtype == dtype


@pytest.mark.parametrize("size", [3, 63, 64, 500])
def test_tasks_of_a_round_share_no_word(size):
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, size, (2, 5000)).astype(np.int32)
    order, tasks, rounds = training._plan(rows, columns, size, 3000, rng)
    np.testing.assert_array_equal(np.sort(order), np.arange(5000))
    assert (rounds[0], rounds[-1], tasks[0], tasks[-1]) == (0, len(tasks) - 1, 0, 5000)
    for begin, end in pairwise(rounds):
        words = [set(rows[order[a:b]]) | set(columns[order[a:b]]) for a, b in pairwise(tasks[begin : end + 1])]
        assert sum(map(len, words)) == len(set().union(*words))


def test_what_is_heard_of_the_training():
    co, heard, seen = C.count(corpus()), [], []
    hear = lambda *each: heard.append(each)
    found = C.word_vectors(co, dim=3, epochs=4, seed=0, on_epoch=hear, progress=lambda *each: seen.append(each))
    assert heard == list(enumerate(found.costs, 1))
    pairs = co.matrix.nnz - np.count_nonzero(co.matrix.diagonal())
    assert seen[-1] == (4 * pairs, 4 * pairs, "pair")
    assert seen == sorted(seen)


def test_svd_reproduces_a_positive_matrix_of_low_rank():
    co = C.count(corpus())
    full = C.word_vectors(co, dim=len(co.vocabulary), method="svd", seed=0, dtype=float).vectors
    m = C.pmi(co, positive=True).toarray()
    u, s, _ = np.linalg.svd(m)
    np.testing.assert_allclose(np.abs(full.T @ full), np.diag(s), atol=1e-8)
    few = C.word_vectors(co, dim=3, method="svd", seed=1, n_iter=30, dtype=float).vectors
    np.testing.assert_allclose(np.abs(few), np.abs(u[:, :3] * np.sqrt(s[:3])), atol=1e-6)


@pytest.fixture
def wv():
    return C.WordVectors(np.random.default_rng(2).standard_normal((30, 6)), [f"w{i}" for i in range(30)])


def test_similarity_is_the_correlation_of_profiles(wv):
    for first in 20, 100_000:
        profiles = wv.vectors @ wv.vectors[:first].T
        expected = np.corrcoef(profiles)[3]
        found = dict(wv.most_similar("w3", 30, first=first))
        np.testing.assert_allclose([found[f"w{i}"] for i in range(30)], expected, atol=1e-7)
        assert next(iter(found)) == "w3"


def test_similarity_with_fewer_words_than_dimensions():
    few = C.WordVectors(np.random.default_rng(0).standard_normal((3, 5)), ["a", "b", "c"])
    assert few.most_similar("a", 1)[0][0] == "a"


def test_rankings(wv):
    e = wv.vectors / np.linalg.norm(wv.vectors, axis=1, keepdims=True)
    best = np.argsort(-(e @ e[7]))[:5]
    assert [word for word, _ in wv.most_correlated("w7", 5)] == [f"w{i}" for i in best]
    inner = wv.vectors @ wv.vectors[7]
    assert wv.most_correlated("w7", 1, normalize=False)[0][1] == pytest.approx(inner.max())
    query = wv["w1"] + wv["w2"] - wv["w3"]
    scores = e @ query / np.linalg.norm(query)
    assert wv.analogy("w1", "w2", "w3", 1)[0] == (f"w{np.argmax(scores)}", pytest.approx(scores.max()))


def test_equal_scores_go_by_the_lower_id():
    tied = C.WordVectors(np.ones((4, 2)), ["d", "c", "b", "a"])
    assert [word for word, _ in tied.most_correlated("a", 3)] == ["d", "c", "b"]
    assert tied.most_correlated("a", 0) == []


def test_keywords_and_sentences(wv):
    total = wv["w1"] * 2 + wv["w5"]
    expected = sorted(((w, float(wv[w] @ total)) for w in ("w1", "w5")), key=lambda each: -each[1])
    found = wv.keywords("w1 nothing w5 w1")
    assert [w for w, _ in found] == [w for w, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected])
    np.testing.assert_allclose(wv.sentence_vector(["w1", "w5", "w1"], mean=True), total / 3)
    assert wv.sentence_similarity("w1 w1", ["w1"]) == pytest.approx(1)
    assert wv.keywords("nothing") == []
    assert wv.sentence_vector("").tolist() == [0] * 6
    assert wv.sentence_similarity("", "w1") == 0


@pytest.mark.parametrize("header", [True, False])
def test_word2vec_text(wv, tmp_path, header):
    wv.save_word2vec(tmp_path / "v.txt", header=header)
    again = C.WordVectors.load(tmp_path / "v.txt")
    np.testing.assert_array_equal(again.vectors, wv.vectors)
    assert again.vocabulary.words == wv.vocabulary.words
    wv.save_word2vec(tmp_path / "u.txt", header=header, unknown=True)
    np.testing.assert_allclose(C.WordVectors.load(tmp_path / "u.txt")["<unk>"], wv.vectors.mean(axis=0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["u.txt", "v.txt"]


def test_what_cannot_be_written_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="words must have no white space to be written; got 'a b'"):
        C.WordVectors(np.ones((1, 2)), ["a b"]).save_word2vec(tmp_path / "v.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_real_corpus_puts_kings_next_to_dukes(shared_data):
    from itertools import islice

    from kxfast.corpus import documents

    text = islice(documents(shared_data / "text" / "en_books_dev.txt.xz"), 20_000)
    wv = C.word_vectors(C.count(text, min_count=20), dim=50, method="svd", seed=0)
    assert {"duke", "prince", "queen"} & {word for word, _ in wv.most_similar("king", 10)}
