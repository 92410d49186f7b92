"""Word discovery and unigram segmentation (articles 3491, 3913, 5476 and 6920 of kexue.fm)."""

from kxfast.words.discover import METHODS, discover
from kxfast.words.gain import merge_gain
from kxfast.words.lexicon import Lexicon, load
from kxfast.words.ngrams import NGrams, count_ngrams
from kxfast.words.segment import TIES, Segmenter

__all__ = ["METHODS", "TIES", "Lexicon", "NGrams", "Segmenter", "count_ngrams", "discover", "load", "merge_gain"]
