"""Word discovery and unigram segmentation (article 6920 of kexue.fm)."""

__all__: list[str] = []
