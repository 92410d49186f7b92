"""How a corpus becomes an array of word ids with breaks."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.corpus import bad_byte, chunks, is_list_of_files
from kxfast.dispatch import implementation

_UNKNOWN, _BREAK = -2, -1


def numbered(corpus: Any, errors: str, backend: str | None) -> tuple[checks.Array, list[str]]:
    """Return the numbers of all tokens, with -1 after each document, and the words by number, as they first come."""
    tokenizer = implementation("cooccurrence", "Tokenizer", backend)()
    if isinstance(corpus, (str, os.PathLike)) or (isinstance(corpus, (list, tuple)) and is_list_of_files(corpus)):
        paths = [corpus] if isinstance(corpus, (str, os.PathLike)) else corpus
        for path in [checks.readable_file("corpus", each) for each in paths]:
            _read_file(tokenizer, path, errors)
    elif isinstance(corpus, (bytes, bytearray)) or not isinstance(corpus, Iterable):
        raise TypeError(f"corpus must be a path, paths, strings, token lists or ids; got {type(corpus).__name__}")
    else:
        for each in corpus if isinstance(corpus, (list, tuple)) else ():
            if isinstance(each, os.PathLike):
                checks.readable_file("corpus", each)
        for each in corpus:
            _read_member(tokenizer, each, errors)
    return tokenizer.take_numbers(), tokenizer.words()


def _read_file(tokenizer: Any, path: Path, errors: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace") if errors == "replace" else None
    for data in chunks(path, "corpus"):
        bad = tokenizer.feed(data if decoder is None else decoder.decode(data).encode())
        if bad is not None:
            raise bad_byte(bad[1], bad[0], path, "corpus")
    if decoder is not None:
        tokenizer.feed(decoder.decode(b"", final=True).encode())
    bad = tokenizer.finish()
    if bad is not None:
        raise bad_byte(bad[1], bad[0], path, "corpus")


def _read_member(tokenizer: Any, member: Any, errors: str) -> None:
    if isinstance(member, str):
        tokenizer.add_document(member)
    elif isinstance(member, os.PathLike):
        _read_file(tokenizer, checks.readable_file("corpus", member), errors)
    elif isinstance(member, (bytes, bytearray)) or not isinstance(member, Iterable):
        raise TypeError(f"corpus must hold paths, strings or lists of tokens; got {type(member).__name__}")
    else:
        words = list(member)
        for word in words:
            if not isinstance(word, str):
                raise TypeError(f"corpus must hold lists of str; got a list with {type(word).__name__}")
        tokenizer.add_tokens(words)


def with_new_vocabulary(
    raw: checks.Array, words: list[str], min_count: int, max_size: int | None
) -> tuple[checks.Array, Vocabulary]:
    """Return the ids of a corpus and its vocabulary, the most frequent words first, equal ones in their order."""
    counts = np.bincount(raw[raw >= 0], minlength=len(words))
    order = sorted(np.flatnonzero(counts >= min_count).tolist(), key=lambda i: (-counts[i], words[i]))[:max_size]
    rank = np.full(len(words) + 1, _UNKNOWN)
    rank[order] = np.arange(len(order))
    return _ranked(raw, rank), Vocabulary([words[i] for i in order], counts[order])


def with_given_vocabulary(
    raw: checks.Array, words: list[str], vocabulary: Vocabulary
) -> tuple[checks.Array, Vocabulary]:
    """Return the ids of a corpus in a vocabulary, and this with the corpus's counts."""
    rank = np.array([*(vocabulary.id_of.get(word, _UNKNOWN) for word in words), _BREAK], np.int64)
    ids = _ranked(raw, rank)
    return ids, recounted(ids, vocabulary)


def _ranked(raw: checks.Array, rank: checks.Array) -> checks.Array:
    rank[-1] = _BREAK  # the entry of breaks, which are -1
    ids = rank[raw]
    return ids if rank.min() > _UNKNOWN else ids[ids != _UNKNOWN]


def recounted(ids: checks.Array, vocabulary: Vocabulary) -> Vocabulary:
    """Return the vocabulary with the counts of some ids."""
    return Vocabulary(vocabulary.words, np.bincount(ids[ids >= 0], minlength=len(vocabulary)))
