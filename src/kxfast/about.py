"""What is installed and in use: `kx.available` and `kx.info`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from kxfast import NAMESPACES, __version__, cases, dispatch, settings

_OPTIONAL = ("scipy", "numba", "ml_dtypes", "threadpoolctl", "libsbml", "matplotlib", "tqdm", "zstandard")


def available(operation: str | None = None) -> tuple[str, ...]:
    """Return the backends that can serve here, fastest first.

    Parameters
    ----------
    operation : str, optional
        ``"stem.function"``, such as ``"lipschitz.power_iteration"``; without it, every backend that serves anything.

    Raises
    ------
    ValueError
        If there is no such operation.

    Examples
    --------
    >>> import kxfast as kx
    >>> "reference" in kx.available("lipschitz.power_iteration")
    True

    """
    if operation is None:
        served = {backend for stem in NAMESPACES for backend in settings.BACKENDS if _serves_any(stem, backend)}
        return tuple(backend for backend in settings.BACKENDS if backend in served)
    stem, _, name = str(operation).partition(".")
    if stem not in NAMESPACES or name not in getattr(import_module(f"kxfast.{stem}"), "__all__", ()):
        raise ValueError(f"operation must be 'stem.function', such as 'conv.dgcnn'; got {operation!r}")
    return cases.backends(f"{stem}.{name}")


def _serves_any(stem: str, backend: str) -> bool:
    return dispatch.unable(stem, backend) is None


@dataclass(frozen=True)
class Info:
    """What `info` found; ``str()`` of it is the text that ``kxfast info`` prints."""

    version: str
    python: str
    numpy: str
    processor: str
    isa: str
    isas: tuple[str, ...]
    threads: int
    backends: dict[str, str]
    optional: dict[str, str]

    def __str__(self) -> str:
        """Return a line for each fact."""
        rows = [
            ("kxfast", self.version),
            ("python", self.python),
            ("numpy", self.numpy),
            ("processor", self.processor),
            ("instruction set", f"{self.isa} (of {', '.join(self.isas)})" if self.isas else self.isa),
            ("threads", str(self.threads)),
            *((f"backend {name}", text) for name, text in self.backends.items()),
            *(self.optional.items()),
        ]
        return "\n".join(f"{name:<20} {text}" for name, text in rows)


def info() -> Info:
    """Return versions, instruction set, threads and backends.

    Examples
    --------
    >>> import kxfast as kx
    >>> print(kx.info())
    kxfast ...

    """
    import numpy as np

    core = settings.native()
    backends = {}
    for backend in settings.BACKENDS:
        stems = [stem for stem in NAMESPACES if _serves_any(stem, backend)]
        why = dispatch.unable("gillespie", backend) if backend == "cuda" else None  # the same for every stem
        backends[backend] = ", ".join(stems) if stems else f"serves nothing here{f': {why}' if why else ''}"
    return Info(
        version=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        processor=_processor(),
        isa=core.isa() if core else "not compiled",
        isas=tuple(core.isas()) if core else (),
        threads=settings.get_num_threads(),
        backends=backends,
        optional={name: _version(name) for name in _OPTIONAL},
    )


def _version(name: str) -> str:
    try:
        return version({"libsbml": "python-libsbml"}.get(name, name))
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
