"""Our loops on torch's own threads: two pools would fight for the cores, since OpenMP's threads spin when idle."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch


def share() -> bool:
    """Run kxfast's loops on the OpenMP team of torch in this process; say whether there is one that can."""
    try:
        from kxfast._native import core
    except ImportError:  # without compiled kernels there are no loops
        return False
    path = _runtime()
    if path is None:
        return False
    try:
        library = ctypes.CDLL(path, os.RTLD_NOW | os.RTLD_NOLOAD)  # the one already in use, or none
        addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _ENTRIES]
    except (OSError, AttributeError):
        return False
    core.use_team(*(address or 0 for address in addresses))
    return True


_ENTRIES = ("GOMP_parallel", "omp_get_max_threads")  # LLVM's and Intel's runtimes have them too


def _runtime() -> str | None:
    """Return the path of the OpenMP runtime of torch: its own if it brought one, else the only one there is."""
    if not torch.backends.openmp.is_available():
        return None
    try:
        rows = Path("/proc/self/maps").read_text().split("\n")
    except OSError:
        return None
    loaded = {row.split(maxsplit=5)[5] for row in rows if ".so" in row}
    found = sorted(path for path in loaded if os.path.basename(path).startswith(("libgomp", "libiomp", "libomp")))
    home = str(Path(torch.__file__).parent)
    own = [path for path in found if path.startswith(home)]
    if own:
        return own[0]
    return found[0] if len(found) == 1 else None
