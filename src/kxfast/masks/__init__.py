"""Attention masks as small values that combine with ``&``, ``|`` and ``~``."""

__all__: list[str] = []
