"""Wrong calls of the stem lipschitz: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

W, U, V = np.eye(3, 4), np.ones(3), np.ones(4)
power = kx.lipschitz.power_iteration

# fmt: off
CALLS = [
    (lambda: power(np.ones(3), U, V), ValueError, "weight must have 2 dimensions; got shape (3,)"),
    (lambda: power(W, np.ones(4), V), ValueError, "u must have shape (3,) to match weight's 3 rows; got (4,)"),
    (lambda: power(W, U, np.ones(3)), ValueError, "v must have shape (4,) to match weight's 4 columns; got (3,)"),
    (lambda: power("W", U, V), TypeError, "weight must be an array of numbers; got str"),
    (lambda: power(W + 1j, U, V), TypeError, "weight must be float32 or float64; got complex128"),
    (lambda: power(W.astype(np.float16), U, V), TypeError, "weight must be float32 or float64; got float16"),
    (lambda: power(W, U, V, -1), ValueError, "n_iter must be at least 0; got -1"),
    (lambda: power(W, U, V, 1.5), TypeError, "n_iter must be an int; got float 1.5"),
    (lambda: power(W, U, V, eps=0), ValueError, "eps must be above 0; got 0"),
]
