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
    parser.add_argument("--include", type=Path, help="lexicon of known words that are never cut")
    parser.add_argument("--exclude", type=Path, help="lexicon of words to leave out, to see new ones only")
    parser.add_argument("--report", action="store_true", help="PMI and neighbour entropies (nats) behind each count")
    parser.add_argument("--characters", choices=("chinese", "letters"), default="chinese", help="what words consist of")
    parser.add_argument("--memory-limit", type=int, metavar="MIB", help="work in so many MiB, at least 32")
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
        include=chosen.include,
        exclude=chosen.exclude,
        report=chosen.report,
        characters=chosen.characters,
        memory_limit=None if chosen.memory_limit is None else chosen.memory_limit << 20,
        errors=chosen.errors,
        progress=show_progress if sys.stderr.isatty() else False,
    )
    if chosen.output is None:
        sys.stdout.writelines(lexicon.lines(report=chosen.report))
        sys.stdout.flush()
    else:
        lexicon.save(chosen.output, report=chosen.report)
        print(f"{len(lexicon)} words written to {chosen.output}", file=sys.stderr)
    return 0


def show_progress(done: int, total: int, unit: str) -> None:
    """Rewrite one line on the terminal."""
    end = "\n" if done >= total else ""
    print(f"\r{done / max(total, 1):4.0%} of {total / 1e6:.0f} M{unit}", end=end, file=sys.stderr, flush=True)
