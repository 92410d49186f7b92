# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False
"""Python strings to code points and back: the one place where Python objects are hot."""

from array import array

import numpy as np

from cpython.unicode cimport (
    PyUnicode_DATA,
    PyUnicode_DecodeUTF8,
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


def pieces(
    str text not None,
    const int64_t[::1] ends not None,
    const int64_t[::1] ids not None,
    const int64_t[::1] first not None,
    list words not None,
):
    """Return a list for each document, of the parts of the text that end at `ends`; a word is its own object."""
    cdef Py_ssize_t i, document, start = 0, documents = first.shape[0] - 1
    cdef list lists = [None] * documents, parts
    for document in range(documents):
        parts = [None] * (first[document + 1] - first[document])
        for i in range(first[document], first[document + 1]):
            parts[i - first[document]] = words[ids[i]] if ids[i] >= 0 else part_of(text, start, ends[i])
            start = ends[i]
        lists[document] = parts
    return lists


cdef inline bint is_space(unsigned char c) noexcept:
    return c == 0x20 or 0x09 <= c <= 0x0D


def parse_lexicon(bytes data not None):
    """Return the words and counts of lines 'word count …', and the number of the first line that is not one, or 0."""
    cdef const unsigned char* at = data
    cdef const unsigned char* end = at + len(data)
    cdef const unsigned char* word
    cdef Py_ssize_t line = 0, length, digits
    cdef int64_t count
    cdef list words = []
    counts = array("q")
    if len(data) >= 3 and data[:3] == b"\xef\xbb\xbf":
        at += 3
    while at < end:
        line += 1
        while at < end and at[0] != 0x0A and is_space(at[0]):
            at += 1
        word = at
        while at < end and not is_space(at[0]):
            at += 1
        length = at - word
        while at < end and at[0] != 0x0A and is_space(at[0]):
            at += 1
        count = digits = 0
        while at < end and 0x30 <= at[0] <= 0x39 and digits < 18:
            count = 10 * count + (at[0] - 0x30)
            digits += 1
            at += 1
        if length:
            if digits == 0 or (at < end and not is_space(at[0])):
                return words, counts, line
            words.append(PyUnicode_DecodeUTF8(<const char*>word, length, "strict"))
            counts.append(count)
        while at < end and at[0] != 0x0A:
            at += 1
        at += 1
    return words, counts, 0


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


def runs(documents, bint join, const unsigned char[::1] accepted not None):
    """Keep the accepted characters; a 0 for every gap, or only between documents (`join`)."""
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
