"""Passes over a corpus: in memory, in blocks that are spilled, or in shards on an executor.

Each pass turns blocks of text into sorted runs of strings with counts (a stage of the backend), and runs into the
result. Counts are integers and the order of strings is fixed, so the result is the same however the corpus is divided.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from kxfast import checks
from kxfast.dispatch import implementation
from kxfast.progress import reporter
from kxfast.settings import get_num_threads
from kxfast.shards import SIZE, Documents, Lines, reduced
from kxfast.words.text import Codes, Piece, Reading, pieces_of

LEAST_MEMORY = 32 << 20
_BYTES_PER_CHARACTER = 48  # of a block: text, ids, keys (twice as wide from order 6 on) and the run
_IN_FLIGHT = 16  # shards with an executor's workers at a time, under a memory limit
_READ = 1 << 20  # bytes of a file that a thread reads at a time
_FAN_IN = 32  # runs merged into one: open files stay few

Run = Any  # an array of bytes, or the path of a file


@dataclass(frozen=True)
class Stage:
    """One function of the backend that turns code points into a run."""

    name: str
    arguments: tuple[Any, ...]
    reading: Reading
    threads: int

    def run(self, codes: Codes, report: Any = None, path: str | None = None) -> Run:
        """Return the run of one block, in memory or at `path`."""
        serve = implementation("words", self.name, self.reading.backend)
        return serve(codes, *self.arguments, self.threads, report, path)


def _run_of(stage: Stage, piece: Piece) -> Run:
    return stage.run(stage.reading.whole([piece]))


def _merged(backend: str | None, *runs: Run) -> Run:
    return implementation("words", "merge_runs", backend)(list(runs), None)


class Corpus:
    """A corpus, how it is read, and where the work on it is done."""

    def __init__(
        self, corpus: Any, reading: Reading, threads: int, memory_limit: int | None, executor: Any, progress: Any
    ) -> None:
        self.reading, self.threads = reading, threads
        checks.choice("errors", reading.errors, ("strict", "replace"))
        self.limit = None if memory_limit is None else checks.integer("memory_limit", memory_limit, LEAST_MEMORY)
        self.executor = checks.executor(executor)
        self._show = reporter(progress, "B")
        self.block = SIZE
        if self.limit:
            share = 2 * _IN_FLIGHT * 10 if self.executor else _BYTES_PER_CHARACTER
            self.block = max(self.limit // share, 1 << 16)
        self._corpus = corpus
        self._once = isinstance(corpus, Iterator)
        self._pieces = pieces_of(corpus, self.block)  # refuses what is no corpus, before any work
        self._codes: Codes | None = None
        self._spooled: list[Path] = []
        self.expect(1)

    def expect(self, passes: int) -> None:
        """Begin to report on so many passes over the corpus (in memory, reading is one of them)."""
        self._done = self._total = self._weight = 0
        if self._show and not self._once:
            self._weight = sum(map(_size_of, pieces_of(self._corpus, self.block)))
            self._total = passes * self._weight

    @property
    def in_memory(self) -> bool:
        """Whether the whole corpus is read into memory once."""
        return self.limit is None and self.executor is None

    def codes(self) -> Codes:
        """Return the whole corpus."""
        if self._codes is None:
            self._codes = self._read()
        return self._codes

    def _read(self) -> Codes:
        threads = self.threads or get_num_threads()
        if threads > 1 and not self._once and all(isinstance(piece, Lines) for piece in self._again()):
            lines = cast("list[Lines]", list(pieces_of(self._corpus, _READ)))
            if len(lines) >= 2 * threads:
                return self.reading.together(lines, self._step, threads)
        return self.reading.whole(self._pieces, self._step)

    def report(self) -> Callable[[int, int], None] | None:
        """Return what a native call on the whole corpus reports to: it is one pass."""
        if self._show is None:
            return None
        self.codes()
        base, weight = self._done, self._weight

        def hear(done: int, total: int) -> None:
            self._done = base + weight * done // max(total, 1)
            self._tell()

        return hear

    def finish(self) -> None:
        """Report that all is done."""
        if self._show:
            self._show(max(self._done, self._total), max(self._done, self._total))

    def runs(self, name: str, *arguments: Any, folder: Path) -> list[Run]:
        """Pass over the corpus with one stage; runs go to `folder` under a memory limit."""
        implementation("words", name, self.reading.backend)  # a backend without it is refused before anything is read
        stage = Stage(name, arguments, self.reading, self.threads)
        if self.in_memory:
            return [stage.run(self.codes(), self.report())]
        if self.executor:
            stage = replace(stage, threads=stage.threads or 1)
            if self.limit is None:
                return self._reduced(stage)
        return self._spilled(stage, folder)

    def _reduced(self, stage: Stage) -> list[Run]:
        pieces = list(self._again())
        base, weight = self._done, self._weight

        def tell(done: int, total: int) -> None:
            self._done = base + weight * done // total
            self._tell()

        whole = reduced(self.executor, partial(_run_of, stage), pieces, partial(_merged, self.reading.backend), tell)
        return [] if whole is None else [whole]

    def _spilled(self, stage: Stage, folder: Path) -> list[Run]:
        merge = implementation("words", "merge_runs", self.reading.backend)
        levels: list[list[str]] = [[]]
        count = 0

        def new_path() -> str:
            nonlocal count
            count += 1
            return str(folder / f"{stage.name}-{count}")

        for run in self._on_executor(stage, new_path) if self.executor else self._here(stage, folder, new_path):
            levels[0].append(run)
            for level, waiting in enumerate(levels):
                if len(waiting) == _FAN_IN:
                    if level + 1 == len(levels):
                        levels.append([])
                    levels[level + 1].append(merge(waiting, new_path()))
                    for path in waiting:
                        os.unlink(path)
                    waiting.clear()
        return [run for level in levels for run in level]

    def _here(self, stage: Stage, folder: Path, new_path: Callable[[], str]) -> Iterator[str]:
        for codes in self._blocks(folder):
            yield stage.run(codes, None, new_path())

    def _on_executor(self, stage: Stage, new_path: Callable[[], str]) -> Iterator[str]:
        waiting: deque[tuple[Piece, Any]] = deque()

        def spilled() -> str:
            piece, future = waiting.popleft()
            path = new_path()
            np.asarray(future.result(), np.uint8).tofile(path)
            self._step(_size_of(piece))
            return path

        try:
            for piece in self._again():
                waiting.append((piece, self.executor.submit(_run_of, stage, piece)))
                if len(waiting) == _IN_FLIGHT:
                    yield spilled()
            while waiting:
                yield spilled()
        finally:
            for _, future in waiting:
                future.cancel()

    def _again(self) -> Iterator[Piece]:
        """Return the pieces, once more where that is possible; the pieces of an iterator are kept for an executor."""
        if self._once:
            pieces = list(self._pieces)
            self._pieces = iter(pieces)
            return iter(pieces)
        return pieces_of(self._corpus, self.block)

    def _blocks(self, folder: Path) -> Iterator[Codes]:
        """Yield blocks of code points; an iterator's are kept in the folder for the passes that follow."""
        if not self._once:
            yield from self.reading.blocks(self._again(), self.block, self._step)
            return
        if self._spooled:
            for path in self._spooled:
                if not path.exists():
                    raise ValueError("corpus must be a path or a list to be read again; got an iterator")
                yield np.load(path)
            return
        for codes in self.reading.blocks(self._pieces, self.block, self._step):
            path = folder / f"text-{len(self._spooled)}.npy"
            np.save(path, codes)
            self._spooled.append(path)
            yield codes

    def _step(self, amount: int) -> None:
        self._done += amount
        self._tell()

    def _tell(self) -> None:
        if self._show:
            self._show(self._done, max(self._total, self._done + self._once))  # an iterator's end is not known


def subfolder(folder: Path, number: int) -> Path:
    """Return a folder of its own for one of several corpora."""
    made = folder / str(number)
    made.mkdir()
    return made


def _size_of(piece: Piece) -> int:
    if isinstance(piece, Documents):
        return sum(len(each) for each in piece.members if isinstance(each, str))
    return (piece.path.stat().st_size if piece.stop is None else piece.stop) - piece.start
