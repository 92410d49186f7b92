# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""Python strings to code points and back: the one place where Python objects are hot."""

import numpy as np

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_KIND, PyUnicode_READ, PyUnicode_Substring
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PyUnicode_FromKindAndData(int kind, const void* buffer, Py_ssize_t size)
    const int PyUnicode_4BYTE_KIND


def code_points(str text not None):
    """Return the code points of a string as uint32."""
    cdef Py_ssize_t i, n = len(text)
    out = np.empty(n, np.uint32)
    cdef uint32_t[::1] view = out
    cdef int kind = PyUnicode_KIND(text)
    cdef const void* data = PyUnicode_DATA(text)
    for i in range(n):
        view[i] = PyUnicode_READ(kind, data, i)
    return out


def decode(const uint32_t[::1] codes not None, const int64_t[::1] offsets not None):
    """Return the strings codes[offsets[i] : offsets[i + 1]]."""
    cdef Py_ssize_t i, n = offsets.shape[0] - 1
    cdef const uint32_t* data = &codes[0] if codes.shape[0] else NULL
    words = [None] * n
    for i in range(n):
        words[i] = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, data + offsets[i], offsets[i + 1] - offsets[i])
    return words


def pieces(str text not None, const int64_t[::1] ends not None, const int64_t[::1] ids not None, list words not None):
    """Return the parts of a text that end at `ends`; a part with an id is that word's own object."""
    cdef Py_ssize_t i, start = 0, n = ends.shape[0]
    parts = [None] * n
    for i in range(n):
        parts[i] = words[ids[i]] if ids[i] >= 0 else PyUnicode_Substring(text, start, ends[i])
        start = ends[i]
    return parts


cdef inline bint in_run(uint32_t c) noexcept:
    return 0x4E00 <= c <= 0x9FA5 or 0x30 <= c <= 0x39 or 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A


cdef class Growing:
    """Code points in memory that doubles when it is full."""

    cdef uint32_t* data
    cdef Py_ssize_t size, capacity

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t wanted = self.size + more
        cdef uint32_t* moved
        if wanted > self.capacity:
            wanted = max(wanted, 2 * self.capacity)
            moved = <uint32_t*>realloc(self.data, wanted * sizeof(uint32_t))
            if moved == NULL:
                raise MemoryError(f"{wanted * 4} bytes for the code points of the corpus")
            self.data = moved
            self.capacity = wanted
        return 0

    def to_array(self):
        out = np.empty(self.size, np.uint32)
        cdef uint32_t[::1] view = out
        if self.size:
            memcpy(&view[0], self.data, self.size * sizeof(uint32_t))
        return out


def runs(documents, bint join):
    """Keep the Chinese characters, digits and Latin letters; a 0 for every gap, or only between documents (`join`)."""
    cdef Growing out = Growing()
    cdef Py_ssize_t i, n
    cdef int kind
    cdef const void* data
    cdef uint32_t c
    cdef bint gap
    for document in documents:
        n = len(<str?>document)
        kind = PyUnicode_KIND(document)
        data = PyUnicode_DATA(document)
        out.reserve(n + 1)
        gap = out.size > 0
        for i in range(n):
            c = PyUnicode_READ(kind, data, i)
            if in_run(c):
                if gap:
                    out.data[out.size] = 0
                    out.size += 1
                    gap = False
                out.data[out.size] = c
                out.size += 1
            elif not join:
                gap = out.size > 0
    return out.to_array()
