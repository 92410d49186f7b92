"""Windowed co-occurrence counts, PMI and word vectors (article 4667 and following of kexue.fm)."""

from kxfast.cooccurrence.count import count
from kxfast.cooccurrence.exchange import read_glove, read_vocabulary, write_glove, write_vocabulary
from kxfast.cooccurrence.matrix import Cooccurrence, load, merge
from kxfast.cooccurrence.pmi import pmi
from kxfast.cooccurrence.training import word_vectors
from kxfast.cooccurrence.vectors import WordVectors
from kxfast.cooccurrence.vocabulary import Vocabulary

__all__ = [
    "Cooccurrence",
    "Vocabulary",
    "WordVectors",
    "count",
    "load",
    "merge",
    "pmi",
    "read_glove",
    "read_vocabulary",
    "word_vectors",
    "write_glove",
    "write_vocabulary",
]
