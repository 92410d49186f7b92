"""What tells a user how far long work has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxfast import checks


def reporter(value: bool | Callable[..., Any], unit: str) -> Callable[[int, int], None] | None:
    """Return a callable ``(done, total)``: None, a tqdm bar for True, or the user's ``(done, total, unit)``."""
    if callable(value):
        return lambda done, total: value(done, total, unit)
    if not checks.boolean("progress", value):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm; install it, or pass a callable (done, total, unit)") from None
    bar = tqdm(unit=unit, unit_scale=True)

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show
