"""Which tokens may follow, so that a generated text is a piece of given passages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxfast import checks

Node = dict[int, Any]  # token to the node that follows


class Trie:
    """All pieces of some passages, up to a length, as a tree of tokens.

    Parameters
    ----------
    passages : iterable of integer sequences
        Token ids, at least 0.
    max_length : int
        Length of the longest piece that is kept; memory is at most the passages' length times this.

    Examples
    --------
    >>> import kxfast as kx
    >>> trie = kx.attention.Trie([[5, 6, 7], [6, 8]])
    >>> trie.following([6]).tolist(), trie.following([]).tolist(), trie.following([7, 5]).tolist()
    ([7, 8], [5, 6, 7, 8], [])

    """

    def __init__(self, passages: Iterable[Any], max_length: int = 64) -> None:
        """Collect the pieces."""
        most = checks.integer("max_length", max_length, low=1)
        if isinstance(passages, (str, bytes)) or not isinstance(passages, Iterable):
            raise TypeError(f"passages must be an iterable of token sequences; got {type(passages).__name__}")
        self._root: Node = {}
        for n, passage in enumerate(passages):
            tokens = checks.integers(f"passages[{n}]", passage, ndim=1, low=0).tolist()
            for i in range(len(tokens)):
                node = self._root
                for token in tokens[i : i + most]:
                    node = node.setdefault(token, {})

    def following(self, prefix: Any) -> NDArray[np.int64]:
        """Return the tokens that stand after `prefix` somewhere in a passage, ascending."""
        node: Node = self._root
        for token in checks.integers("prefix", prefix, ndim=1).tolist():
            node = node.get(token, {})
        return np.array(sorted(node), np.int64)
