"""Backends: one folder each, one module per stem, loaded by name from `kxfast.dispatch`; checked arrays in."""
