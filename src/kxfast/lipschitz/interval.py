"""What is known of a norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kxfast import checks


@dataclass(frozen=True, eq=False)
class Interval:
    """An enclosure ``lower <= sigma <= upper`` of spectral norms; always true, only its width varies.

    Attributes
    ----------
    lower, upper : float, or float64 arrays of the stack's shape
        The ends.
    kind : {"proof", "random", "estimate"}
        How the upper end was obtained: proven with roundings accounted for; true except with probability `failure`
        over the random start; not asked for (`upper` is inf).
    failure : float
        Probability that an upper end is wrong: 0 unless `kind` is "random".
    steps : int, or int64 array
        Lanczos steps, each one application of the matrix and one of its transpose.
    u, v : arrays
        Unit vectors of the output and input side with ``u' A v`` at least `lower`; 0 where the norm is 0.

    """

    lower: Any
    upper: Any
    kind: str
    failure: float
    steps: Any
    u: Any
    v: Any


KINDS = {"proof": "proof", "random": "random", None: "estimate"}


def ends(tol: Any, upper: Any, failure: Any, options: tuple[str, ...]) -> tuple[float, str | None, float]:
    """Return the canonical choice of how a norm is enclosed."""
    if upper is not None:
        checks.choice("upper", upper, options, None)
    failure = checks.number("failure", failure, above=0)
    if failure >= 1:
        raise ValueError(f"failure must be below 1; got {failure:g}")
    return checks.number("tol", tol, above=0), upper, failure
