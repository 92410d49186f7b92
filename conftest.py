"""Keras asks for its backend when it is imported, by the collection of doctests too."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
