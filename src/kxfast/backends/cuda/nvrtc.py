"""CUDA C++ to machine code or PTX, by NVIDIA's run-time compiler, which needs no GPU; kept in the user's cache.

An entry of the cache is named after the hash of all that it is made of: source, included files, options and the
compiler's version. It holds the hash of its contents first, so that half a file is no entry.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kxfast.errors import BackendError

OPTIONS = ("--std=c++17", "--fmad=false", "--device-int128")
TARGETS = ("sm_90a", "compute_80")  # machine code for Hopper; PTX that every later chip can be given
_DIGEST = 32


def source_folder() -> Path:
    """Return the folder of the ``.cuh`` and ``.cu`` files: in the package, or in the checkout beside it."""
    package = Path(__file__).parents[2]
    for folder in (package / "_cuda", package.parents[1] / "cuda"):
        if (folder / "common.cuh").is_file():
            return folder
    raise BackendError(f"backend 'cuda' has lost its sources; looked for {package / '_cuda' / 'common.cuh'}")


@cache
def library() -> Any:
    """Return NVRTC 13: the one that pip installed, or the system's."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        place = Path(folder) / "cu13" / "lib"
        for builtins in place.glob("libnvrtc-builtins.so.13.*"):
            ctypes.CDLL(str(builtins))  # NVRTC looks for it by name alone, and finds what is loaded already
        if (place / "libnvrtc.so.13").exists():
            return ctypes.CDLL(str(place / "libnvrtc.so.13"))
    try:
        return ctypes.CDLL("libnvrtc.so.13")
    except OSError:
        pass
    raise BackendError("backend 'cuda' needs NVRTC 13, which is not installed: pip install 'kxfast[cuda]'")


def version() -> tuple[int, int]:
    """Return NVRTC's version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def compile_text(text: str, target: str, *options: str) -> tuple[bytes, str]:
    """Return the code of a source for one of `TARGETS`, and what the compiler said."""
    nvrtc, program = library(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kxfast.cu", 0, None, None))
    try:
        given = [f"--gpu-architecture={target}", f"--include-path={source_folder()}", *OPTIONS, *options]
        failed = nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*map(str.encode, given)))
        log = _get(program, "ProgramLog").rstrip(b"\0").decode(errors="replace").strip()
        if failed:
            raise BackendError(f"backend 'cuda' cannot compile its source for {target}: {' '.join(log.split())[:500]}")
        return _get(program, "CUBIN" if target.startswith("sm_") else "PTX"), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _get(program: ctypes.c_void_p, what: str) -> bytes:
    nvrtc, size = library(), ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _check(status: int) -> None:
    if status:
        library().nvrtcGetErrorString.restype = ctypes.c_char_p
        raise BackendError(f"backend 'cuda' cannot compile: {library().nvrtcGetErrorString(status).decode()}")


def cache_folder() -> Path:
    """Return where compiled code is kept: ``KXFAST_CACHE_DIR``, or ``kxfast`` in the user's cache."""
    chosen = os.environ.get("KXFAST_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kxfast" / "cuda"


def compiled(text: str, target: str) -> bytes:
    """Return the code of a source, from the cache if it is there; a cache that cannot be written to is done without."""
    parts = [text, target, *OPTIONS, repr(version())]
    parts += [path.read_text(encoding="utf-8") for path in sorted(source_folder().glob("*.cuh"))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    path = cache_folder() / f"{key}.{'cubin' if target.startswith('sm_') else 'ptx'}"
    try:
        kept = path.read_bytes()
        if hashlib.sha256(kept[_DIGEST:]).digest() == kept[:_DIGEST]:
            return kept[_DIGEST:]
    except OSError:
        pass
    code, _ = compile_text(text, target)
    _keep(path, hashlib.sha256(code).digest() + code)
    return code


def _keep(path: Path, contents: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
