"""``kxfast segment``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from kxfast import words

_LINES = 20_000  # cut at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--lexicon", required=True, help="file with 'word count' a line")
    parser.add_argument("--jieba", action="store_true", help="cut as jieba does without its HMM")
    parser.add_argument("--separator", default=" ", help="what stands between words; default: a space")
    parser.add_argument("--errors", choices=("strict", "replace"), default="strict", help="what to do with bad UTF-8")


def run(chosen: argparse.Namespace) -> int:
    """Cut the lines of standard input into words."""
    segmenter = words.Segmenter.jieba(chosen.lexicon) if chosen.jieba else words.Segmenter(chosen.lexicon)
    texts = decoded(sys.stdin.buffer, chosen.errors)
    while block := list(islice(texts, _LINES)):
        joined = segmenter.join_many(block, chosen.separator)
        sys.stdout.buffer.write("\n".join([*joined, ""]).encode())
    sys.stdout.flush()
    return 0


def decoded(stream: BinaryIO, errors: str) -> Iterator[str]:
    """Yield the lines of a stream without their ends; a byte that is not UTF-8 is an error that tells its offset."""
    offset = 0
    for line in stream:
        try:
            yield line.rstrip(b"\r\n").decode("utf-8", errors)
        except UnicodeDecodeError as error:
            at = offset + error.start
            raise ValueError(
                f"standard input must be UTF-8; got byte 0x{line[error.start]:02x} at offset {at}"
            ) from None
        offset += len(line)
