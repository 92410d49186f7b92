"""Fitting word vectors to PMI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.matrix import Cooccurrence
from kxfast.cooccurrence.pmi import checked, pmi
from kxfast.cooccurrence.vectors import WordVectors
from kxfast.dispatch import implementation
from kxfast.progress import reporter

_STRIPE = 1 << 18  # bytes of the vectors and accumulators of a stripe of words: two fit into an L2 cache


def word_vectors(
    co: Cooccurrence,
    *,
    dim: int = 100,
    method: str = "pmi",
    epochs: int = 25,
    x_max: float = 100,
    alpha: float = 0.75,
    eta: float = 0.1,
    model: int = 0,
    truncate: bool = True,
    n_iter: int = 4,
    dtype: Any = np.float32,
    seed: Any = None,
    threads: int | None = None,
    progress: Any = False,
    on_epoch: Callable[[int, float], Any] | None = None,
    backend: str | None = None,
) -> WordVectors:
    """Fit vectors whose inner products are the words' PMI.

    "pmi" minimises the sum of ``f(x) (<v_i, v_j> - PMI_ij)^2 / 2`` over the stored pairs of different words with
    ``f(x) = min(1, (x / x_max)^alpha)``, by AdaGrad on one pair after the other. The order is shuffled once within
    blocks of words that have no word in common, so that threads need not wait for each other.
    "svd" takes the singular vectors of the positive PMI times the roots of the singular values.

    Parameters
    ----------
    co : Cooccurrence
    dim : int
        Dimensions of a vector; at most V for "svd".
    method : {"pmi", "svd"}
    epochs : int
        Turns over all pairs ("pmi").
    x_max, alpha : float
        Of the weight f ("pmi").
    eta : float
        Learning rate ("pmi").
    model : {0, 1, 2}
        0: one vector a word; 1 and 2: another for words as contexts, which is appended (to 2 dim) or added ("pmi").
    truncate : bool
        Whether f is cut at 1 ("pmi").
    n_iter : int
        Power iterations ("svd").
    seed : int, SeedSequence or Generator, optional
        Of the start, the order, or the sketch. The same seed gives the same vectors, on any number of threads.
    dtype : {float32, float64}
        What is computed in.
    threads : int, optional
        By default those of `kxfast.get_num_threads`.
    progress : bool or callable
        Show a bar, or call ``(done, total, "pair")`` ("pmi").
    on_epoch : callable, optional
        Called with the number of each epoch, from 1, and its loss, the sum over all pairs ("pmi").
    backend : str, optional
        See `kxfast.use_backend`.

    Returns
    -------
    WordVectors

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range, or a word of a pair has the count 0.

    Notes
    -----
    Cost: epochs * pairs * dim; memory: 60 bytes a pair while it begins, 16 (float32) while it trains. Sources: article
    4667 and following of kexue.fm, bojone/simpler_glove; Duchi et al. 2011 (AdaGrad); Levy and Goldberg 2014 and Halko
    et al. 2011 ("svd").

    Examples
    --------
    >>> import kxfast as kx
    >>> found = kx.cooccurrence.count(["a b a c", "b c d b", "a b"], min_count=2)
    >>> kx.cooccurrence.word_vectors(found, dim=4, epochs=5, seed=0).vectors.shape
    (3, 4)

    """
    co = checked(co)
    dim, n_iter = checks.integer("dim", dim, low=1), checks.integer("n_iter", n_iter, low=0)
    epochs = checks.integer("epochs", epochs, low=0)
    x_max, alpha = checks.number("x_max", x_max, above=0), checks.number("alpha", alpha, low=0)
    eta, model = checks.number("eta", eta, above=0), checks.integer("model", model, 0, 2)
    truncate = checks.boolean("truncate", truncate)
    kind = checks.choice("dtype", np.dtype(dtype).name, ("float32", "float64"))
    workers, report = checks.threads(threads), reporter(progress, "pair")
    if on_epoch is not None and not callable(on_epoch):
        raise TypeError(f"on_epoch must be a callable (epoch, loss) or None; got {type(on_epoch).__name__}")
    size = len(co.vocabulary)
    if checks.choice("method", method, ("pmi", "svd")) == "svd":
        if dim > size:
            raise ValueError(f"dim must be at most the vocabulary's size {size} for method 'svd'; got {dim}")
        rng = np.random.default_rng(checks.seed(seed))
        sketch = rng.standard_normal((size, min(size, dim + 10))).astype(kind)
        matrix = pmi(co, positive=True, threads=threads, backend=backend)
        run = implementation("cooccurrence", "svd_vectors", backend)
        plain = matrix.indptr, matrix.indices, matrix.data
        return WordVectors(run(plain, sketch, dim, n_iter, workers), co.vocabulary)
    rng = np.random.default_rng(checks.seed(seed))
    start = ((rng.random((size if model == 0 else 2 * size, dim)) - 0.5) / dim).astype(kind)
    contexts = None if model == 0 else start[size:]
    records = _records(co, x_max, alpha, truncate, threads, backend)
    plan = _plan(records[0], records[1], size, dim, rng)
    trainer = implementation("cooccurrence", "trainer", backend)(*records, *plan, start[:size], contexts, eta, workers)
    pairs, costs = len(records[0]), np.zeros(epochs)
    del records, plan
    for epoch in range(epochs):
        before = epoch * pairs
        within = None if report is None else lambda done, _, before=before: report(before + done, epochs * pairs)
        costs[epoch] = trainer.epoch(within)
        if on_epoch is not None:
            on_epoch(epoch + 1, float(costs[epoch]))
    found = trainer.vectors(False)
    if model == 1:
        found = np.hstack([found, trainer.vectors(True)])
    elif model == 2:
        found = found + trainer.vectors(True)
    return WordVectors(found, co.vocabulary, costs)


def _records(
    co: Cooccurrence, x_max: float, alpha: float, truncate: bool, threads: int | None, backend: str | None
) -> tuple[checks.Array, checks.Array, checks.Array, checks.Array]:
    """Return the rows, columns, PMI and weights of all pairs of different words."""
    values = pmi(co, threads=threads, backend=backend)
    counts = co.matrix
    rows = np.repeat(np.arange(len(co.vocabulary), dtype=np.int32), np.diff(counts.indptr))
    apart = rows != counts.indices  # what pmi keeps
    rows, x = rows[apart], counts.data[apart].astype(np.float64)
    x /= x_max
    np.power(x, alpha, out=x)
    return rows, values.indices.astype(np.int32, copy=False), values.data, np.minimum(x, 1.0, out=x) if truncate else x


def _plan(
    rows: checks.Array, columns: checks.Array, size: int, dim: int, rng: np.random.Generator
) -> tuple[checks.Array, checks.Array, checks.Array]:
    """Return an order of the pairs, where its tasks begin, and where rounds of tasks without a common word begin.

    Words are dealt to stripes, and every two stripes meet once, as in a tournament: a round is a set of meetings. In
    a last round each stripe's own pairs are visited.
    """
    least = 16 if size >= 64 else 2
    stripes = int(np.clip(size * dim * 8 // _STRIPE, least, 256) + 1) // 2 * 2
    task_of = np.zeros((stripes, stripes), np.uint16)
    rounds, tasks = [0], 0
    for turn in range(stripes - 1):
        for k in range(stripes // 2):
            a = (turn + k) % (stripes - 1)
            b = (turn - k) % (stripes - 1) if k else stripes - 1
            task_of[a, b] = task_of[b, a] = tasks
            tasks += 1
        rounds.append(tasks)
    np.fill_diagonal(task_of, np.arange(tasks, tasks + stripes))
    tasks += stripes
    rounds.append(tasks)
    order = rng.permutation(len(rows))
    task = task_of[rows % stripes, columns % stripes]
    begins = np.concatenate([[0], np.cumsum(np.bincount(task, minlength=tasks))])
    order = order[np.argsort(task[order], kind="stable")]
    return order, begins.astype(np.int64), np.array(rounds, np.int64)
