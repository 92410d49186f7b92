"""Word discovery and segmentation (spec: Unsupervised word discovery)."""

from kxfast.backends.reference.words.discover import (
    discover_cut,
    discover_cut_kenlm,
    discover_entropy,
    discover_minimum_entropy,
    discover_pairs,
    discover_strict,
)
from kxfast.backends.reference.words.gain import merge_gain
from kxfast.backends.reference.words.ngrams import count_ngrams, count_ngrams_kenlm, neighbor_entropy
from kxfast.backends.reference.words.segment import Segmenter
from kxfast.backends.reference.words.strings import code_points, decode, log_scores, parse_lexicon, pieces, runs

__all__ = [
    "Segmenter",
    "code_points",
    "count_ngrams",
    "count_ngrams_kenlm",
    "decode",
    "discover_cut",
    "discover_cut_kenlm",
    "discover_entropy",
    "discover_minimum_entropy",
    "discover_pairs",
    "discover_strict",
    "log_scores",
    "merge_gain",
    "neighbor_entropy",
    "parse_lexicon",
    "pieces",
    "runs",
]
