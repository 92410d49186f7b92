"""From probabilities of starts and ends to answers, and from many passages' answers to one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kxfast import checks
from kxfast.dispatch import implementation


def extract_span(
    start: Any,
    end: Any,
    passage: str | Sequence[Any],
    *,
    threshold: float = 0.1,
    max_length: int = 12,
    backend: str | None = None,
) -> dict[Any, float]:
    """Score the spans of one passage: start probability times end probability, the best of equal spans.

    Parameters
    ----------
    start, end : arrays, shape (L,)
        Probability that the answer starts (ends, inclusive) at each token; L is at least the passage's length, what
        is beyond it is ignored.
    passage : str or sequence of tokens
    threshold : float
        Starts and ends must be above it.
    max_length : int
        Most tokens of a span.
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    dict
        Span (a str, or a tuple of tokens) to score, in the order of first occurrence (by start, then end).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: article 6906 of kexue.fm and the author's code for it.

    Examples
    --------
    >>> import kxfast as kx
    >>> spans = kx.conv.extract_span([0.0, 0.9, 0.0, 0.2], [0.0, 0.5, 0.8, 0.3], "在北京北")
    >>> {span: round(score, 2) for span, score in spans.items()}
    {'北': 0.45, '北京': 0.72, '北京北': 0.27}

    """
    if not isinstance(passage, (str, Sequence)):
        raise TypeError(f"passage must be a str or a sequence of tokens; got {type(passage).__name__}")
    first = checks.floating("start", start, ndim=1, half=True)
    last = checks.floating("end", end, ndim=1, half=True)
    length = len(passage)
    for name, each in ("start", first), ("end", last):
        if len(each) < length:
            raise ValueError(f"{name} must have shape (L,) with L at least {length} tokens; got {each.shape}")
    least = checks.number("threshold", threshold)
    most = checks.integer("max_length", max_length, low=1)
    first, last = checks.common_float(start=first[:length], end=last[:length])
    run = implementation("conv", "extract_span", backend, first.dtype.char)
    best: dict[Any, float] = {}
    for i, j, score in zip(*run(first, last, least, most), strict=True):
        span = passage[i : j + 1] if isinstance(passage, str) else tuple(passage[i : j + 1])
        best[span] = max(best.get(span, 0.0), float(score))
    return best


def vote(passages: Iterable[Mapping[Any, float]]) -> tuple[Any, dict[Any, float]]:
    """Combine the spans of several passages: a span with scores v has ``sum(v^2) / (1 + sum(v))`` votes.

    Parameters
    ----------
    passages : iterable of mappings
        Span to score, as `extract_span` returns it, one for each passage.

    Returns
    -------
    answer : span with most votes, the first met of equals; None if there is none
    votes : dict
        Span to votes, descending, equals in the order they were met.

    Raises
    ------
    TypeError, ValueError
        If `passages` are not mappings to finite numbers of at least 0.

    Notes
    -----
    Source: article 5409 of kexue.fm.

    Examples
    --------
    >>> import kxfast as kx
    >>> answer, votes = kx.conv.vote([{"北京": 0.9}, {"北京": 0.3, "南京": 0.7}, {}])
    >>> answer, round(votes["北京"], 9), round(votes["南京"], 9)
    ('北京', 0.409090909, 0.288235294)

    """
    if isinstance(passages, (str, bytes, Mapping)) or not isinstance(passages, Iterable):
        raise TypeError(f"passages must be an iterable of mappings; got {type(passages).__name__}")
    scores: dict[Any, list[float]] = {}
    for n, spans in enumerate(passages):
        if not isinstance(spans, Mapping):
            raise TypeError(f"passages[{n}] must be a mapping from spans to scores; got {type(spans).__name__}")
        for span, score in spans.items():
            scores.setdefault(span, []).append(checks.number(f"passages[{n}][{span!r}]", score, low=0))
    votes = {span: sum(v * v for v in each) / (1 + sum(each)) for span, each in scores.items()}
    ranked = dict(sorted(votes.items(), key=lambda item: -item[1]))
    return next(iter(ranked), None), ranked
