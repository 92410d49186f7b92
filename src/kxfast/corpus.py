"""Text corpora as streams of documents: files (plain, .gz, .xz, .zst; one document a line) and strings in memory.

Files are read as a stream, never whole. Text is UTF-8; a byte that is not is an error that names its offset, unless
``errors="replace"`` puts U+FFFD in its place. A line ends at a line feed, with or without a carriage return before it.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast

from kxfast import checks

SUFFIXES = (".txt", ".gz", ".xz", ".zst")
_BOM = b"\xef\xbb\xbf"


def documents(corpus: Any, *, errors: str = "strict", name: str = "corpus") -> Iterator[str]:
    """Return the documents of a corpus one by one.

    Parameters
    ----------
    corpus : path, or iterable of paths or of str
        A str or path object alone is a file; path objects in an iterable are files, strings in it are documents. A
        list of strings that all end in .txt, .gz, .xz or .zst, and of which one is a file, is a list of files.
    errors : {"strict", "replace"}
        What to do with bytes that are not UTF-8: raise, or read them as U+FFFD.
    name : str
        What error messages call the corpus.

    Returns
    -------
    iterator of str
        Lines of files without their line ends, and strings as they are.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If a file is missing or is a folder; raised by the call itself.
    TypeError
        If `corpus` is none of the above.
    ValueError
        If a file is not UTF-8, or is damaged; raised when the reading comes to the place.

    Examples
    --------
    >>> list(documents(["a b a", "c"]))
    ['a b a', 'c']

    """
    checks.choice("errors", errors, ("strict", "replace"))
    if isinstance(corpus, (str, os.PathLike)):
        return lines(checks.readable_file(name, corpus), errors, name)
    if isinstance(corpus, (bytes, bytearray)) or not isinstance(corpus, Iterable):
        raise TypeError(f"{name} must be a path, or paths or strings; got {type(corpus).__name__}")
    if isinstance(corpus, (list, tuple)):
        if is_list_of_files(corpus):
            files = [checks.readable_file(name, each) for each in corpus]
            return chain.from_iterable(lines(each, errors, name) for each in files)
        for each in corpus:
            if isinstance(each, os.PathLike):
                checks.readable_file(name, each)
    return chain.from_iterable(_members(each, errors, name) for each in corpus)


def is_list_of_files(corpus: list[Any] | tuple[Any, ...]) -> bool:
    """Whether all members are strings with a corpus file's suffix and one of them at least is a file."""
    return (
        bool(corpus)
        and all(isinstance(each, str) and each.lower().endswith(SUFFIXES) and "\n" not in each for each in corpus)
        and any(os.path.isfile(each) for each in corpus)
    )


def _members(each: Any, errors: str, name: str) -> Iterable[str]:
    if isinstance(each, str):
        return (each,)
    if isinstance(each, os.PathLike):
        return lines(checks.readable_file(name, each), errors, name)
    raise TypeError(f"{name} must hold paths or strings; got {type(each).__name__}")


def lines(path: Path, errors: str = "strict", name: str = "corpus") -> Iterator[str]:
    """Return the lines of one text file, compressed or not, without their ends."""
    stream = _open(path, name)  # here, so that what cannot be opened is an error of the call
    return _decoded(stream, path, errors, name)


def _decoded(stream: io.BufferedReader, path: Path, errors: str, name: str) -> Iterator[str]:
    offset = 0
    with stream:
        reading = iter(stream)
        while True:
            try:
                line = next(reading, None)
            except Exception as error:
                if not _is_damage(error):
                    raise
                raise _damaged(path, error, name) from None
            if line is None:
                return
            text = line[3:] if offset == 0 and line.startswith(_BOM) else line
            try:
                decoded = text.decode("utf-8", errors)
            except UnicodeDecodeError as error:
                at = offset + len(line) - len(text) + error.start
                raise bad_byte(text[error.start], at, path, name) from None
            offset += len(line)
            yield decoded.removesuffix("\n").removesuffix("\r")


def chunks(path: Path, name: str = "corpus", start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of one file, unpacked, a megabyte at a time; of a plain file perhaps those of a range alone."""
    with _open(path, name) as stream:
        if start:
            stream.seek(start)
        left = None if stop is None else stop - start
        while True:
            try:
                data = stream.read(1 << 20 if left is None else min(1 << 20, left))
            except Exception as error:
                if not _is_damage(error):
                    raise
                raise _damaged(path, error, name) from None
            if not data:
                return
            left = None if left is None else left - len(data)
            yield data


def content(path: Path, name: str = "corpus") -> bytes:
    """Return all bytes of one file, unpacked."""
    return b"".join(chunks(path, name))


def bad_byte(value: int, offset: int, path: Path, name: str) -> ValueError:
    """Return the error for one byte that is not UTF-8."""
    return ValueError(f"{name} must be UTF-8; got byte 0x{value:02x} at offset {offset} of '{path}'")


def _is_damage(error: Exception) -> bool:
    known = isinstance(error, (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error))
    return known or type(error).__name__ == "ZstdError"  # zstandard need not be installed


def _damaged(path: Path, error: Exception, name: str) -> ValueError:
    return ValueError(f"{name} must be whole {path.suffix} files; got '{path}' ({error})")


def _open(path: Path, name: str) -> io.BufferedReader:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return io.BufferedReader(cast(Any, gzip.open(path, "rb")), 1 << 20)
    if suffix == ".xz":
        return io.BufferedReader(cast(Any, lzma.open(path, "rb")), 1 << 20)
    if suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            raise ImportError(f"{name} '{path}' needs the package zstandard to be read; install kxfast[text]") from None
        return io.BufferedReader(_ZstdFrames(path, zstandard.ZstdDecompressor()), 1 << 20)
    return open(path, "rb")


class _ZstdFrames(io.RawIOBase):
    """All frames of a .zst file; a file that ends inside a frame is an error, as it is for the other formats."""

    def __init__(self, path: Path, decompressor: Any) -> None:
        self._file = open(path, "rb")  # noqa: SIM115  (closed by close)
        self._new_frame = decompressor.decompressobj
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            rest = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            data = rest or self._file.read(1 << 18)
            if not data:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("compressed file ended before the end-of-stream marker was reached")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._new_frame()
            self._ready = memoryview(self._frame.decompress(data))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
