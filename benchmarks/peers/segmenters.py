"""Peers of the stem words that cut: jieba, its ports, sentencepiece, and pyahocorasick, which only matches.

Each function gets a dictionary in jieba's format (or a text to learn from), does what is done once, and returns what
cuts lines into lists of words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Cut = Callable[[list[str]], list[list[str]]]


def jieba(dictionary: Path, folder: Path) -> Cut:
    """jieba with a dictionary, HMM off."""
    import jieba

    tokenizer = jieba.Tokenizer(str(dictionary))
    tokenizer.cache_file = str(folder / "jieba.cache")
    tokenizer.initialize()
    return lambda lines: [list(tokenizer.cut(line, HMM=False)) for line in lines]


def jieba_fast(dictionary: Path, folder: Path) -> Cut:
    """jieba with its inner loop in C, HMM off."""
    import jieba_fast

    tokenizer = jieba_fast.Tokenizer(str(dictionary))
    tokenizer.cache_file = str(folder / "jieba_fast.cache")
    tokenizer.initialize()
    return lambda lines: [list(tokenizer.cut(line, HMM=False)) for line in lines]


def rjieba(dictionary: Path, folder: Path) -> Cut:
    """The port of jieba to Rust, with the dictionary it carries, HMM off."""
    import rjieba

    rjieba.cut("")
    return lambda lines: [rjieba.cut(line, hmm=False) for line in lines]


def pyahocorasick(dictionary: Path, folder: Path) -> Cut:
    """All words of a dictionary in a text, overlapping: matching alone."""
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        word = line.split(" ")[0]
        automaton.add_word(word, word)
    automaton.make_automaton()
    return lambda lines: [[word for _, word in automaton.iter(line)] for line in lines]


def sentencepiece_training(text: Path, folder: Path) -> int:
    """A unigram model of 8000 pieces."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "pieces"), vocab_size=8000, num_threads=2, minloglevel=2,
        max_sentence_length=1 << 20, hard_vocab_limit=False,
    )  # fmt: skip
    return len(sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model")))


def sentencepiece(dictionary: Path, folder: Path) -> Cut:
    """sentencepiece with 8000 pieces of its own: its programs take no dictionary."""
    import sentencepiece

    part = folder / "part.txt"
    with open(dictionary.with_name("text.txt"), "rb") as whole:
        part.write_bytes(whole.read(2_000_000).rpartition(b"\n")[0])
    sentencepiece_training(part, folder)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
    return lambda lines: model.encode(lines, out_type=str, num_threads=2)


CUTTERS: dict[str, Callable[[Path, Path], Cut]] = {
    "rjieba": rjieba,
    "jieba_fast": jieba_fast,
    "jieba": jieba,
    "sentencepiece, its own pieces": sentencepiece,
    "pyahocorasick, matches alone": pyahocorasick,
}
