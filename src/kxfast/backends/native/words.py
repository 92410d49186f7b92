"""Word discovery and segmentation, compiled."""

from kxfast._native.words import Segmenter, count_ngrams, discover_cut, discover_strict, neighbor_entropy
from kxfast._strings import code_points, decode, log_scores, parse_lexicon, pieces, runs

__all__ = [
    "Segmenter",
    "code_points",
    "count_ngrams",
    "decode",
    "discover_cut",
    "discover_strict",
    "log_scores",
    "neighbor_entropy",
    "parse_lexicon",
    "pieces",
    "runs",
]
