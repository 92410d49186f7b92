from __future__ import annotations

import numpy
import numpy.typing

def product(
    a: numpy.typing.NDArray[numpy.float32],
    b: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32] | None,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    a b' + bias of matrices whose rows or columns are in one piece, none of size 0, in tiles of bfloat16.
    """
