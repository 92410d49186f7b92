"""The command line: ``kxfast info``."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    import kxfast

    print(kxfast.info())
    return 0
