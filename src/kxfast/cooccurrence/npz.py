"""Arrays in one .npz file: written as they are made, and mapped where they lie.

Members are not compressed and begin at multiples of 64 bytes, so that a member is an array in the file.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from kxfast.files import whole_file

_ALIGNMENT = 64


@dataclass(frozen=True)
class Stream:
    """An array of one axis that comes in parts."""

    dtype: Any
    size: int
    parts: Iterable[Any]


Members = dict[str, Any]


def write(path: str | os.PathLike[str], members: Mapping[str, Any]) -> None:
    """Write arrays and streams; the file appears whole or not at all."""
    with whole_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, value in members.items():
            given = value if isinstance(value, Stream) else Stream(value.dtype, value.size, [value])
            shape = (given.size,) if isinstance(value, Stream) else value.shape
            info = zipfile.ZipInfo(f"{name}.npy")
            # Behind the local header come 30 bytes, the name, our filler with its head, and 20 bytes for large files.
            begin = stream.tell() + 30 + len(info.filename) + 4 + 20
            filler = -begin % _ALIGNMENT
            info.extra = struct.pack("<HH", 0x4B58, filler) + bytes(filler)
            with archive.open(info, "w", force_zip64=True) as out:
                npy.write_array_header_1_0(out, {"descr": given.dtype.str, "fortran_order": False, "shape": shape})
                for part in given.parts:
                    out.write(np.ascontiguousarray(part, given.dtype).reshape(-1).data.cast("B"))


def is_ours(archive: zipfile.ZipFile, kind: str) -> bool:
    """Whether an archive's format is `kind`."""
    with archive.open("format.npy") as stream:
        return str(npy.read_array(stream)) == kind


def member(archive: zipfile.ZipFile, path: Path, name: str, memory_map: bool = False) -> Any:
    """Return an array of an archive, in memory or as a read-only map."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        if not memory_map or info.compress_type != zipfile.ZIP_STORED:
            return npy.read_array(stream)
        npy.read_magic(stream)
        shape, _, dtype = npy.read_array_header_1_0(stream)
        header = stream.tell()
    with open(path, "rb") as file:
        file.seek(info.header_offset + 26)
        lengths = struct.unpack("<HH", file.read(4))
    offset = info.header_offset + 30 + sum(lengths) + header
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)
