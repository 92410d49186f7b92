from __future__ import annotations

import typing

import numpy
import numpy.typing

class Allowed:
    """
    Which keys queries may attend to; nothing: all.
    """
    def __init__(
        self,
        mask: numpy.typing.NDArray[numpy.bool] | None,
        intervals: numpy.typing.NDArray[numpy.int32] | None,
        order: numpy.typing.NDArray[numpy.int64] | None,
    ) -> None: ...

@typing.overload
def scaled_dot_product_attention(
    q: numpy.typing.NDArray[numpy.float32],
    k: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float32] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float32] | None,
) -> typing.Any:
    """
    softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).
    Bits of bfloat16, with a bias in float, need core.half_products(); None for them: use float.
    """

@typing.overload
def scaled_dot_product_attention(
    q: numpy.typing.NDArray[numpy.float64],
    k: numpy.typing.NDArray[numpy.float64],
    v: numpy.typing.NDArray[numpy.float64],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float64] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float64] | None,
) -> typing.Any:
    """
    softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).
    Bits of bfloat16, with a bias in float, need core.half_products(); None for them: use float.
    """

@typing.overload
def scaled_dot_product_attention(
    q: numpy.typing.NDArray[numpy.uint16],
    k: numpy.typing.NDArray[numpy.uint16],
    v: numpy.typing.NDArray[numpy.uint16],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float32] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.uint16] | None,
) -> typing.Any:
    """
    softmax((q k' + bias) scale) v over allowed keys; returns (out, lse).
    Bits of bfloat16, with a bias in float, need core.half_products(); None for them: use float.
    """

@typing.overload
def scaled_dot_product_attention_backward(
    grad: numpy.typing.NDArray[numpy.float32],
    q: numpy.typing.NDArray[numpy.float32],
    k: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    out: numpy.typing.NDArray[numpy.float32],
    lse: numpy.typing.NDArray[numpy.float32],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float32] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    need_dbias: bool,
) -> typing.Any:
    """
    Gradients (dq, dk, dv, dbias); dbias for each pair, or None.
    Bits of bfloat16 need core.half_products(); None for them: use float.
    """

@typing.overload
def scaled_dot_product_attention_backward(
    grad: numpy.typing.NDArray[numpy.float64],
    q: numpy.typing.NDArray[numpy.float64],
    k: numpy.typing.NDArray[numpy.float64],
    v: numpy.typing.NDArray[numpy.float64],
    out: numpy.typing.NDArray[numpy.float64],
    lse: numpy.typing.NDArray[numpy.float64],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float64] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    need_dbias: bool,
) -> typing.Any:
    """
    Gradients (dq, dk, dv, dbias); dbias for each pair, or None.
    Bits of bfloat16 need core.half_products(); None for them: use float.
    """

@typing.overload
def scaled_dot_product_attention_backward(
    grad: numpy.typing.NDArray[numpy.uint16],
    q: numpy.typing.NDArray[numpy.uint16],
    k: numpy.typing.NDArray[numpy.uint16],
    v: numpy.typing.NDArray[numpy.uint16],
    out: numpy.typing.NDArray[numpy.uint16],
    lse: numpy.typing.NDArray[numpy.float32],
    allowed: Allowed,
    bias: numpy.typing.NDArray[numpy.float32] | None,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    need_dbias: bool,
) -> typing.Any:
    """
    Gradients (dq, dk, dv, dbias); dbias for each pair, or None.
    Bits of bfloat16 need core.half_products(); None for them: use float.
    """
