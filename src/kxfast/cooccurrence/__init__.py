"""Windowed co-occurrence counts, PMI and word vectors (article 4667 and following of kexue.fm)."""

__all__: list[str] = []
