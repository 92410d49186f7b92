"""What merging adjacent items gains in mean information per character (spec, section 5)."""

from __future__ import annotations

from math import log, prod


def merge_gain(joint: float, parts: tuple[float, ...], exact: bool) -> float:
    """F of the minimum entropy principle, or F*, which is at most F."""
    information = log(joint / prod(parts))
    if not exact:
        return joint * (information - 1)
    rest = 1 - (len(parts) - 1) * joint
    left = sum((p - joint) * log(1 - joint / p) for p in parts if p != joint)
    return joint * information - (rest * log(rest) if rest else 0.0) + left
