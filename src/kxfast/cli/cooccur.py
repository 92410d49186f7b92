"""``kxfast cooccur``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from kxfast import cooccurrence, settings
from kxfast.cli.table import progress, short
from kxfast.cooccurrence import quality

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("corpus", nargs="+", type=Path, help="text files (.txt, .gz, .xz, .zst), one document a line")
    parser.add_argument("-o", "--output", type=Path, help="file for the counts; read it with kxfast.cooccurrence.load")
    parser.add_argument("--window", default="10", help="largest distance in tokens, or 'all'; default: 10")
    parser.add_argument("--weighting", choices=("uniform", "harmonic"), default="uniform", help="default: uniform")
    parser.add_argument("--direction", choices=("symmetric", "left", "right"), default="symmetric")
    parser.add_argument("--min-count", type=int, default=5, help="lowest count of a word; default: 5")
    parser.add_argument("--max-size", type=int, help="most words")
    parser.add_argument("--vocabulary", type=Path, help="words to count, 'word count' a line, in place of the corpus's")
    parser.add_argument("--subsample", type=float, help="share of a word above which its tokens are thinned")
    parser.add_argument("--memory-limit", help="memory to use, such as 512M; more is kept in files below TMPDIR")
    parser.add_argument("--threads", type=int, help="number of threads")
    parser.add_argument("--errors", choices=("strict", "replace"), default="strict", help="what to do with bad UTF-8")
    parser.add_argument("--write-vocabulary", type=Path, help="file for the words, 'word count' a line")
    parser.add_argument("--write-glove", type=Path, help="file for the counts as GloVe's tools read them")
    parser.add_argument("--vectors", type=Path, help="fit word vectors, and write them in word2vec's text format")
    parser.add_argument("--method", choices=("pmi", "svd"), default="pmi", help="how vectors are fitted; default: pmi")
    parser.add_argument("--dim", type=int, default=100, help="default: 100")
    parser.add_argument("--epochs", type=int, default=25, help="default: 25")
    parser.add_argument("--seed", type=int, help="of subsampling and vectors")
    parser.add_argument("--score", type=Path, help="folder with sim_<language>_*.tsv and analogy_<language>_*.txt")
    parser.add_argument("--language", default="en", help="of the sets to score vectors on; default: en")


def run(chosen: argparse.Namespace) -> int:
    """Count a corpus, and fit vectors to the counts if they are asked for."""
    targets = ("output", "write_vocabulary", "write_glove", "vectors", "score")
    if not any(getattr(chosen, name) for name in targets):
        options = ", ".join("--" + name.replace("_", "-") for name in targets)
        raise ValueError(f"one of {options} must say what is to be made")
    if chosen.score is not None and not chosen.score.is_dir():
        raise FileNotFoundError(f"--score must be an existing folder; got '{chosen.score}'")
    settings.set_num_threads(chosen.threads)
    limit = None if chosen.memory_limit is None else in_bytes(chosen.memory_limit)
    co = cooccurrence.count(
        chosen.corpus,
        window=None if chosen.window == "all" else whole_number("--window", chosen.window),
        weighting=chosen.weighting,
        direction=chosen.direction,
        vocabulary=None if chosen.vocabulary is None else cooccurrence.read_vocabulary(chosen.vocabulary),
        min_count=1 if chosen.vocabulary is not None else chosen.min_count,
        max_size=chosen.max_size,
        subsample=chosen.subsample,
        seed=chosen.seed,
        errors=chosen.errors,
        memory_limit=limit,
        output=chosen.output if limit is not None else None,
        progress=shown,
    )
    tell(f"{len(co.vocabulary)} words, {co.vocabulary.counts.sum()} tokens, {co.matrix.nnz} cells")
    if chosen.output is not None:
        if limit is None:
            co.save(chosen.output)
        tell(f"counts written to {chosen.output}")
    if chosen.write_vocabulary is not None:
        cooccurrence.write_vocabulary(co.vocabulary, chosen.write_vocabulary)
        tell(f"vocabulary written to {chosen.write_vocabulary}")
    if chosen.write_glove is not None:
        cooccurrence.write_glove(co, chosen.write_glove)
        tell(f"GloVe's records written to {chosen.write_glove}")
    if chosen.vectors is not None or chosen.score is not None:
        make_vectors(co, chosen)
    return 0


def make_vectors(co: Any, chosen: argparse.Namespace) -> None:
    """Fit, write and score vectors."""
    hear = None if chosen.method == "svd" else lambda epoch, loss: tell(f"epoch {epoch}: loss {loss:.6g}")
    vectors = cooccurrence.word_vectors(
        co, dim=chosen.dim, method=chosen.method, epochs=chosen.epochs, seed=chosen.seed, progress=shown, on_epoch=hear
    )
    if chosen.vectors is not None:
        vectors.save_word2vec(chosen.vectors)
        tell(f"{len(co.vocabulary)} vectors written to {chosen.vectors}")
    if chosen.score is not None:
        for each in quality.report(vectors, chosen.score, chosen.language):
            print(f"{each.name:<24} {each.kind:<10} {each.value:7.4f}   {each.known} of {each.total} known")


def shown(done: int, total: int, unit: str) -> None:
    """Show how far a long work is, on a terminal alone."""
    progress(f"{short(done, unit)} of {short(total, unit)}" if done < total else "")


def tell(text: str) -> None:
    """Say what has been done, beside what may be piped on."""
    print(text, file=sys.stderr)


def whole_number(name: str, text: str) -> int:
    """Return the number that a text is."""
    if not text.isdecimal():
        raise ValueError(f"{name} must be a whole number or 'all'; got '{text}'")
    return int(text)


def in_bytes(text: str) -> int:
    """Return the bytes of a size such as 512M."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if match is None:
        raise ValueError(f"--memory-limit must be bytes, or a number with K, M or G; got '{text}'")
    return int(match[1]) * _UNITS[match[2]]
