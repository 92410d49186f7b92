"""``kxfast words``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kxfast import words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("corpus", nargs="+", type=Path, help="text files (.txt, .gz, .xz, .zst), one document a line")
    parser.add_argument("-o", "--output", type=Path, help="lexicon to write, 'word count' a line; default: print it")
    parser.add_argument("--method", choices=words.METHODS, default="cut", help="default: cut")
    parser.add_argument("--min-count", type=int, default=32, help="lowest count of a word; default: 32")
    parser.add_argument("--max-length", type=int, default=4, help="longest n-gram that is counted; default: 4")
    parser.add_argument("--min-pmi", type=float, nargs="+", help="lowest PMI for each length from 1 on, or one for all")
    parser.add_argument("--errors", choices=("strict", "replace"), default="strict", help="what to do with bad UTF-8")


def run(chosen: argparse.Namespace) -> int:
    """Find the words of a corpus."""
    pmi = chosen.min_pmi if chosen.min_pmi is None or len(chosen.min_pmi) > 1 else chosen.min_pmi[0]
    lexicon = words.discover(
        chosen.corpus,
        method=chosen.method,
        max_length=chosen.max_length,
        min_count=chosen.min_count,
        min_pmi=pmi,
        errors=chosen.errors,
    )
    if chosen.output is None:
        sys.stdout.writelines(f"{word} {count}\n" for word, count in lexicon.items())
    else:
        lexicon.save(chosen.output)
        print(f"{len(lexicon)} words written to {chosen.output}", file=sys.stderr)
    return 0
