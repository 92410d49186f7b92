"""Compiles kernels for the emulation and for GPUs, those that whole files of tests will ask for beforehand.

What each file asked for is kept in cuda_texts.json (KXFAST_EMULATION_RECORD=1 makes it anew from what a run asks for).
A text that is not there, or no longer right, costs time alone: it is compiled when it is asked for, as ever.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections import defaultdict
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from kxfast.backends.cuda import nvrtc
from kxfast.errors import BackendError

FLAGS = "-std=c++17 -O1 -fPIC -shared -ffp-contract=off -fvisibility=hidden -fno-gnu-unique -w"
NVCC = "nvcc "  # before the target of what it compiles
_BUILT = Path(os.environ.get("KXFAST_EMULATION_DIR") or Path(tempfile.gettempdir()) / f"kxfast-emulation-{os.getuid()}")
_LIST = Path(__file__).with_name("cuda_texts.json")
_LONGEST = 1000  # characters of a text worth listing: longer ones are generated, or have a bug planted in them
_asked: dict[str, list[tuple[str, str]]] = defaultdict(list)
_locks: dict[Any, threading.Lock] = defaultdict(threading.Lock)
_codes: dict[tuple[str, str], tuple[bytes, str]] = {}
_compile_text = nvrtc.compile_text  # which tests replace
_ended = threading.Event()


def compile_for_host(text: str, flags: str = "") -> ctypes.CDLL:
    """Compile a source with the host's compiler; kept, like all that is built, as long as nothing changes."""
    _note(text, flags)
    return _loaded(text, flags)


def compile_for_gpu(text: str, target: str) -> tuple[bytes, str]:
    """Return the code of a source for a GPU, and what the compiler said of registers and spills."""
    _note(text, target)
    return _compiled(text, target)


@cache
def nvcc_release() -> str | None:
    """Return the release of nvcc, if it is installed and says so."""
    if shutil.which("nvcc") is None:
        return None
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+\.\d+)", said)
    return found[1] if found else None


def compile_by_nvcc(text: str, target: str) -> tuple[bytes, str]:
    """Return the code of a source as nvcc makes it, without a warning, and what it said."""
    _note(text, NVCC + target)
    return _compiled(text, NVCC + target)


def _by_nvcc(text: str, target: str) -> tuple[bytes, str]:
    own = "-x cu -std=c++17 --fmad=false -Werror all-warnings -Xptxas -v -cubin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        command = ["nvcc", *own.split(), f"-arch={target}", f"-I{nvrtc.source_folder()}", "-", "-o", file.name]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        log = done.stdout + done.stderr
        if done.returncode:
            raise BackendError(f"nvcc cannot compile a source for {target}: {log}")
        return Path(file.name).read_bytes(), log


def _note(text: str, flags: str) -> None:
    file = os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0].rpartition("/")[2]
    if len(text) <= _LONGEST and file and (text, flags) not in _asked[file]:
        _asked[file].append((text, flags))


def _compiled(text: str, target: str) -> tuple[bytes, str]:
    with _locks[text, target]:
        if (text, target) not in _codes:
            _codes[text, target] = (
                _by_nvcc(text, target.removeprefix(NVCC))
                if target.startswith(NVCC)
                else _compile_text(text, target, "--ptxas-options=-v")
            )
    return _codes[text, target]


@cache
def _loaded(text: str, flags: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(_built(text, flags)))


@cache
def _sources() -> str:
    return "|".join(path.read_text() for path in sorted(nvrtc.source_folder().rglob("*.[ch]*")))


def _built(text: str, flags: str) -> Path:
    """Return the file of a compiled source."""
    flags = f"{FLAGS} {flags} {os.environ.get('KXFAST_EMULATION_FLAGS', '')}"
    path = _BUILT / f"{hashlib.sha256('|'.join((text, flags, _sources())).encode()).hexdigest()}.so"
    with _locks[path]:
        if not path.exists():
            _BUILT.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=_BUILT, suffix=".so", delete=False) as file:
                include = f"-I{nvrtc.source_folder()}"
                command = ["g++", *shlex.split(flags), "-x", "c++", include, "-include", "emu/emu.hpp", "-"]
                plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
                # Preloaded is the sanitizers' library, under which the compiler itself takes twice as long.
                subprocess.run([*command, "-o", file.name], input=text, text=True, check=True, env=plain)
            os.replace(file.name, path)
    return path


def prepare(files: set[str]) -> None:
    """Begin to compile what files of tests will ask for, on the cores that the tests leave."""
    listed = json.loads(_LIST.read_text()) if _LIST.exists() else {}
    texts = iter(dict.fromkeys((text, flags) for file in sorted(files) for text, flags in listed.get(file, ())))

    def work() -> None:
        for text, flags in texts:
            if _ended.is_set():
                return
            with suppress(OSError, subprocess.CalledProcessError, BackendError):  # whoever asks for it will say so
                (_compiled if flags.startswith(("sm_", "compute_", NVCC)) else _built)(text, flags)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    atexit.register(lambda: (_ended.set(), thread.join()))


def record() -> None:
    """Write down what files of tests have asked for; the others' entries stay."""
    listed = json.loads(_LIST.read_text()) if _LIST.exists() else {}
    listed |= _asked
    _LIST.write_text(json.dumps(dict(sorted(listed.items())), indent=0) + "\n")
