"""Word discovery and segmentation (spec: Unsupervised word discovery)."""

from kxfast.backends.reference.words.discover import cohesion, kept_ngrams, kept_pairs, without_redundant
from kxfast.backends.reference.words.gain import merge_gain
from kxfast.backends.reference.words.ngrams import count_ngrams, count_with_entropies, neighbor_entropy
from kxfast.backends.reference.words.runs import (
    entropies_of_runs,
    merge_runs,
    neighbor_run,
    ngram_run,
    run_of_words,
    segment_run,
    tables_of_runs,
    word_ratios,
    words_of_runs,
)
from kxfast.backends.reference.words.segment import Segmenter, build_trie
from kxfast.backends.reference.words.strings import (
    Utf8Runs,
    code_points,
    decode,
    joined,
    log_scores,
    parse_lexicon,
    pieces,
    runs,
)

__all__ = [
    "Segmenter",
    "Utf8Runs",
    "build_trie",
    "code_points",
    "cohesion",
    "count_ngrams",
    "count_with_entropies",
    "decode",
    "entropies_of_runs",
    "joined",
    "kept_ngrams",
    "kept_pairs",
    "log_scores",
    "merge_gain",
    "merge_runs",
    "neighbor_entropy",
    "neighbor_run",
    "ngram_run",
    "parse_lexicon",
    "pieces",
    "run_of_words",
    "runs",
    "segment_run",
    "tables_of_runs",
    "without_redundant",
    "word_ratios",
    "words_of_runs",
]
