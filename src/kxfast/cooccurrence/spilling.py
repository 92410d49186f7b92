"""Counts within a limit of memory: blocks of the corpus become runs in files, and these one run and a matrix."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.counting import Rules, Run, Tokens, begins
from kxfast.cooccurrence.npz import Stream
from kxfast.cooccurrence.reading import BREAK

_LEAST = 16 << 20  # working memory under any limit
_TOKEN = 24  # bytes of working memory for a token: its number, its id with breaks, its position
_CELL = 6  # bytes of a cell in a run
_OPEN_RUNS = 24  # files that are merged at a time
_STEP = 4 << 20  # bytes of a run that are decoded at a time


def _after_last_break(block: list[checks.Array]) -> checks.Array | None:
    """Cut a block behind its last break, and return the rest; None (and nothing is cut) if it ends with one."""
    rest: list[checks.Array] = []
    while block:
        piece = block.pop()
        breaks = np.flatnonzero(piece < 0)
        cut = int(breaks[-1]) + 1 if len(breaks) else 0
        rest.insert(0, piece[cut:])
        if cut:
            block.append(piece[:cut])
            break
    return np.concatenate(rest)


def _known(piece: checks.Array, rank: checks.Array | None) -> checks.Array:
    ids = piece if rank is None else rank[piece]
    return ids[ids >= -1]


def _first_document(block: list[checks.Array], rank: checks.Array | None, most: int) -> checks.Array:
    """Return the known tokens before a block's first break, `most` at most."""
    found: list[checks.Array] = []
    for piece in block:
        ids = _known(piece, rank)
        breaks = np.flatnonzero(ids < 0)
        found.append(ids[: breaks[0]] if len(breaks) else ids)
        if len(breaks) or sum(map(len, found)) >= most:
            break
    return np.concatenate([np.zeros(0, np.int32), *found])[:most]


def _last_document(block: list[checks.Array], rank: checks.Array | None, most: int) -> checks.Array:
    """Return the known tokens behind a block's last break, `most` at most."""
    found: list[checks.Array] = []
    for piece in reversed(block):
        ids = _known(piece, rank)
        breaks = np.flatnonzero(ids < 0)
        found.insert(0, ids[breaks[-1] + 1 :] if len(breaks) else ids)
        if len(breaks) or sum(map(len, found)) >= most:
            break
    return np.concatenate([np.zeros(0, np.int32), *found])[-most:]


@dataclass
class Report:
    """Tells how many tokens have been counted, over all blocks."""

    show: Callable[[int, int], None]
    total: int
    done: int = 0

    def __call__(self, done: int, total: int) -> None:
        """Take what a block has done."""
        self.show(self.done + done, self.total)


class Spilled:
    """Runs in files of a folder, written and merged within a limit of memory."""

    def __init__(self, rules: Rules, size: int, folder: Path, limit: int | None) -> None:
        self._rules, self._size, self._folder, self._limit = rules, size, folder, limit
        self._runs: list[Path] = []
        self._made = 0
        self.cells = 0

    def room(self) -> int:
        """Return the bytes that may still be used."""
        return 1 << 62 if self._limit is None else max(_LEAST, self._limit - resident())

    def count(self, tokens: Tokens, report: Any) -> None:
        """Count a corpus a block at a time. Blocks end where they are full, in the midst of documents."""
        block: list[checks.Array] = []
        most = min(self.room() // _TOKEN, 1 << 30)
        reach = self._rules.reach
        whole = reach == 0 or reach > most // 4  # a window that reaches over blocks: documents are kept together
        report = None if report is None else Report(report, int(tokens.vocabulary.counts.sum()))
        before = np.zeros(0, np.int32)
        for piece in tokens.pieces:
            if block and sum(len(each) for each in block) + len(piece) > most:
                rest = _after_last_break(block) if whole else None
                if rest is None or any(len(each) for each in block):
                    before = self._count_block(block, tokens.rank, report, before, not whole)
                    block = [] if rest is None else [rest]
                else:
                    block = [rest]
            block.append(piece)
        self._count_block(block, tokens.rank, report, before, not whole)

    def _count_block(
        self, block: list[checks.Array], rank: checks.Array | None, report: Report | None, before: checks.Array,
        bridged: bool,
    ) -> checks.Array:  # fmt: skip
        """Count a block, and the pairs of its beginning with what came before; return its end for the next."""
        end = before
        if bridged:
            reach = self._rules.reach
            begin, end = _first_document(block, rank, reach), _last_document(block, rank, reach)
            if len(before) and len(begin):
                self._bridge(before, begin)
            if not any(np.any(piece == BREAK) for piece in block):  # the document began in the block before
                end = np.concatenate([before, end])[-reach:]
        counter = self._rules.counter(block, rank, self._size)
        block.clear()
        additions = 2 * counter.tokens * min(self._rules.reach, self._size)
        step = int(max(1, min(counter.groups, counter.groups * (self.room() // 4) // max(1, additions * _CELL))))
        with self._new_run() as stream:
            for first in range(0, counter.groups, step):
                for part in counter.count(first, min(first + step, counter.groups), report):
                    stream.write(part.data)
        if report is not None:
            report.done += int(counter.tokens)
        return end

    def _bridge(self, before: checks.Array, begin: checks.Array) -> None:
        """Count the pairs that reach over the boundary of two blocks: those of both sides less those of each."""
        sides = [np.concatenate([before, begin]), before, begin]
        counters = [self._rules.counter([each], None, self._size) for each in sides]
        both, *each = (counter.count(0, counter.groups, None) for counter in counters)
        merger = self._rules.merger([both], self._size, each)
        run = []
        while (part := merger.take(_STEP)) is not None:
            run.append(part)
        self.add(run)

    @contextmanager
    def _new_run(self) -> Iterator[BinaryIO]:
        self._made += 1
        path = self._folder / f"run{self._made}"
        with open(path, "wb") as stream:
            yield stream
        self._runs.append(path)
        if len(self._runs) >= _OPEN_RUNS:
            self._merge()

    def add(self, run: Run) -> None:
        """Take a run that was made elsewhere."""
        with self._new_run() as stream:
            for part in run:
                stream.write(part.data)

    def _merge(self) -> None:
        old, self._runs = self._runs, []
        with self._new_run() as stream:
            for part in self._parts(old):
                stream.write(part.data)
        for each in old:
            each.unlink()

    def _parts(self, runs: list[Path]) -> Iterator[checks.Array]:
        merger = self._rules.merger([str(each) for each in runs], self._size)
        while (part := merger.take(_STEP)) is not None:
            yield part

    def finish(self) -> checks.Array:
        """Make one run of all; return where the rows of the matrix begin."""
        if len(self._runs) > 1:
            self._merge()
        heads = [self._rules.decoded([part])[:2] for part in self._parts(self._runs)]
        rows, cells = (np.concatenate([np.zeros(0, np.uint32), *(each[k] for each in heads)]) for k in (0, 1))
        indptr = begins(rows, cells, self._size)
        self.cells = int(indptr[-1])
        return indptr

    def matrix(self, indptr: checks.Array) -> tuple[checks.Array, checks.Array, checks.Array]:
        """Return the matrix in memory."""
        needed = 12 * self.cells
        if self._limit is not None and resident() + needed > 1.1 * self._limit + (48 << 20):
            raise ValueError(
                f"memory_limit must leave {needed} bytes for a matrix of {self.cells} cells, or output= must name a "
                f"file for it; got {self._limit}"
            )
        columns = np.empty(self.cells, np.int32)
        values = np.empty(self.cells, self.value_type)
        at = 0
        for part in self._parts(self._runs):
            _, _, some_columns, some_values = self._rules.decoded([part])
            end = at + len(some_columns)
            columns[at:end], values[at:end] = some_columns, some_values
            at = end
        return indptr, columns, values

    @property
    def value_type(self) -> Any:
        """The type of the matrix's values."""
        return np.int64 if self._rules.weighting == "uniform" else np.float64

    def members(self, indptr: checks.Array) -> dict[str, Any]:
        """Return the matrix as it is written to a file."""
        index = np.dtype(np.int32 if max(self._size, self.cells) < 2**31 else np.int64)
        decoded = self._rules.decoded
        return {
            "indptr": indptr.astype(index),
            "indices": Stream(index, self.cells, (decoded([part])[2] for part in self._parts(self._runs))),
            "data": Stream(
                np.dtype(self.value_type), self.cells, (decoded([part])[3] for part in self._parts(self._runs))
            ),
        }


def resident() -> int:
    """Return the bytes of memory that this process has now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # no such file on this system: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
