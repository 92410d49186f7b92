"""Corpora as arrays of code points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast.corpus import documents
from kxfast.dispatch import implementation

MAX_ORDER = 8


def encode(corpus: Any, errors: str, backend: str | None, join: bool = False) -> NDArray[np.uint32]:
    """Return the runs of Chinese characters, digits and Latin letters of a corpus, with 0 between runs.

    With `join` the runs of a document are joined, and 0 stands between documents only.
    """
    codes: NDArray[np.uint32] = implementation("words", "runs", backend)(documents(corpus, errors=errors), join)
    return codes
