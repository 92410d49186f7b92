"""Pooling, spans and votes beside the convolutions."""

from __future__ import annotations

import numpy as np
import pytest

import kxfast as kx
from kxfast.checks import half_types

attention, largest, mean = kx.conv.attention_pooling, kx.conv.masked_max_pooling, kx.conv.masked_mean_pooling


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def poolings(rng, channels=3):
    hidden, output, bias = rng.standard_normal((channels, 4)), rng.standard_normal((4, 1)), rng.standard_normal(4)
    return {
        "tanh": lambda x, mask=None: attention(x, hidden, output, mask=mask),
        "swish": lambda x, mask=None: attention(x, hidden, output, mask=mask, activation="swish", hidden_bias=bias),
        "max": lambda x, mask=None: largest(x, mask=mask),
        "mean": lambda x, mask=None: mean(x, mask=mask),
    }


NAMES = ("tanh", "swish", "max", "mean")


def test_attention_pooling_is_its_formula(rng):
    x, hidden, output, bias = (rng.standard_normal(shape) for shape in ((2, 5, 3), (3, 4), 4, 4))
    for activation, act in ("tanh", np.tanh), ("swish", lambda z: z / (1 + np.exp(-z))):
        e = np.exp(act(x @ hidden + bias) @ output)
        expected = np.einsum("bl,bld->bd", e / e.sum(1, keepdims=True), x)
        y = attention(x, hidden, output, activation=activation, hidden_bias=bias, output_bias=50.0)
        np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", [0, 1e30, -1e30, np.nan, np.inf])
def test_padding_changes_nothing(rng, name, fill):
    pool = poolings(rng)[name]
    x = rng.standard_normal((2, 5, 3))
    longer = np.concatenate([x, np.full((2, 4, 3), fill)], 1)
    np.testing.assert_allclose(pool(longer, np.arange(9) < [[5], [5]]), pool(x), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_positions_changes_nothing(rng, name):
    pool, x, order = poolings(rng)[name], rng.standard_normal((2, 5, 3)), rng.permutation(5)
    np.testing.assert_allclose(pool(x[:, order]), pool(x), rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_equal_positions_are_their_own_pool(rng, name):
    vector = rng.standard_normal((2, 1, 3))
    np.testing.assert_allclose(poolings(rng)[name](np.repeat(vector, 6, 1)), vector[:, 0], rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_real_positions_give_zero(rng, name):
    pool = poolings(rng)[name]
    y = pool(np.full((2, 3, 3), np.nan), np.zeros((2, 3)))
    np.testing.assert_array_equal(y, np.zeros((2, 3)))
    np.testing.assert_array_equal(pool(np.zeros((2, 0, 3))), np.zeros((2, 3)))
    assert pool(np.zeros((0, 4, 3)), np.zeros((0, 4))).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", half_types(), ids=str)
def test_half_types(rng, name, kind):
    x = rng.standard_normal((2, 5, 3)).astype(kind)
    hidden, output = (rng.standard_normal(shape).astype(kind) for shape in ((3, 4), 4))
    run = {
        "tanh": attention,
        "swish": lambda *a: attention(*a, activation="swish"),
        "max": lambda x, *_: largest(x),
        "mean": lambda x, *_: mean(x),
    }[name]
    y = run(x, hidden, output)
    assert y.dtype == kind
    wide = run(*(each.astype(np.float32) for each in (x, hidden, output)))
    np.testing.assert_array_equal(y, wide.astype(kind))


def test_scores_far_apart_do_not_overflow():
    x = np.array([[[1000.0], [-1000.0]]], np.float32)
    y = attention(x, np.ones((1, 1), np.float32), np.float32([1e4]))
    np.testing.assert_array_equal(y, [[1000]])


def test_keepdims(rng):
    x = rng.standard_normal((2, 5, 3))
    for pool in largest, mean:
        np.testing.assert_array_equal(pool(x, keepdims=True)[:, 0], pool(x))


def test_seq_and_vec(rng):
    x, v = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 2))
    y = kx.conv.seq_and_vec(x, v)
    np.testing.assert_array_equal(y[..., :3], x)
    np.testing.assert_array_equal(y[:, 4, 3:], v)
    np.testing.assert_array_equal(kx.conv.seq_and_vec(x, v[:, None]), y)


# Spans and votes


def brute_force(start, end, passage, threshold, most):
    best = {}
    for i in range(len(passage)):
        for j in range(i, min(i + most, len(passage))):
            if start[i] > threshold and end[j] > threshold:
                span = passage[i : j + 1]
                best[span] = max(best.get(span, 0), start[i] * end[j])
    return best


def test_spans_are_those_of_the_definition(rng):
    for _ in range(20):
        passage = "".join(rng.choice(list("甲乙丙"), 30))
        start, end = rng.random(35) ** 3, rng.random(35) ** 3
        spans = kx.conv.extract_span(start, end, passage, threshold=0.2, max_length=5)
        assert list(spans.items()) == list(brute_force(start, end, passage, 0.2, 5).items())


def test_spans_of_tokens_are_tuples():
    assert kx.conv.extract_span([0.5, 0.0], [0.0, 0.5], ["new", "york"]) == {("new", "york"): 0.25}
    assert kx.conv.extract_span([], [], "") == {}
    assert kx.conv.extract_span([0.1], [1.0], "a") == {}  # above the threshold, not at it


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.7], 0.288235294),
        ([0.2] * 4, 0.088888889),
        ([0.9, 0.3], 0.409090909),
        ([0.6, 0.2], 0.222222222),
        ([0.3, 0.7], 0.29),
        ([0.1, 0.1], 0.016666667),
    ],
)
def test_worked_votes(scores, expected):
    answer, votes = kx.conv.vote([{"a": score} for score in scores])
    assert answer == "a"
    assert votes["a"] == pytest.approx(expected, abs=5.1e-10)


def test_votes_of_equals_go_to_the_first_met():
    answer, votes = kx.conv.vote([{"b": 0.5, "a": 0.5}, {"c": 0.9}, {"d": 0.5}])
    assert answer == "c"
    assert list(votes) == ["c", "b", "a", "d"]
    assert kx.conv.vote([{}, {}]) == (None, {})


def test_a_vote_does_not_depend_on_the_order_of_scores(rng):
    scores = rng.random(6)
    votes = [kx.conv.vote([{"a": s} for s in order])[1]["a"] for order in (scores, scores[::-1])]
    assert votes[0] == pytest.approx(votes[1])


def test_match_features_of_the_worked_example():
    question = ["A", "de", "H", "shi", "duoshao", "?"]
    passage = ["A", "zuoluo", "zai", "GZ", ",", "zhufeng", "H", "3", "8", "2", "mi"]
    match, jaccard, edit = kx.conv.match_features(question, passage).T
    assert match.tolist() == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    np.testing.assert_allclose(jaccard, [1 / 8, 1 / 9, 1 / 10, *[1 / 11] * 6, 1 / 10, 0], rtol=1e-15)
    np.testing.assert_allclose(edit * 6, [5, 5, 5, 5, 6, 6, 6, 5, 6, 6, 6], rtol=1e-15)


def test_match_features_laws():
    assert kx.conv.match_features("abc", "").shape == (0, 3)
    features = kx.conv.match_features("天地", "玄天地黄")
    assert features[2].tolist() == [1, 1, 0]  # the window of token 2 is the question itself
    shifted = kx.conv.match_features("天地", "甲乙玄天地黄")
    np.testing.assert_array_equal(shifted[3:], features[1:])
