"""Co-occurrence counts and word vectors, compiled."""

from kxfast._native.cooccurrence import Tokenizer, pairs, pmi, train_pmi

__all__ = ["Tokenizer", "pairs", "pmi", "train_pmi"]
