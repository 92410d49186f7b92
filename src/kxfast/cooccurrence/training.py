"""Fitting word vectors to PMI."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxfast import checks
from kxfast.cooccurrence.matrix import Cooccurrence
from kxfast.cooccurrence.pmi import checked, pmi
from kxfast.cooccurrence.vectors import WordVectors
from kxfast.dispatch import implementation


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
    seed: Any = None,
    backend: str | None = None,
) -> WordVectors:
    """Fit vectors whose inner products are the words' PMI.

    "pmi" minimises the sum of ``f(x) (<v_i, v_j> - PMI_ij)^2 / 2`` over the stored pairs of different words with
    ``f(x) = min(1, (x / x_max)^alpha)``, by AdaGrad on one pair after the other in an order that is shuffled once.
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
        Of the start, the order, or the sketch. The same seed gives the same vectors.
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
    Cost: epochs * pairs * dim. Sources: article 4667 and following of kexue.fm, bojone/simpler_glove; Duchi et al.
    2011 (AdaGrad); Levy and Goldberg 2014 and Halko et al. 2011 ("svd").

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
    size = len(co.vocabulary)
    if checks.choice("method", method, ("pmi", "svd")) == "svd":
        if dim > size:
            raise ValueError(f"dim must be at most the vocabulary's size {size} for method 'svd'; got {dim}")
        return _by_svd(co, dim, n_iter, np.random.default_rng(checks.seed(seed)), backend)
    rng = np.random.default_rng(checks.seed(seed))
    values = pmi(co, backend=backend).tocoo()
    rows, columns = (each.astype(np.int64) for each in values.coords)
    x = co.matrix.astype(np.float64)[rows, columns] if len(rows) else np.zeros(0)
    weights = (np.asarray(x).ravel() / x_max) ** alpha
    weights = np.minimum(weights, 1.0) if truncate else weights
    order = rng.permutation(len(rows))
    start = (rng.random((size if model == 0 else 2 * size, dim)) - 0.5) / dim
    run = implementation("cooccurrence", "train_pmi", backend)
    contexts = None if model == 0 else start[size:]
    found, other, costs = run(
        rows[order], columns[order], values.data[order], weights[order], start[:size], contexts, epochs, eta
    )
    if model == 1:
        found = np.hstack([found, other])
    elif model == 2:
        found = found + other
    return WordVectors(found, co.vocabulary, costs)


def _by_svd(co: Cooccurrence, dim: int, n_iter: int, rng: np.random.Generator, backend: str | None) -> WordVectors:
    matrix = pmi(co, positive=True, backend=backend)
    size = matrix.shape[0]
    sketch = rng.standard_normal((size, min(size, dim + 10)))
    run = implementation("cooccurrence", "svd_vectors", backend)
    return WordVectors(run((matrix.indptr, matrix.indices, matrix.data), sketch, dim, n_iter), co.vocabulary)
