"""A corpus in shards: pieces that are read one after the other, or by other processes.

Lines are never cut: a plain file is divided at line feeds into ranges of bytes, a compressed file is one shard, and
documents in memory are grouped. What is made of the shards is combined in pairs, neighbours first, so that a result
that does not depend on where documents are divided is the same for any shards and any executor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kxfast import checks
from kxfast.corpus import is_list_of_files

SIZE = 32 << 20
_COMPRESSED = (".gz", ".xz", ".zst")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lines:
    """Bytes `start` to `stop` of a file (to its end where None), which hold whole lines."""

    path: Path
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Documents:
    """Documents in memory: strings, or lists of tokens."""

    members: tuple[Any, ...]


def shards(corpus: Any, size: int = SIZE, name: str = "corpus") -> Iterator[Lines | Documents]:
    """Divide a corpus into pieces of about `size` bytes (of characters for documents in memory).

    Parameters
    ----------
    corpus : path, or iterable of paths, of str or of token lists
    size : int
        Bytes; one line or document longer than this is a piece by itself.
    name : str
        What error messages call the corpus.

    Returns
    -------
    iterator
        Made as it is asked for: an iterable of documents is never held whole.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If a file is missing or is a folder; raised by the call itself for a path and a list of paths.
    TypeError
        If `corpus` is none of the above.

    """
    if isinstance(corpus, (str, os.PathLike)):
        corpus = [Path(corpus)]
    if isinstance(corpus, (bytes, bytearray)) or not isinstance(corpus, Iterable):
        raise TypeError(f"{name} must be a path, or paths or documents; got {type(corpus).__name__}")
    if isinstance(corpus, (list, tuple)):
        if is_list_of_files(corpus):
            corpus = [Path(each) for each in corpus]
        for each in corpus:
            if isinstance(each, os.PathLike):
                checks.readable_file(name, each)
    return _divided(corpus, size, name)


def _divided(corpus: Iterable[Any], size: int, name: str) -> Iterator[Lines | Documents]:
    waiting: list[Any] = []
    length = 0
    for each in corpus:
        if isinstance(each, os.PathLike):
            if waiting:
                yield Documents(tuple(waiting))
                waiting, length = [], 0
            yield from _ranges(checks.readable_file(name, each), size)
            continue
        waiting.append(each)
        length += len(each) * (1 if isinstance(each, str) else 8) if hasattr(each, "__len__") else 1
        if length >= size:
            yield Documents(tuple(waiting))
            waiting, length = [], 0
    if waiting:
        yield Documents(tuple(waiting))


def _ranges(path: Path, size: int) -> Iterator[Lines]:
    if path.suffix.lower() in _COMPRESSED:
        yield Lines(path)
        return
    with open(path, "rb") as stream:
        end = os.fstat(stream.fileno()).st_size
        start = 0
        while start < end:
            stream.seek(min(start + size, end))
            stream.readline()
            stop = stream.tell()
            yield Lines(path, start, stop)
            start = stop


def reduced(
    executor: Executor,
    function: Callable[[Any], Result],
    pieces: Iterable[Any],
    combine: Callable[[Result, Result], Result],
    report: Callable[[int, int], None] | None = None,
) -> Result | None:
    """Apply a function to all pieces in the executor and combine what comes, neighbours in pairs; None of no pieces.

    Both functions must be importable by name: the executor's workers may be other processes.
    """
    futures: list[Future[Result]] = []
    try:
        futures = [executor.submit(function, piece) for piece in pieces]
        total, done = 2 * len(futures) - 1, 0
        level = futures
        while level:
            results = []
            for future in level:
                results.append(future.result())
                done += 1
                if report:
                    report(done, total)
            if len(results) == 1:
                return results[0]
            pairs = zip(results[::2], results[1::2], strict=False)
            last = results[-1] if len(results) % 2 else None
            level = [executor.submit(combine, first, second) for first, second in pairs]
            futures += level
            if last is not None:
                held: Future[Result] = Future()
                held.set_result(last)
                level.append(held)
                total += 1
        return None
    finally:
        for future in futures:
            future.cancel()
