"""Dilated gated convolutions (DGCNN; article 5409 of kexue.fm)."""

__all__: list[str] = []
