"""Wrong calls of the stem masks: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

m = kx.masks

CALLS = [
    (lambda: m.causal("left"), ValueError, "align must be one of 'end', 'start'; got str 'left'"),
    (lambda: m.causal(1), TypeError, "align must be one of 'end', 'start'; got int"),
    (lambda: m.padding("ab"), TypeError, "lengths must be an array of numbers; got str"),
    (lambda: m.padding([-1]), ValueError, "lengths must be at least 0; got -1"),
    (lambda: m.padding([0.5]), TypeError, "lengths must be integers; got float64 with fractions"),
    (lambda: m.padding([[2, 3]]), TypeError, "lengths must be booleans or 0/1; got int64"),
    (lambda: m.padding(np.ones((2, 2, 2), bool)), ValueError, "lengths must have shape (L,) or (B, L) as booleans"),
    (lambda: m.padding([1, 2]).to_dense(3, 1, 2, 2), ValueError, "lengths must have shape (3,) to match the batch"),
    (lambda: m.unilm([[[0]]]), ValueError, "segment_ids must have shape (L,) or (B, L); got (1, 1, 1)"),
    (lambda: m.unilm([-1, 0]), ValueError, "segment_ids must be at least 0; got -1"),
    (
        lambda: m.unilm([0, 1]).to_dense(1, 1, 3, 3),
        ValueError,
        "segment_ids must have shape (3,) or (1, 3) to match the keys; got (2,)",
    ),
    (
        lambda: m.unilm([0, 1]).to_dense(1, 1, 3, 2),
        ValueError,
        "q_len must be at most k_len = 2 for a mask of segment_ids; got 3",
    ),
    (lambda: m.prefix_lm([[1]]), ValueError, "prefix_lengths must be one number or have shape (B,); got (1, 1)"),
    (lambda: m.prefix_lm(None), TypeError, "prefix_lengths must be an array of numbers; got NoneType"),
    (lambda: m.sliding_window(-1), ValueError, "left must be at least 0; got -1"),
    (lambda: m.sliding_window(1, 0.5), TypeError, "right must be an int; got float 0.5"),
    (lambda: m.documents(3), ValueError, "ids must have shape (L,) or (B, L); got ()"),
    (
        lambda: m.documents(np.zeros((2, 4))).to_dense(3, 1, 4, 4),
        ValueError,
        "ids must have shape (4,) or (3, 4) to match the keys; got (2, 4)",
    ),
    (lambda: m.permutation([0, 0, 1]), ValueError, "order must hold every step from 0 to 2 once in each row"),
    (lambda: m.permutation([0, 1], include_self=1), TypeError, "include_self must be True or False; got int 1"),
    (lambda: m.strided(0), ValueError, "rate must be at least 1; got 0"),
    (lambda: m.block_sparse([1, 0], 2), ValueError, "layout must have 2, 3 or 4 dimensions; got shape (2,)"),
    (lambda: m.block_sparse([[1]], 0), ValueError, "block_size must be at least 1; got 0"),
    (
        lambda: m.block_sparse([[1, 0]], 2).to_dense(1, 1, 2, 5),
        ValueError,
        "layout must have shape (..., 1, 3) for 2 queries, 5 keys, blocks of 2; got (1, 2)",
    ),
    (lambda: m.dense(np.ones((1, 1, 1, 1, 1))), ValueError, "array must have at most 4 dimensions"),
    (
        lambda: m.dense(np.ones((2, 3))).to_dense(1, 1, 3, 3),
        ValueError,
        "array must broadcast to (1, 1, 3, 3) (batch, heads, queries, keys); got (2, 3)",
    ),
    (lambda: m.function(3), TypeError, "f must be a callable (b, h, i, j) -> bool; got int"),
    (lambda: m.causal() & 3, TypeError, "unsupported operand type(s) for &: 'Causal' and 'int'"),
    (lambda: m.causal() & np.ones(3), TypeError, "operand 'Causal' does not support ufuncs"),
    (lambda: np.ones(3) | m.causal(), TypeError, "unsupported operand type(s) for |"),
    (lambda: m.causal() and m.causal(), TypeError, "a mask has no truth value; combine masks with &, | and ~"),
    (lambda: m.causal().to_dense(1, 1, -1, 3), ValueError, "q_len must be at least 0; got -1"),
    (lambda: m.causal().density(1, 1, 2, 3.0), TypeError, "k_len must be an int; got float 3.0"),
    (lambda: m.causal().plot(1, 1, 0, 2), ValueError, "q_len must be at least 1; got 0"),
    (lambda: m.causal().plot(1, 1, 2, 2, item=1), ValueError, "item must be from 0 to 0; got 1"),
    (lambda: m.causal().plot(1, 1, 2, 2, labels="a"), ValueError, "labels must have at least 2 entries, one for each"),
]
