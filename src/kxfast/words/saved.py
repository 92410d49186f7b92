"""Segmenters in files that are mapped into memory: a header, then arrays, each at a multiple of 64 bytes.

All numbers are little-endian, as on every machine that is served; the file is for the machine that reads it, not for
exchange: a lexicon's text is that.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.files import whole_file

_MAGIC = b"kxfast words 2\n\0"
_HEADER = struct.Struct("<16sd??16s5Q")
ARRAYS = {"codes": "<u4", "offsets": "<i8", "scores": "<f8", "edges": "<f8", "ids": "<i4"}


@dataclass(frozen=True)
class SegmenterRules:
    """How a segmenter cuts."""

    tie: str
    unknown: float
    jieba: bool
    as_bytes: bool  # whether words are bytes


def write(path: str | os.PathLike[str], rules: SegmenterRules, arrays: dict[str, NDArray[Any]]) -> None:
    """Write rules and arrays to a file that appears whole or not at all."""
    sizes = [len(arrays[name]) for name in ARRAYS]
    with whole_file(path) as stream:
        stream.write(_HEADER.pack(_MAGIC, rules.unknown, rules.jieba, rules.as_bytes, rules.tie.encode(), *sizes))
        for name, kind in ARRAYS.items():
            stream.write(b"\0" * (-stream.tell() % 64))
            stream.write(np.ascontiguousarray(arrays[name], kind).data)


def read(path: Path) -> tuple[SegmenterRules, dict[str, NDArray[Any]]]:
    """Return the rules and the arrays of a file, mapped into memory."""
    refused = ValueError(f"path must be a file that Segmenter.save wrote; got '{path}'")
    if path.stat().st_size < _HEADER.size:
        raise refused
    mapped = np.memmap(path, np.uint8, "r")
    magic, unknown, jieba, as_bytes, tie, *sizes = _HEADER.unpack(mapped[: _HEADER.size].tobytes())
    if magic != _MAGIC:
        raise refused
    arrays: dict[str, NDArray[Any]] = {}
    at = _HEADER.size
    for (name, kind), size in zip(ARRAYS.items(), sizes, strict=True):
        at += -at % 64
        end = at + size * np.dtype(kind).itemsize
        if end > len(mapped):
            raise ValueError(f"path must be a whole file; got '{path}', which ends within its {name}")
        arrays[name] = np.asarray(mapped[at:end]).view(kind)
        at = end
    return SegmenterRules(tie.rstrip(b"\0").decode(), unknown, jieba, as_bytes), arrays
