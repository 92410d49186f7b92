# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""Python strings to code points and back: the one place where Python objects are hot."""

import numpy as np

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ


def code_points(str text not None):
    """Return the code points of a string as uint32."""
    cdef Py_ssize_t i, n = len(text)
    out = np.empty(n, np.uint32)
    cdef unsigned int[::1] view = out
    cdef int kind = PyUnicode_KIND(text)
    cdef void* data = PyUnicode_DATA(text)
    for i in range(n):
        view[i] = PyUnicode_READ(kind, data, i)
    return out
