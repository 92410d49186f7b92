"""Wrong calls of the stem words."""

import kxfast as kx

SEG = kx.words.Segmenter({"a": 1})
TWO = ["ab", "b"]
count, discover, Segmenter = kx.words.count_ngrams, kx.words.discover, kx.words.Segmenter

# fmt: off
CALLS = [
    (lambda: count(5), TypeError, "corpus must be a path, or paths or strings; got int"),
    (lambda: count([1, 2]), TypeError, "corpus must hold paths or strings; got int"),
    (lambda: count("no such file.txt"), FileNotFoundError, "corpus must be an existing file; got 'no such file.txt'"),
    (lambda: count(b"bytes"), TypeError, "corpus must be a path, or paths or strings; got bytes"),
    (lambda: count(TWO, max_order=0), ValueError, "max_order must be from 1 to 8; got 0"),
    (lambda: count(TWO, max_order=9), ValueError, "max_order must be from 1 to 8; got 9"),
    (lambda: count(TWO, max_order=2.0), TypeError, "max_order must be an int; got float 2.0"),
    (lambda: count(TWO, min_count=0), ValueError, "min_count must be at least 1; got 0"),
    (lambda: count(TWO, counts="some"), ValueError, "counts must be one of 'exact', 'kenlm'; got str 'some'"),
    (lambda: count(TWO, threads=0), ValueError, "threads must be at least 1; got 0"),
    (lambda: count(TWO, errors="ignore"), ValueError, "errors must be one of 'strict', 'replace'"),
    (lambda: count(TWO, backend="fast"), ValueError, "backend must be one of native, numba, cuda, reference; got 'fast'"),
    (lambda: count(TWO, backend="numba"), kx.BackendError, "backend 'numba' cannot serve words."),
    (lambda: count(TWO, counts="kenlm", backend="native"), kx.BackendError, "available: reference"),
    (lambda: count(TWO).ngrams(5), ValueError, "n must be from 1 to 4; got 5"),
    (lambda: count(TWO).cohesion(1), ValueError, "n must be from 2 to 4; got 1"),
    (lambda: count(TWO)["abcde"], KeyError, "gram must be a str of 1 to 4 characters; got 'abcde'"),
    (lambda: discover(TWO, method="best"), ValueError, "method must be one of 'cut', 'strict', 'entropy'"),
    (lambda: discover(TWO, min_pmi=(0, 1)), ValueError, "min_pmi must have a value for each length up to max_length=4; got 2"),
    (lambda: discover(TWO, min_pmi="2"), TypeError, "min_pmi must be a number; got str '2'"),
    (lambda: discover(TWO, min_pmi=float("nan")), ValueError, "min_pmi must be finite; got nan"),
    (lambda: discover(TWO, max_length=1), ValueError, "max_length must be from 2 to 8; got 1"),
    (lambda: discover(TWO, min_entropy=1.0), ValueError, "min_entropy must be None for method='cut'; got 1.0"),
    (lambda: discover(TWO, method="strict", counts="kenlm"), ValueError, "counts must be 'exact' for method='strict'"),
    (lambda: discover(TWO, method="minimum_entropy", min_proba=2), ValueError, "min_proba must be from 0 to 1; got 2"),
    (lambda: Segmenter({}), ValueError, "lexicon must hold a word with a count above 0; got none"),
    (lambda: Segmenter({"a": 0}), ValueError, "lexicon must hold a word with a count above 0; got none"),
    (lambda: Segmenter({"a": -1}), ValueError, "lexicon must map words to ints that are at least 0; got 'a': -1"),
    (lambda: Segmenter({"": 1}), ValueError, "lexicon must map words to ints that are at least 0; got '': 1"),
    (lambda: Segmenter(["a"]), TypeError, "lexicon must be a mapping from words to counts, or a path; got list"),
    (lambda: Segmenter({"a": 1}, tie="any"), ValueError, "tie must be one of 'longest_first', 'longest_last'"),
    (lambda: Segmenter({"a": 1}, unknown=1), ValueError, "unknown must be at most 0; got 1"),
    (lambda: Segmenter("missing.txt"), FileNotFoundError, "path must be an existing file; got 'missing.txt'"),
    (lambda: SEG.cut(b"a"), TypeError, "text must be a str; got bytes"),
    (lambda: SEG.cut_many("text"), TypeError, "texts must be an iterable of str; got str"),
    (lambda: SEG.cut_many(["a", None]), TypeError, "texts must hold str; got NoneType"),
    (lambda: SEG.sample("a", -1), ValueError, "alpha must be at least 0; got -1"),
    (lambda: SEG.sample("a", 1, seed=-1), ValueError, "seed must be at least 0; got -1"),
    (lambda: kx.words.load(3), TypeError, "path must be a path; got int 3"),
    (lambda: kx.words.Lexicon(["a"]), TypeError, "counts must be a mapping from words to counts; got list"),
    (lambda: kx.words.Lexicon({"a b": 1}), ValueError, "counts must have words without white space as keys; got 'a b'"),
    (lambda: kx.words.Lexicon({"a": 1.5}), ValueError, "counts must be ints that are at least 0; got 1.5 for 'a'"),
    (lambda: kx.words.merge_gain(0.1, [0.2]), ValueError, "parts must be a sequence of at least 2 probabilities; got [0.2]"),
    (lambda: kx.words.merge_gain(0.3, [0.2, 0.5]), ValueError, "joint must be at most 0.2; got 0.3"),
    (lambda: kx.words.merge_gain(0.1, [0.2, 1.5]), ValueError, "parts must be at most 1; got 1.5"),
]
