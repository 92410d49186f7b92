"""Counting the pairs of words that stand near each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from kxfast import checks
from kxfast.cooccurrence import counting, npz
from kxfast.cooccurrence.counting import Rules, Run, Tokens
from kxfast.cooccurrence.matrix import Cooccurrence, load
from kxfast.cooccurrence.sharing import Ids, by_executor
from kxfast.cooccurrence.spilling import Spilled
from kxfast.cooccurrence.vocabulary import Vocabulary
from kxfast.corpus import is_list_of_files
from kxfast.dispatch import implementation
from kxfast.files import scratch_folder
from kxfast.progress import reporter

WEIGHTINGS = ("uniform", "harmonic")
DIRECTIONS = ("symmetric", "left", "right")


def count(
    corpus: Any,
    *,
    window: int | None = 5,
    weighting: str = "uniform",
    direction: str = "symmetric",
    vocabulary: Any = None,
    min_count: int = 1,
    max_size: int | None = None,
    subsample: float | None = None,
    seed: Any = None,
    errors: str = "strict",
    memory_limit: int | None = None,
    output: Any = None,
    threads: int | None = None,
    executor: Any = None,
    progress: Any = False,
    backend: str | None = None,
) -> Cooccurrence:
    """Count how often each two words stand within `window` tokens of each other in a document.

    Words outside the vocabulary are taken out first: they fill no place of the window.

    Parameters
    ----------
    corpus : path, iterable of paths, of str or of token lists, or 1-D array of ids
        Files (.txt, .gz, .xz, .zst) hold one document a line; a str in an iterable is one document. Tokens are runs
        between spaces, tabs and line ends. In an array of ids -1 ends a document.
    window : int or None
        The largest distance, in tokens; 0 counts nothing, None counts every two tokens of a document.
    weighting : {"uniform", "harmonic"}
        A pair at distance d counts 1 or 1/d; the latter are summed exactly.
    direction : {"symmetric", "left", "right"}
        "left": ``X[a, b]`` counts a to the left of b; "right" its transpose; "symmetric" their sum.
    vocabulary : Vocabulary or sequence of str, optional
        The words to count. By default those of the corpus, by descending count, equal ones in the order of their
        characters. For ids the default is as many words as the largest id needs, named by their numbers.
    min_count : int
        Words that occur less often are left out of a vocabulary made here.
    max_size : int, optional
        Most words of a vocabulary made here.
    subsample : float, optional
        A token of a word with the share f of all tokens is kept with probability ``min(1, sqrt(subsample / f))``.
    seed : int, SeedSequence or Generator, optional
        Of the subsampling.
    errors : {"strict", "replace"}
        What to do with bytes of files that are not UTF-8.
    memory_limit : int, optional
        Bytes that this process may use, the interpreter among them. Tokens and counts are then kept in files below
        ``TMPDIR`` and merged; it is kept within a tenth and 64 MiB if the vocabulary and the matrix fit.
    output : path, optional
        Write the counts to this file as they are merged, in the format of `Cooccurrence.save`; the matrix that is
        returned stays in the file and is read as it is used (`load` with ``memory_map=True``).
    threads : int, optional
        By default those of `kxfast.get_num_threads`; 1 for each task of an executor.
    executor : concurrent.futures.Executor, optional
        Counts shards of the corpus, which all its workers can read, in other processes or on other machines.
    progress : bool or callable
        Show a bar, or call ``(done, total, unit)``: bytes while plain files are read ("B"), tokens while pairs are
        counted ("token"), tasks of an executor ("task").
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    Cooccurrence

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a file is not UTF-8.
    FileNotFoundError
        If a file is missing.

    Notes
    -----
    Sources: article 4667 and following of kexue.fm; Pennington et al. 2014; Mikolov et al. 2013 (subsampling).

    Examples
    --------
    >>> import kxfast as kx
    >>> found = kx.cooccurrence.count(["a b a c", "b c d b", "a b"], window=1, min_count=2)
    >>> found.vocabulary.words, found.matrix.toarray().tolist()
    (('b', 'a', 'c'), [[0, 3, 2], [3, 0, 1], [2, 1, 0]])

    """
    reach = None if window is None else checks.integer("window", window, low=0)
    checks.choice("weighting", weighting, WEIGHTINGS)
    checks.choice("direction", direction, DIRECTIONS)
    min_count = checks.integer("min_count", min_count, low=1)
    max_size = None if max_size is None else checks.integer("max_size", max_size, low=0)
    subsample = None if subsample is None else checks.number("subsample", subsample, above=0)
    checks.choice("errors", errors, ("strict", "replace"))
    limit = None if memory_limit is None else checks.integer("memory_limit", memory_limit, low=1)
    workers, threads = checks.executor(executor), checks.threads(threads)
    bytes_read, pairs_done = _reports(corpus, progress, workers is not None)
    implementation("cooccurrence", "pairs", backend)
    given = vocabulary if vocabulary is None or isinstance(vocabulary, Vocabulary) else Vocabulary(vocabulary)
    ids = _ids(corpus) if _is_ids(corpus) else None
    for name, value, unset in ("min_count", min_count, 1), ("max_size", max_size, None):
        if value != unset and (given is not None or ids is not None):
            reason = "when a vocabulary is given" if given is not None else "for a corpus of ids"
            raise ValueError(f"{name} must be left out {reason}; got {value}")
    key = checks.seed(seed) if subsample is not None else 0
    threads = threads or (1 if workers is not None else 0)
    rules = Rules(reach, weighting, direction, min_count, max_size, subsample, key, errors, backend, threads)
    tokens = None if ids is None else _of_ids(ids, given)
    with ExitStack() as stack:
        target = None if output is None else _target(output)
        spills = limit is not None or target is not None
        folder = stack.enter_context(scratch_folder()) if spills else None
        if workers is not None:
            source, known = (corpus, given) if tokens is None or ids is None else (Ids(ids), tokens.vocabulary)
            run, found = by_executor(source, known, rules, workers, pairs_done)
            spilled = Spilled(rules, len(found), folder, limit) if folder else None
            if spilled is None:
                return Cooccurrence(_of_run(run, rules, len(found)), found, reach, weighting, direction)
            spilled.add(run)
        else:
            tokens = tokens or counting.read(corpus, given, rules, folder, bytes_read)
            tokens = tokens.thinned(rules)
            found = tokens.vocabulary
            if folder is None:
                plain = counting.in_memory(tokens, rules, pairs_done)
                return Cooccurrence(as_matrix(plain), found, reach, weighting, direction)
            spilled = Spilled(rules, len(found), folder, limit)
            spilled.count(tokens, pairs_done)
            del tokens
        result = Cooccurrence(None, found, reach, weighting, direction)
        indptr = spilled.finish()
        if target is None:
            return replace(result, matrix=as_matrix(spilled.matrix(indptr)))
        npz.write(target, {**result.head(), **spilled.members(indptr)})
        return load(target, memory_map=True)


def as_matrix(plain: tuple[checks.Array, checks.Array, checks.Array]) -> Any:
    """Return (indptr, indices, data) of a square matrix as a csr_array, indices of 32 bits where they are enough."""
    indptr, indices, data = plain
    size = len(indptr) - 1
    index = np.int32 if max(size, len(indices)) < 2**31 else np.int64
    plain = data, indices.astype(index, copy=False), indptr.astype(index, copy=False)
    return sparse.csr_array(plain, (size, size))


def _of_run(run: Run, rules: Rules, size: int) -> Any:
    rows, cells, columns, values = rules.decoded(run)
    return as_matrix((counting.begins(rows, cells, size), columns, values))


def _is_ids(corpus: Any) -> bool:
    if isinstance(corpus, np.ndarray):
        return corpus.dtype.kind in "iubfc"
    if isinstance(corpus, (list, tuple)):
        return bool(corpus) and all(hasattr(each, "__index__") and np.ndim(each) == 0 for each in corpus[:8])
    return hasattr(corpus, "__dlpack__")


def _ids(corpus: Any) -> checks.Array:
    """Return ids in 32 bits, the array itself if it has them."""
    if not (isinstance(corpus, np.ndarray) and corpus.dtype.kind == "i" and corpus.ndim == 1 and len(corpus)):
        corpus = checks.integers("corpus", corpus, ndim=1, low=-1)
    low, high = int(corpus.min(initial=0)), int(corpus.max(initial=-1))
    if low < -1:
        raise ValueError(f"corpus must be at least -1; got {low}")
    if high >= 2**31 - 1:
        raise ValueError(f"corpus must hold ids below {2**31 - 1}; got {high}")
    return checks.canonical(corpus.astype(np.int32, copy=False))


def _of_ids(ids: checks.Array, given: Vocabulary | None) -> Tokens:
    counts = np.zeros(0, np.int64)
    pieces = [ids[at : at + (1 << 18)] for at in range(0, len(ids), 1 << 18)]
    for piece in pieces:
        some = np.bincount(piece[piece >= 0], minlength=len(counts))
        some[: len(counts)] += counts
        counts = some
    size = len(counts) if given is None else len(given)
    if len(counts) > size:
        raise ValueError(f"corpus must hold ids below the vocabulary's size {size}; got {len(counts) - 1}")
    words = [str(i) for i in range(size)] if given is None else given.words
    return Tokens(pieces, None, Vocabulary(words, np.append(counts, np.zeros(size - len(counts), np.int64))))


def _target(output: Any) -> Path:
    if not isinstance(output, (str, os.PathLike)):
        raise TypeError(f"output must be a path; got {type(output).__name__}")
    path = Path(output)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"output must be in an existing folder; got '{path}'")
    return path


def _reports(corpus: Any, progress: Any, shared: bool) -> tuple[Callable[[int], None] | None, Any]:
    """Return who hears of bytes that have been read, and who of tokens or tasks that have been counted."""
    later = reporter(progress, "task" if shared else "token")
    paths = [corpus] if isinstance(corpus, (str, os.PathLike)) else corpus
    if later is None or shared or not isinstance(paths, (list, tuple)):
        return None, later
    if isinstance(paths[0] if paths else None, str) and not isinstance(corpus, str) and not is_list_of_files(paths):
        return None, later
    files = [Path(each) for each in paths if isinstance(each, (str, os.PathLike))]
    if len(files) < len(paths) or any(each.suffix.lower() in (".gz", ".xz", ".zst") for each in files):
        return None, later
    total = sum(checks.readable_file("corpus", each).stat().st_size for each in files)
    show, done = reporter(progress, "B"), 0

    def read(size: int) -> None:
        nonlocal done
        done += size
        if show is not None:
            show(done, total)

    return read, later
