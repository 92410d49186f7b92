"""Wrong calls of the stem cooccurrence: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

C = kx.cooccurrence
TEXT = ["a b", "b c"]
CO = C.count(TEXT)
WV = C.WordVectors(np.eye(2), ["a", "b"])

# fmt: off
CALLS = [
    (lambda: C.count(3), TypeError, "corpus must be a path, paths, strings, token lists or ids; got int"),
    (lambda: C.count(b"a b"), TypeError, "corpus must be a path, paths, strings, token lists or ids; got bytes"),
    (lambda: C.count("no such file.txt"), FileNotFoundError, "corpus must be an existing file; got 'no such file.txt'"),
    (lambda: C.count([b"a b"]), TypeError, "corpus must hold paths, strings or lists of tokens; got bytes"),
    (lambda: C.count([["a", 1]]), TypeError, "corpus must hold lists of str; got a list with int"),
    (lambda: C.count(np.ones((2, 2), int)), ValueError, "corpus must have 1 dimensions; got shape (2, 2)"),
    (lambda: C.count(np.array([0.5])), TypeError, "corpus must be integers; got float64 with fractions"),
    (lambda: C.count(np.array([0, -2])), ValueError, "corpus must be at least -1; got -2"),
    (lambda: C.count(np.array([0, 3]), vocabulary=["a"]), ValueError,
     "corpus must hold ids below the vocabulary's size 1; got 3"),
    (lambda: C.count(np.array([0, 3]), min_count=2), ValueError, "min_count must be left out for a corpus of ids; got"),
    (lambda: C.count(TEXT, window=-1), ValueError, "window must be at least 0; got -1"),
    (lambda: C.count(TEXT, window=2.0), TypeError, "window must be an int; got float 2.0"),
    (lambda: C.count(TEXT, weighting="1/d"), ValueError, "weighting must be one of 'uniform', 'harmonic'; got str '1/"),
    (lambda: C.count(TEXT, direction="both"), ValueError, "direction must be one of 'symmetric', 'left', 'right'; got"),
    (lambda: C.count(TEXT, min_count=0), ValueError, "min_count must be at least 1; got 0"),
    (lambda: C.count(TEXT, max_size=-1), ValueError, "max_size must be at least 0; got -1"),
    (lambda: C.count(TEXT, vocabulary=["a"], max_size=1), ValueError,
     "max_size must be left out when a vocabulary is given; got 1"),
    (lambda: C.count(TEXT, vocabulary=["a", "a"]), ValueError, "words must be different from each other; got 'a' twic"),
    (lambda: C.count(TEXT, vocabulary="a"), TypeError, "words must be a sequence of str; got str"),
    (lambda: C.count(TEXT, vocabulary=[1]), TypeError, "words must hold str; got int"),
    (lambda: C.count(TEXT, subsample=0), ValueError, "subsample must be above 0; got 0"),
    (lambda: C.count(TEXT, subsample=0.1, seed=-1), ValueError, "seed must be at least 0; got -1"),
    (lambda: C.count(TEXT, errors="ignore"), ValueError, "errors must be one of 'strict', 'replace'; got str 'ignore'"),
    (lambda: C.count(TEXT, backend="numba"), kx.BackendError, "backend 'numba' cannot serve cooccurrence.pairs"),
    (lambda: C.Vocabulary(["a"], [1, 2]), ValueError, "counts must have shape (1,) to match 1 words; got (2,)"),
    (lambda: C.Vocabulary(["a"], [-1]), ValueError, "counts must be at least 0; got -1"),
    (lambda: CO + C.count(TEXT, window=3), ValueError, "window must be 5 in both terms; got 3"),
    (lambda: CO + C.count(["a b"]), ValueError, "vocabulary must have the same 3 words in both terms; got 2 others"),
    (lambda: CO + 1, TypeError, "unsupported operand"),
    (lambda: C.load("nowhere"), FileNotFoundError, "path must be an existing file; got 'nowhere'"),
    (lambda: C.load(__file__), ValueError, "path must be a file that Cooccurrence.save wrote; got"),
    (lambda: C.pmi(CO.matrix), TypeError, "co must be a Cooccurrence, as count returns it; got csr_array"),
    (lambda: C.pmi(CO, positive=1), TypeError, "positive must be True or False; got int 1"),
    (lambda: C.pmi(CO, shift=np.nan), ValueError, "shift must be finite; got nan"),
    (lambda: C.pmi(CO, smoothing=-1), ValueError, "smoothing must be at least 0; got -1"),
    (lambda: C.pmi(CO, marginals="columns"), ValueError, "marginals must be one of 'corpus', 'rows'; got str 'columns"),
    (lambda: C.pmi(C.Cooccurrence(CO.matrix, C.Vocabulary(["b", "c", "a"]))), ValueError,
     "co must have counts above 0 for words in pairs; got 0 for 'b'"),
    (lambda: C.word_vectors(TEXT), TypeError, "co must be a Cooccurrence, as count returns it; got list"),
    (lambda: C.word_vectors(CO, dim=0), ValueError, "dim must be at least 1; got 0"),
    (lambda: C.word_vectors(CO, method="glove"), ValueError, "method must be one of 'pmi', 'svd'; got str 'glove'"),
    (lambda: C.word_vectors(CO, dim=4, method="svd"), ValueError,
     "dim must be at most the vocabulary's size 3 for method 'svd'; got 4"),
    (lambda: C.word_vectors(CO, model=3), ValueError, "model must be from 0 to 2; got 3"),
    (lambda: C.word_vectors(CO, x_max=0), ValueError, "x_max must be above 0; got 0"),
    (lambda: C.word_vectors(CO, epochs=-1), ValueError, "epochs must be at least 0; got -1"),
    (lambda: C.WordVectors(np.eye(3), ["a"]), ValueError, "vectors must have 1 rows to match the words; got shape (3,"),
    (lambda: C.WordVectors([[np.nan]], ["a"]), ValueError, "vectors must be finite; got nan at index (0, 0)"),
    (lambda: WV["c"], KeyError, "word must be in the vocabulary; got 'c'"),
    (lambda: WV.most_similar("c"), KeyError, "word must be in the vocabulary; got 'c'"),
    (lambda: WV.most_correlated("a", k=-1), ValueError, "k must be at least 0; got -1"),
    (lambda: WV.most_similar("a", jitter=0), ValueError, "jitter must be above 0; got 0"),
    (lambda: C.WordVectors.load(__file__), ValueError, "path must hold a word and numbers in each line; got line 1 of"),
]
