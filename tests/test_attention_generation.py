"""Caches, beam search, sampling and tries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import kxfast as kx

m = kx.masks


@pytest.fixture
def rng():
    return np.random.default_rng(13)


# Caches


@pytest.mark.parametrize("cuts", [[1] * 7, [3, 1, 3], [7]])
@pytest.mark.parametrize("padded", [False, True])
def test_decoding_is_causal_attention_in_pieces(rng, cuts, padded):
    q, k, v = (rng.standard_normal((2, heads, 7, 3)) for heads in (4, 2, 2))
    padding = m.padding(~(np.arange(7) < [[2], [0]])) if padded else m.padding(7)
    expected = kx.attention.scaled_dot_product_attention(q, k, v, mask=m.causal() & padding)
    cache = kx.attention.KVCache(2, 2, 3, dtype="float64", capacity=2)
    pieces, end = [], 0
    for n in cuts:
        now = slice(end, end := end + n)
        real = padding.pattern(2, 1, n, 7)[..., :end] if padded else None
        pieces.append(kx.attention.decode(q[:, :, now], k[:, :, now], v[:, :, now], cache, mask=real))
    np.testing.assert_allclose(np.concatenate(pieces, 2), expected, atol=1e-13)
    assert len(cache) == 7
    np.testing.assert_array_equal(cache.keys, k)
    np.testing.assert_array_equal(cache.values, v)


def test_cache_rows_can_be_reordered_and_cut(rng):
    k = rng.standard_normal((3, 1, 4, 2)).astype(np.float32)
    cache = kx.attention.KVCache(3, 1, 2)
    cache.append(k, k)
    cache.select([2, 2])
    cache.truncate(3)
    np.testing.assert_array_equal(cache.keys, k[[2, 2], :, :3])
    assert cache.keys.dtype == np.float32


def test_a_wrong_decode_leaves_the_cache_alone(rng):
    cache = kx.attention.KVCache(1, 1, 2)
    one = np.zeros((1, 1, 1, 2))
    with pytest.raises(ValueError, match="q must have shape"):
        kx.attention.decode(np.zeros((1, 1, 2, 2)), one, one, cache)
    with pytest.raises(ValueError, match="mask must broadcast"):
        kx.attention.decode(one, one, one, cache, mask=np.ones((3, 3)))
    assert len(cache) == 0


# Beam search


def language(rng, vocabulary=4, sharpness=2.0):
    """Next-token probabilities that depend on the whole prefix, as a function of prefixes alone."""
    seed = int(rng.integers(2**31))

    def step(ids, rows):
        tables = [np.random.default_rng([seed, *row]).random(vocabulary) ** sharpness for row in ids]
        p = np.array(tables)
        return p / p.sum(1, keepdims=True)

    return step


def exhaustive(step, end_id, max_length):
    """The most probable of all sequences that end, or are as long as allowed."""
    best, winner = -np.inf, None
    vocabulary = step(np.zeros((1, 0), int), None).shape[1]
    for length in range(1, max_length + 1):
        for ids in itertools.product(range(vocabulary), repeat=length):
            if end_id in ids[:-1] or (ids[-1] != end_id and length < max_length):
                continue
            prefixes = [np.array([ids[:t]], int).reshape(1, t) for t in range(length)]
            score = sum(np.log(step(prefix, None)[0, ids[t]] + 1e-12) for t, prefix in enumerate(prefixes))
            if score > best:
                best, winner = score, ids
    return list(winner), best


def test_a_wide_beam_finds_the_best_sequence(rng):
    """With all 4^3 sequences kept, and none complete before the last length, the search is exhaustive."""
    for _ in range(5):
        step = language(rng)
        ids, score = kx.attention.beam_search(step, end_id=3, max_length=3, beam=64, min_length=3)
        candidates = {}
        for tokens in itertools.product(range(4), repeat=3):
            prefixes = [np.array(tokens[:t], int).reshape(1, t) for t in range(3)]
            candidates[tokens] = sum(np.log(step(p, None)[0, tokens[t]] + 1e-12) for t, p in enumerate(prefixes))
        best = max(candidates, key=candidates.__getitem__)
        assert ids.tolist() == list(best)
        assert score == pytest.approx(candidates[best])


def test_a_beam_of_one_is_greedy(rng):
    step = language(rng)
    ids, _ = kx.attention.beam_search(step, end_id=3, max_length=6)
    prefix = np.zeros((1, 0), int)
    while prefix.shape[1] < 6 and (prefix.shape[1] == 0 or prefix[0, -1] != 3):
        prefix = np.append(prefix, [[step(prefix, None)[0].argmax()]], 1)
    assert ids.tolist() == prefix[0].tolist()


def test_never_better_than_the_best_of_all_sequences(rng):
    step = language(rng)
    ids, score = kx.attention.beam_search(step, end_id=0, max_length=3, beam=3)
    _, best = exhaustive(step, 0, 3)
    assert score <= best + 1e-12
    assert 0 not in ids[:-1]


def test_ties_go_to_the_lower_flat_index():
    uniform = lambda ids, rows: np.full((len(ids), 3), 1 / 3)
    ids, score = kx.attention.beam_search(uniform, end_id=2, max_length=3, beam=2)
    assert ids.tolist() == [0, 0, 0]
    assert score == pytest.approx(3 * np.log(1 / 3))


def test_finished_beams_that_are_not_the_best_are_dropped():
    """An end is second best at the first step: the beam shrinks to one sequence and stays so."""
    widths = []

    def step(ids, rows):
        widths.append(len(ids))
        return np.tile([0.1, 0.5, 0.4] if ids.shape[1] else [0.3, 0.5, 0.2], (len(ids), 1))

    ids, _ = kx.attention.beam_search(step, end_id=0, max_length=4, beam=2)
    assert ids.tolist() == [1, 1, 1, 1]
    assert widths == [1, 1, 1, 1]


def test_lengths_count_the_start_and_ends_can_be_asked_for_twice():
    always = lambda ids, rows: np.tile([0.9, 0.1], (len(ids), 1))
    run = lambda **keywords: kx.attention.beam_search(always, end_id=0, max_length=9, **keywords)[0].tolist()
    assert run() == [0]
    assert run(min_length=3) == [0, 0, 0]
    assert run(min_length=3, start=[1]) == [1, 0, 0]
    assert run(min_ends=2) == [0, 0]


def test_rows_tell_which_sequence_continues(rng):
    """A cache kept with `rows` holds the very prefixes that are given."""
    plain, cache = language(rng), np.zeros((1, 0), int)

    def step(ids, rows):
        nonlocal cache
        cache = np.append(cache[rows], ids[:, -1:], 1)
        np.testing.assert_array_equal(cache, ids)
        return plain(ids, rows)

    kx.attention.beam_search(step, end_id=0, max_length=6, beam=3, min_length=5, start=[1])
    cache = np.zeros((5, 0), int)
    kx.attention.sample(step, 5, end_id=0, max_length=6, start=[1], seed=1)


# Tries


PASSAGES = [[1, 2, 3, 1, 2, 4], [2, 4, 4]]


def is_piece(ids):
    text = "".join(map(str, ids))
    return any(text in "".join(map(str, passage)) for passage in PASSAGES)


def test_a_trie_knows_what_follows_in_any_passage(rng):
    trie = kx.attention.Trie(PASSAGES)
    for length in range(4):
        for prefix in itertools.product(range(1, 5), repeat=length):
            expected = [t for t in range(1, 5) if is_piece((*prefix, t))]
            assert trie.following(prefix).tolist() == expected
    assert kx.attention.Trie(PASSAGES, max_length=2).following([1, 2]).size == 0


def test_a_trie_restricts_beams_and_samples_to_pieces(rng):
    trie = kx.attention.Trie(PASSAGES)
    longest = 0
    for _ in range(20):
        step = language(rng, 7)
        outputs = [kx.attention.beam_search(step, end_id=0, max_length=5, beam=3, trie=trie, start=[6, 5])[0]]
        outputs += kx.attention.sample(step, 5, end_id=0, max_length=5, trie=trie, start=[6, 5], seed=rng)
        for ids in outputs:
            assert ids[:2].tolist() == [6, 5]
            assert is_piece(ids[2:-1] if ids[-1] == 0 else ids[2:])
            longest = max(longest, len(ids) - 2)
    assert longest == 5


def test_where_nothing_allowed_is_probable_the_end_comes():
    nothing = lambda ids, rows: np.tile([0.0, 0, 0, 0, 0, 1], (len(ids), 1))
    trie = kx.attention.Trie(PASSAGES)
    assert kx.attention.sample(nothing, end_id=0, max_length=5, trie=trie)[0].tolist() == [0]


# Sampling


def frequencies(p, n=4000, **keywords):
    step = lambda ids, rows: np.tile(p, (len(ids), 1))
    drawn = np.array(kx.attention.sample(step, n, end_id=0, max_length=1, seed=3, **keywords))
    return np.bincount(drawn[:, 0], minlength=len(p)) / n


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_k": 2}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_p": 0.4}, [0, 1, 0, 0]),
        ({"top_p": 0.5}, [0, 4 / 7, 3 / 7, 0]),
        ({"top_p": 5}, [0.1, 0.4, 0.3, 0.2]),
        ({"top_k": 3, "top_p": 0.7}, [0, 4 / 7, 3 / 7, 0]),  # of the renormalised 4/9, 3/9, 2/9
        ({"temperature": 0.5}, np.array([1, 16, 9, 4]) / 30),
    ],
)
def test_sampled_frequencies(keywords, expected):
    share = frequencies([0.1, 0.4, 0.3, 0.2], **keywords)
    np.testing.assert_allclose(share, expected, atol=0.03)
    assert not share[np.array(expected) == 0].any()


def test_same_seed_same_sequences(rng):
    step = language(rng)
    run = lambda seed: [ids.tolist() for ids in kx.attention.sample(step, 6, end_id=0, max_length=8, seed=seed)]
    assert run(1) == run(1)
    assert run(1) != run(2)
    assert all(0 not in ids[:-1] for ids in run(1))
