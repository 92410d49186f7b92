"""Word vectors fitted to PMI, and what they are asked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence import npz
from kxfast.cooccurrence.vocabulary import Vocabulary, tokens
from kxfast.corpus import lines
from kxfast.dispatch import implementation
from kxfast.files import whole_file

Ranking = list[tuple[str, float]]
FORMAT = "kxfast word vectors 1"


def unit(x: checks.Array) -> checks.Array:
    """Return rows divided by their lengths, in which no square counts less than 1e-12."""
    result: checks.Array = x / np.sqrt(np.maximum(x * x, 1e-12).sum(axis=-1, keepdims=True))
    return result


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors whose inner products are near the words' PMI.

    Parameters
    ----------
    vectors : array, shape (V, dim)
    vocabulary : Vocabulary or sequence of str
        V words, the most frequent first.
    costs : array, shape (epochs,), optional
        The loss summed over each epoch of the training.

    Raises
    ------
    TypeError, ValueError
        If the vectors are not finite or do not fit the words.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> wv = kx.cooccurrence.WordVectors(np.eye(2), ["b", "a"])
    >>> wv["a"].tolist(), "c" in wv
    ([0.0, 1.0], False)

    """

    vectors: Any
    vocabulary: Any
    costs: Any = None
    _profiles: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = self.vocabulary if isinstance(self.vocabulary, Vocabulary) else Vocabulary(self.vocabulary)
        vectors = checks.floating("vectors", self.vectors, ndim=2)
        if len(vectors) != len(words):
            raise ValueError(f"vectors must have {len(words)} rows to match the words; got shape {vectors.shape}")
        checks.finite("vectors", vectors)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "vocabulary", words)

    def __contains__(self, word: object) -> bool:
        """Whether a word has a vector."""
        return word in self.vocabulary

    def __getitem__(self, word: str) -> checks.Array:
        """Return the vector of a word; KeyError if it has none."""
        row: checks.Array = self.vectors[self._id(word)]
        return row

    def _id(self, word: str) -> int:
        try:
            return int(self.vocabulary.id_of[word])
        except (KeyError, TypeError):
            raise KeyError(f"word must be in the vocabulary; got {word!r}") from None

    def _ranked(self, vectors: checks.Array, queries: checks.Array, k: Any) -> list[Ranking]:
        k = checks.integer("k", k, low=0)
        ids, scores = implementation("cooccurrence", "nearest")(vectors, queries, k)
        words = self.vocabulary.words
        return [[(words[i], float(s)) for i, s in zip(*row, strict=True)] for row in zip(ids, scores, strict=True)]

    def _nearest(self, vectors: checks.Array, word: Any, k: Any) -> Any:
        if isinstance(word, str) or not isinstance(word, Iterable):
            return self._ranked(vectors, vectors[[self._id(word)]], k)[0]
        return self._ranked(vectors, vectors[[self._id(each) for each in word]], k)

    def most_similar(self, word: Any, k: int = 10, *, first: int = 100_000, jitter: float = 1e-10) -> Any:
        """Return the words with the most similar PMI profiles, itself among them; of several words, a list for each.

        The similarity is the Pearson correlation of two words' inner products with the `first` most frequent words:
        many make it topical, few (500) syntactic. `jitter`, relative to the mean variance, keeps the Cholesky
        factorisation possible when there are fewer words than dimensions.
        """
        key = checks.integer("first", first, low=1), checks.number("jitter", jitter, above=0)
        if key not in self._profiles:
            root = implementation("cooccurrence", "profile_root")(self.vectors, *key)
            self._profiles[key] = unit(self.vectors @ root)
        return self._nearest(self._profiles[key], word, k)

    def most_correlated(self, word: Any, k: int = 10, *, normalize: bool = True) -> Any:
        """Return the words with the largest cosine (or inner product: the estimated PMI), itself among them.

        Of several words, return a list for each.
        """
        vectors = unit(self.vectors) if checks.boolean("normalize", normalize) else self.vectors
        return self._nearest(vectors, word, k)

    def analogy(self, first: str, second: str, negative: str, k: int = 10) -> Ranking:
        """Return the words with the largest cosine to ``first + second - negative``, these three not left out."""
        query = self[first] + self[second] - self[negative]
        return self._ranked(unit(self.vectors), unit(query)[None], k)[0]

    def _words(self, sentence: str | Iterable[str]) -> list[str]:
        words = tokens(sentence) if isinstance(sentence, str) else list(sentence)
        return [word for word in words if word in self.vocabulary]

    def sentence_vector(self, sentence: str | Iterable[str], *, mean: bool = False) -> checks.Array:
        """Return the sum (or mean) of the vectors of a sentence's known words; 0 if there are none."""
        rows = self.vectors[[self._id(word) for word in self._words(sentence)]]
        total: checks.Array = rows.sum(axis=0)
        return total / max(len(rows), 1) if checks.boolean("mean", mean) else total

    def keywords(self, sentence: str | Iterable[str], k: int = 10) -> Ranking:
        """Return a sentence's words by their inner products with its sum: how much each tells of all (PMI adds up).

        `sentence` is a text, split at white space, or tokens; unknown words are passed over.
        """
        distinct = sorted({self._id(word) for word in self._words(sentence)})
        query = self.sentence_vector(sentence)
        k = checks.integer("k", k, low=0)
        ids, scores = implementation("cooccurrence", "nearest")(self.vectors[distinct], query[None], k)
        return [(self.vocabulary.words[distinct[i]], float(s)) for i, s in zip(ids[0], scores[0], strict=True)]

    def sentence_similarity(self, first: str | Iterable[str], second: str | Iterable[str]) -> float:
        """Return the cosine of two sentences' sums."""
        return float(unit(self.sentence_vector(first)) @ unit(self.sentence_vector(second)))

    def save_word2vec(self, path: str | os.PathLike[str], *, header: bool = True, unknown: bool = False) -> None:
        """Write the text format of word2vec: an optional line "V dim", then a word and its numbers a line.

        With `unknown` a last word "<unk>" has the mean of the last 100 vectors. The file appears whole or not at all.
        """
        header, unknown = checks.boolean("header", header), checks.boolean("unknown", unknown)
        words, vectors = list(self.vocabulary.words), self.vectors
        for word in words:
            if tokens(word) != [word]:
                raise ValueError(f"words must have no white space to be written; got {word!r}")
        if unknown:
            if "<unk>" in self.vocabulary:
                raise ValueError("unknown must be False where the vocabulary has the word '<unk>'; got True")
            words, vectors = [*words, "<unk>"], np.vstack([vectors, self._unknown()])
        with whole_file(path) as stream:
            if header:
                stream.write(f"{len(words)} {vectors.shape[1]}\n".encode())
            for word, row in zip(words, vectors, strict=True):
                stream.write(" ".join([word, *(str(x) for x in row)]).encode() + b"\n")

    def _unknown(self) -> checks.Array:
        last = self.vectors[-100:]
        mean: checks.Array = last.mean(axis=0) if len(last) else np.zeros(self.vectors.shape[1])
        return mean

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file, the numbers as they are; it appears whole or not at all."""
        costs = np.zeros(0) if self.costs is None else np.asarray(self.costs, np.float64)
        head = {"format": np.array(FORMAT), **self.vocabulary.members()}
        npz.write(path, {**head, "vectors": self.vectors, "costs": costs})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WordVectors:
        """Read what `save` wrote, or the text format of word2vec, with or without its first line, as float64."""
        file = checks.readable_file("path", path)
        if zipfile.is_zipfile(file):
            return cls._from_npz(file)
        words: list[str] = []
        rows: list[list[float]] = []
        for number, line in enumerate(lines(file, name="path"), start=1):
            word, *numbers = line.rstrip(" ").split(" ")
            if not word and not numbers:  # simpler_glove ends its files with an empty line
                continue
            if number == 1 and len(numbers) == 1 and word.isdecimal() and numbers[0].isdecimal():
                continue
            try:
                rows.append([float(x) for x in numbers])
            except ValueError:
                raise ValueError(
                    f"path must hold a word and numbers in each line; got line {number} of '{file}'"
                ) from None
            if len(rows[-1]) != len(rows[0]):
                raise ValueError(f"path must hold {len(rows[0])} numbers a line; got {len(rows[-1])} in line {number}")
            words.append(word)
        return cls(np.array(rows).reshape(len(rows), -1 if rows else 0), words)

    @classmethod
    def _from_npz(cls, file: Path) -> WordVectors:
        try:
            with zipfile.ZipFile(file) as archive:
                if not npz.is_ours(archive, FORMAT):
                    raise ValueError("format")
                arrays = {n: npz.member(archive, file, n) for n in ("text", "lengths", "counts", "vectors", "costs")}
            vocabulary = Vocabulary.from_members(arrays)
            return cls(arrays["vectors"], vocabulary, arrays["costs"] if len(arrays["costs"]) else None)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            raise ValueError(f"path must be a file that WordVectors.save wrote; got '{file}'") from None
