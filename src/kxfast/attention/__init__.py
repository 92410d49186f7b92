"""Attention with custom masks (articles 4765 and 6933 of kexue.fm)."""

__all__: list[str] = []
