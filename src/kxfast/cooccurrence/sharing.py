"""A corpus counted in shards by the workers of an executor: a pass for the vocabulary, then one for the pairs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.counting import Rules, Run, Tokens
from kxfast.cooccurrence.reading import Reader, given_vocabulary
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.shards import SIZE, reduced, shards

_STEP = 16 << 20  # bytes of a run's parts


@dataclass(frozen=True)
class Ids:
    """A part of a corpus of ids; documents are whole."""

    numbers: checks.Array


@dataclass(frozen=True)
class Job:
    """A shard, and how many numbers come before it."""

    piece: Any
    start: int


@dataclass
class Census:
    """The words of neighbouring shards, and how many numbers each shard has."""

    words: list[str]
    counts: checks.Array
    sizes: list[int]


@dataclass
class Pairs:
    """Pairs and words of neighbouring shards."""

    run: Run
    counts: checks.Array


def census(piece: Any, rules: Rules) -> Census:
    """Count the words of a shard."""
    reader = Reader(rules.errors, rules.backend, rules.threads)
    size = sum(map(len, reader.pieces(piece)))
    counts = reader.tokenizer.counts()
    return Census(reader.words(np.arange(len(counts))), counts, [size])


def both(first: Census, second: Census) -> Census:
    """Add the words of neighbours."""
    number = {word: i for i, word in enumerate(first.words)}
    ids = np.array([number.setdefault(word, len(number)) for word in second.words], np.int64)
    counts = np.concatenate([first.counts, np.zeros(len(number) - len(first.counts), np.int64)])
    counts[ids] += second.counts
    return Census(list(number), counts, first.sizes + second.sizes)


def counted(job: Job, rules: Rules, vocabulary: Vocabulary) -> Pairs:
    """Count the pairs of a shard; the vocabulary has the counts of the whole corpus."""
    if isinstance(job.piece, Ids):
        found, tokens = vocabulary, Tokens([job.piece.numbers], None, vocabulary)
        if rules.subsample is None:
            ids = job.piece.numbers
            found = Vocabulary(vocabulary.words, np.bincount(ids[ids >= 0], minlength=len(vocabulary)))
    else:
        reader = Reader(rules.errors, rules.backend, rules.threads)
        pieces = list(reader.pieces(job.piece))
        found, rank = given_vocabulary(reader.words, reader.tokenizer.counts(), vocabulary)
        tokens = Tokens(pieces, rank, vocabulary)
    if rules.subsample is not None:
        tokens = tokens.thinned(rules, job.start)
        found = tokens.vocabulary
    counter = rules.counter(list(tokens.pieces), tokens.rank, len(vocabulary))
    return Pairs(counter.count(0, counter.groups, None), found.counts)


def added(first: Pairs, second: Pairs, rules: Rules, size: int) -> Pairs:
    """Add the pairs of neighbours."""
    merger = rules.merger([first.run, second.run], size)
    run = []
    while (part := merger.take(_STEP)) is not None:
        run.append(part)
    return Pairs(run, first.counts + second.counts)


def divided(ids: checks.Array, size: int) -> list[Ids]:
    """Divide ids behind breaks into parts of about `size` bytes."""
    breaks = np.flatnonzero(ids < 0) + 1
    wanted = np.arange(size // 4, len(ids), max(1, size // 4))
    ends = breaks[np.unique(np.searchsorted(breaks, wanted)).clip(max=len(breaks) - 1)] if len(breaks) else []
    bounds = [0, *(int(end) for end in ends if end < len(ids)), len(ids)]
    return [Ids(ids[a:b]) for a, b in zip(bounds, bounds[1:], strict=False) if b > a]


def by_executor(
    corpus: Any, given: Vocabulary | None, rules: Rules, executor: Executor,
    report: Callable[[int, int], None] | None, size: int | None = None,
) -> tuple[Run, Vocabulary]:  # fmt: skip
    """Return the pairs of a corpus as one run, and its vocabulary."""
    size = SIZE if size is None else size
    pieces: list[Any] = divided(corpus.numbers, size) if isinstance(corpus, Ids) else list(shards(corpus, size))
    starts = np.zeros(len(pieces), np.int64)
    vocabulary = given
    if isinstance(corpus, Ids):
        starts[1:] = np.cumsum([len(each.numbers) for each in pieces[:-1]])
    elif given is None or rules.subsample is not None:
        words = reduced(executor, partial(census, rules=rules), pieces, both) or Census([], np.zeros(0, np.int64), [])
        starts[1:] = np.cumsum(words.sizes[:-1])
        texts = words.words
        vocabulary, _ = rules.vocabulary(lambda numbers: [texts[i] for i in numbers], words.counts, given)
    assert vocabulary is not None
    jobs = [Job(piece, int(start)) for piece, start in zip(pieces, starts, strict=True)]
    count = partial(counted, rules=rules, vocabulary=vocabulary)
    combine = partial(added, rules=rules, size=len(vocabulary))
    pairs = reduced(executor, count, jobs, combine, report) or Pairs([], np.zeros(len(vocabulary), np.int64))
    return pairs.run, Vocabulary(vocabulary.words, pairs.counts)
