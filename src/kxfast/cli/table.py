"""Tables of text that show each row as soon as it is known, and a line of progress on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence


class Table:
    """Columns of given widths; the first is aligned left, the rest right unless said otherwise."""

    def __init__(self, names: Sequence[str], widths: Sequence[int], left: int = 1) -> None:
        self._widths, self._left = widths, left
        self.row(names)
        print("-" * (sum(widths) + 2 * (len(widths) - 1)))

    def row(self, cells: Sequence[str]) -> None:
        """Print one row."""
        progress("")
        padded = [
            cell.ljust(width) if column < self._left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        ]
        print("  ".join(padded).rstrip(), flush=True)


def progress(text: str) -> None:
    """Show what is being done on the terminal's last line; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def short(value: float, unit: str = "") -> str:
    """Return a number with three digits and a prefix, such as 12.3 M."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def seconds(value: float) -> str:
    """Return a time in the unit that suits it."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
