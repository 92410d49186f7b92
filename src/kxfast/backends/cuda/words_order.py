"""A text's places in the order of the characters from there on, and the n-grams that this order puts together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kxfast.backends.cuda import load
from kxfast.errors import BackendError

_TEXT = '#include "words.cuh"\n'
_THREADS, _WARP, _TILE, _SCAN = 256, 32, 1024, 1024
_CODE_POINTS, _MOST = 0x110000, 2**31 - 2**16  # so that a number of a tile beyond the end is an int
_LOGARITHM = 2 * 16 * 8  # bytes of shared memory for its tables


class Text:
    """Characters on the device, 0 between runs of them."""

    def __init__(self, codes: Any, name: str) -> None:
        self.device, self.codes, self.size, self.name = load.device(), codes, len(codes), name
        if self.size > _MOST:
            raise BackendError(f"backend 'cuda' cannot serve words.{name} of {self.size} characters; at most {_MOST}")
        seen = self.device.zeros(_CODE_POINTS, np.uint8)
        self.launch("mark", self.size, [codes, np.int64(self.size), seen])
        present = np.flatnonzero(self.device.download(seen)[1:]) + 1
        number = np.zeros(_CODE_POINTS, np.uint32)
        number[present] = np.arange(1, len(present) + 1)
        self.number = self.device.upload(number)
        self.alphabet = self.device.upload(np.concatenate([[0], present]).astype(np.uint32))
        self.bits = max(1, len(present).bit_length())

    def launch(self, name: str, items: int, arguments: Sequence[Any], shared: int = 0) -> None:
        """Run a kernel that has a thread for each item."""
        if items:
            self.device.kernel(_TEXT, name)(-(-items // _THREADS), _THREADS, shared, arguments)


class Order:
    """Keys of `order` characters, forward (`direction` 1) or backward (-1), sorted.

    With `flag` the keys say whether there is a character on the other side, as entropies want to know.
    """

    def __init__(self, text: Text, order: int, direction: int, flag: bool) -> None:
        self.text, self.device, self.backward = text, text.device, direction < 0
        size, each = text.size, (64 - flag) // text.bits
        words = -(-order // each)
        need = size * (24 * words + 4 * order + 64)  # keys, what sorting takes, and all that levels have at a time
        if need > self.device.free_bytes():
            raise BackendError(
                f"backend 'cuda' cannot serve words.{text.name} of {size} characters: it needs {need} bytes of the "
                f"GPU's memory; {self.device.free_bytes()} are free"
            )
        packing = np.int64(size), *map(np.int32, (text.bits, each, flag, order))
        keys = self.device.empty((words, size), np.uint64)
        text.launch("pack", size, [text.codes, text.number, *packing, np.int32(direction), keys])
        self.keys = self.device.sorted_keys(keys)
        self.packed = [self.keys, *packing]
        self._depth = self.device.empty(size, np.uint8)
        text.launch("alike", size, [*self.packed, self._depth])
        self.flagged = self._selected("flagged", [self.keys], size, size) if flag else None

    def levels(self, longest: int, least: int) -> Iterator[Level]:
        """Yield n-grams of n = 1, 2, … up to the longest that come so often."""
        longer = self._runs(1)
        for n in range(1, longest + 1):
            begins, longer = longer, self._runs(n + 1) if self.flagged is not None or n < longest else longer
            runs = len(begins) - 1
            chosen = [*self.packed, begins, np.int32(n), np.int64(min(least, _MOST))]
            yield Level(self, n, begins, self._selected("frequent", chosen, runs), longer)

    def _runs(self, n: int) -> Any:
        return self._selected("runs", [self._depth, np.int32(n)], self.text.size)

    def _selected(self, which: str, arguments: Sequence[Any], items: int, length: int | None = None) -> Any:
        """Return the places of the items selected with their number behind them, or what else there is of a length."""
        tiles = -(-items // _TILE)
        tallies = self.device.empty(tiles + 1, np.uint32)
        self.text.launch(f"tally_{which}", tiles * _WARP, [*arguments, np.int64(items), tallies])
        add_up = self.device.kernel(_TEXT, "add_up")
        add_up(1, _SCAN, 4 * _SCAN // _WARP, [tallies, np.int64(tiles)])
        if length is None:
            length = int(self.device.download(tallies[-1:])[0])
        selected = self.device.empty(length + 1, np.int32)
        self.text.launch(f"select_{which}", tiles * _WARP, [*arguments, np.int64(items), tallies, selected])
        return selected


class Level:
    """The n-grams of one n that are kept, in the order of their keys; arrays are the device's."""

    def __init__(self, order: Order, n: int, begins: Any, kept: Any, longer: Any) -> None:
        self._order, self._n, self._begins, self._kept, self._longer = order, n, begins, kept, longer
        self.rows = len(kept) - 1

    def table(self) -> tuple[Any, Any]:
        """Return the n-grams as code points, and their counts."""
        device, text = self._order.device, self._order.text
        grams, counts = device.empty((self.rows, self._n), np.uint32), device.empty(self.rows, np.int64)
        places = [text.alphabet, self._begins, self._kept, np.int64(self.rows), np.int32(self._n)]
        text.launch("table", self.rows, [*self._order.packed, *places, grams, counts])
        return grams, counts

    def entropies(self) -> Any:
        """Return the entropies of the characters that follow."""
        order, entropy = self._order, self._order.device.empty(self.rows, np.float64)
        places = [self._begins, self._kept, np.int64(self.rows), np.int32(self._n)]
        longer = [self._longer, np.int32(len(self._longer) - 1), order.flagged]
        order.text.launch("entropies", self.rows, [*order.packed, *places, *longer, entropy], _LOGARITHM)
        return entropy

    def look_up(self, wanted: Any) -> Any:
        """Return the entropies for other n-grams, given forward as code points; 0 for one that is not here."""
        order, count = self._order, len(wanted)
        found = order.device.empty(count, np.float64)
        places = [order.text.alphabet, self._begins, self._kept, np.int64(self.rows), np.int32(self._n)]
        sought = [np.int32(order.backward), self.entropies(), wanted, np.int64(count), found]
        order.text.launch("look_up", count, [*order.packed, *places, *sought])
        return found
