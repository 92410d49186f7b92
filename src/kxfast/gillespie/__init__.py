"""Exact stochastic simulation of reaction networks (article 5607 of kexue.fm)."""

__all__: list[str] = []
