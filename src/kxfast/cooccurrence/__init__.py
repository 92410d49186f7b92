"""Windowed co-occurrence counts, PMI and word vectors (article 4667 and following of kexue.fm)."""

from kxfast.cooccurrence.count import Cooccurrence, count, load
from kxfast.cooccurrence.pmi import pmi
from kxfast.cooccurrence.training import word_vectors
from kxfast.cooccurrence.vectors import WordVectors
from kxfast.cooccurrence.vocabulary import Vocabulary

__all__ = ["Cooccurrence", "Vocabulary", "WordVectors", "count", "load", "pmi", "word_vectors"]
