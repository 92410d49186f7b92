# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""Python strings to code points and back: the one place where Python objects are hot."""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from cpython.unicode cimport (
    PyUnicode_DATA,
    PyUnicode_KIND,
    PyUnicode_READ,
    PyUnicode_READ_CHAR,
    PyUnicode_Substring,
)
from libc.math cimport log
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
        if i & 0xFFFF == 0:
            PyErr_CheckSignals()  # Ctrl-C
        words[i] = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, data + offsets[i], offsets[i + 1] - offsets[i])
    return words


cdef list single = [None] * 0x10000  # one object for each character of the basic plane that came alone


cdef inline object part_of(str text, Py_ssize_t start, Py_ssize_t end):
    cdef uint32_t c
    if end - start != 1:
        return PyUnicode_Substring(text, start, end)
    c = PyUnicode_READ_CHAR(text, start)
    if c >= 0x10000:
        return PyUnicode_Substring(text, start, end)
    found = single[c]
    if found is None:
        found = single[c] = PyUnicode_Substring(text, start, end)
    return found


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


def pieces(
    str text not None,
    const int64_t[::1] ends not None,
    const int64_t[::1] ids not None,
    const int64_t[::1] first not None,
    list words not None,
):
    """Return a list for each document, of the parts of the text that end at `ends`.

    A word is one object wherever it comes; `words` holds None for those that have not come yet.
    """
    cdef Py_ssize_t i, document, start = 0, documents = first.shape[0] - 1, known = len(words)
    cdef int64_t word
    cdef list lists = [None] * documents, parts
    for document in range(documents):
        if document & 0x3FF == 0:
            PyErr_CheckSignals()
        parts = [None] * (first[document + 1] - first[document])
        for i in range(first[document], first[document + 1]):
            word = ids[i]
            if 0 <= word < known:
                part = words[word]
                if part is None:
                    part = words[word] = PyUnicode_Substring(text, start, ends[i])
            else:
                part = part_of(text, start, ends[i])
            parts[i - first[document]] = part
            start = ends[i]
        lists[document] = parts
    return lists


def joined(
    str text not None, const int64_t[::1] ends not None, const int64_t[::1] first not None, str separator not None
):
    """Return for each document the parts of the text that end at `ends`, with the separator between them."""
    cdef Py_ssize_t i, k, document, at, start = 0, documents = first.shape[0] - 1, wide = len(separator)
    cdef Py_ssize_t needed
    cdef int kind = PyUnicode_KIND(text), separator_kind = PyUnicode_KIND(separator)
    cdef const void* data = PyUnicode_DATA(text)
    cdef const void* between = PyUnicode_DATA(separator)
    cdef Growing out = Growing()
    cdef list strings = [None] * documents
    for document in range(documents):
        if document & 0x3FF == 0:
            PyErr_CheckSignals()
        if first[document] == first[document + 1]:
            strings[document] = ""
            continue
        needed = ends[first[document + 1] - 1] - start + wide * (first[document + 1] - first[document])
        out.size = 0
        out.reserve(needed)
        at = 0
        for i in range(first[document], first[document + 1]):
            if i > first[document]:
                for k in range(wide):
                    out.data[at] = PyUnicode_READ(separator_kind, between, k)
                    at += 1
            for k in range(start, ends[i]):
                out.data[at] = PyUnicode_READ(kind, data, k)
                at += 1
            start = ends[i]
        strings[document] = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, out.data, at)
    return strings


def log_scores(const int64_t[::1] counts not None):
    """Return ln count - ln total for each count, and ln total."""
    cdef Py_ssize_t i, n = counts.shape[0]
    cdef int64_t total = 0
    for i in range(n):
        total += counts[i]
    cdef double log_total = log(<double>total)
    out = np.empty(n, np.float64)
    cdef double[::1] view = out
    for i in range(n):
        view[i] = log(<double>counts[i]) - log_total
    return out, log_total


def runs(documents, bint join, const unsigned char[::1] accepted not None):
    """Keep the accepted characters; a 0 for every gap, or only between documents (`join`)."""
    cdef Growing out = Growing()
    cdef Py_ssize_t i, k, n
    cdef int kind
    cdef const void* data
    cdef uint32_t c
    cdef bint gap
    for i, document in enumerate(documents):
        if i & 0x3FF == 0:
            PyErr_CheckSignals()
        n = len(<str?>document)
        kind = PyUnicode_KIND(document)
        data = PyUnicode_DATA(document)
        out.reserve(n + 1)
        gap = out.size > 0
        for k in range(n):
            c = PyUnicode_READ(kind, data, k)
            if accepted[c]:
                if gap:
                    out.data[out.size] = 0
                    out.size += 1
                    gap = False
                out.data[out.size] = c
                out.size += 1
            elif not join:
                gap = out.size > 0
    return out.to_array()
