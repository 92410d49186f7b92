"""Pictures of masks (matplotlib, optional)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#e9e9ee", "#2f6db3", "#e6a19a")  # forbidden, allowed, rows that may attend to nothing
MOST_CELLS_WITH_LINES = 40


def draw(allowed: NDArray[np.bool_], title: str, labels: Any, ax: Any) -> Any:
    """Draw one pattern (q_len, k_len): queries downwards, keys to the right."""
    try:
        from matplotlib import pyplot
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Patch
    except ImportError:
        raise ImportError("plot needs matplotlib; install kxfast[bench] or matplotlib") from None
    rows, columns = allowed.shape
    if labels is not None and len(labels) < columns:
        raise ValueError(f"labels must have at least {columns} entries, one for each key; got {len(labels)}")
    if ax is None:
        _, ax = pyplot.subplots(figsize=(6, 6), layout="constrained")
    shown = np.where(allowed.any(1, keepdims=True), allowed, 2)
    ax.imshow(shown, cmap=ListedColormap(COLOURS), vmin=0, vmax=2, interpolation="nearest", aspect="equal")
    if max(rows, columns) <= MOST_CELLS_WITH_LINES:
        ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1.2)
        ax.tick_params(which="minor", length=0)
    if labels is not None:
        ax.set_xticks(np.arange(columns), [str(each) for each in labels[:columns]])
        if rows <= columns:  # the queries are the last of the tokens
            ax.set_yticks(np.arange(rows), [str(each) for each in labels[columns - rows : columns]])
    ax.xaxis.set_label_position("top")
    ax.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    ax.set_xlabel("key j")
    ax.set_ylabel("query i")
    ax.set_title(f"{title}\n{allowed.mean():.0%} of pairs allowed")
    names = ["query may attend to key", "may not", "query may attend to nothing"]
    colours = [COLOURS[1], COLOURS[0], COLOURS[2]]
    present = [shown == 1, shown == 0, shown == 2]
    handles = [Patch(color=c, label=n) for c, n, p in zip(colours, names, present, strict=True) if p.any()]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=len(handles), frameon=False)
    return ax
