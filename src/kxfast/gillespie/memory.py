"""Memory that a result needs, said before anything runs."""

from __future__ import annotations

_NOT_WORTH_A_LOOK = 2**26


def check_memory(needed: int, what: str = "the result", instead: str = "fewer times, or moments()") -> None:
    """Raise MemoryError if `needed` bytes cannot fit into the memory that is available."""
    if needed < _NOT_WORTH_A_LOOK:
        return
    available = available_memory()
    if needed > available:
        raise MemoryError(f"{what} needs {needed} bytes; {available} are available: {instead}?")


def available_memory() -> int:
    """Return how many bytes can be had without swapping, as far as the system says."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 2**63 - 1
