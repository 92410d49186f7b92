"""Functions compiled by Numba: users' own, and ports that gain by it."""
