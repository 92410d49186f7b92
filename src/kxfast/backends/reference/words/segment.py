"""Unigram segmentation by dynamic programming, two tie rules, jieba's treatment of characters (spec, section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import exp, inf

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.reference.words.strings import Codes, Words, decode, text

Ids = NDArray[np.int64]

JIEBA_BLOCK = re.compile(r"[\u4e00-\u9fd5a-zA-Z0-9+#&._%\-]+|\r\n|.", re.DOTALL)
JIEBA_LETTER = re.compile("[a-zA-Z0-9]")


def build_trie(words: Words, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32], bool]:
    """Return what a backend looks words up in: here their scores, the last place of each, whether one repeats."""
    places = {word: place for place, word in enumerate(decode(*words))}
    return scores, np.array(list(places.values()), np.int32), len(places) < len(scores)


class Segmenter:
    """Words with their log-probabilities, ready to cut."""

    def __init__(
        self,
        words: Words,
        scores: NDArray[np.float64],
        ids: NDArray[np.int32],
        unknown: float,
        tie: str,
        jieba: bool,
    ) -> None:
        self.words = {word: i for i, word in enumerate(decode(*words))}
        self.scores = [float(score) for score in scores]
        self.longest = max(map(len, self.words), default=1)
        self.unknown = unknown
        self.cut = self._backward if tie == "longest_first" else self._forward
        self.jieba = jieba

    def segment(self, codes: Codes, offsets: Ids, threads: int) -> tuple[Ids, Ids, Ids]:
        """Cut each document codes[offsets[i]:offsets[i+1]]: token ends, word ids (-1: none), and token offsets."""
        ends: list[int] = []
        ids: list[int] = []
        first = [0]
        for a, b in zip(offsets[:-1], offsets[1:], strict=True):
            at = int(a)
            for token in self._tokens(text(codes[a:b])):
                at += len(token)
                ends.append(at)
                ids.append(self.words.get(token, -1))
            first.append(len(ends))
        return np.array(ends, np.int64), np.array(ids, np.int64), np.array(first, np.int64)

    def _tokens(self, string: str) -> Iterator[str]:
        if not self.jieba:
            yield from self.cut(string)
            return
        for block in JIEBA_BLOCK.findall(string):
            letters = ""
            for token in self.cut(block) if block != "\r\n" else [block]:
                if len(token) == 1 and JIEBA_LETTER.match(token):
                    letters += token
                    continue
                yield from filter(None, (letters, token))
                letters = ""
            yield from filter(None, (letters,))

    def _starting(self, string: str, i: int) -> Iterator[tuple[int, float]]:
        """Yield (end, score) of the dictionary words that start at i, short ones first."""
        for end in range(i + 1, min(i + self.longest, len(string)) + 1):
            word = self.words.get(string[i:end])
            if word is not None:
                yield end, self.scores[word]

    def _backward(self, string: str) -> Iterator[str]:
        """Right to left; a tie goes to the longer first word; a lone unknown only where no word starts (jieba)."""
        best = [0.0] * (len(string) + 1)
        following = [0] * len(string)
        for i in range(len(string) - 1, -1, -1):
            found = list(self._starting(string, i)) or [(i + 1, self.unknown)]
            best[i], following[i] = max((score + best[end], end) for end, score in found)
        i = 0
        while i < len(string):
            yield string[i : following[i]]
            i = following[i]

    def _forward(self, string: str) -> Iterator[str]:
        """Left to right; a tie goes to the longer last word; a lone unknown only where nothing ends (nlp-zero)."""
        best = [0.0] + [-inf] * len(string)
        before = [0] * (len(string) + 1)
        for i in range(len(string)):
            for end, score in self._starting(string, i):
                if best[i] + score > best[end]:
                    best[end], before[end] = best[i] + score, i
            if best[i + 1] == -inf:
                best[i + 1], before[i + 1] = best[i] + self.unknown, i
        return self._follow(string, before)

    def sample(self, codes: Codes, alpha: float, seed: int) -> Ids:
        """Draw a segmentation with probability proportional to exp(alpha * score) (section 7); token ends."""
        string = text(codes)
        rng = np.random.Generator(np.random.Philox(seed))
        total = [0.0] + [-inf] * len(string)
        before = [0] * (len(string) + 1)
        for i in range(len(string)):
            arcs = list(self._starting(string, i))
            if total[i + 1] == -inf and all(end > i + 1 for end, _ in arcs):
                arcs.insert(0, (i + 1, self.unknown))
            for end, score in arcs:
                path = total[i] + alpha * score
                total[end] = float(np.logaddexp(total[end], path))
                if rng.random() < exp(path - total[end]):
                    before[end] = i
        return np.cumsum([len(token) for token in self._follow(string, before)], dtype=np.int64)

    def _follow(self, string: str, before: list[int]) -> Iterator[str]:
        tokens = []
        end = len(string)
        while end:
            tokens.append(string[before[end] : end])
            end = before[end]
        return reversed(tokens)
