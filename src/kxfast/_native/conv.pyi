from __future__ import annotations

import typing

import numpy
import numpy.typing

class PackedFloat32:
    """
    A layer's weight in the order of kernels.
    """

class LayerFloat32:
    """
    A layer with its arrays; `packed` is used in place of its weight.
    """
    def __init__(
        self,
        weight: numpy.typing.NDArray[numpy.float32],
        bias: numpy.typing.NDArray[numpy.float32] | None,
        dilation: typing.SupportsInt | typing.SupportsIndex,
        causal: bool,
        skip: str,
        gate_first: bool,
        mask_input: bool,
        shortcut: numpy.typing.NDArray[numpy.float32] | None,
        shortcut_bias: numpy.typing.NDArray[numpy.float32] | None,
        gamma: numpy.typing.NDArray[numpy.float32] | None,
        beta: numpy.typing.NDArray[numpy.float32] | None,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        packed: PackedFloat32,
    ) -> None: ...
    def pack(self) -> PackedFloat32:
        """
        Return the weight in the order of kernels: a copy.
        """

class PackedFloat64:
    """
    A layer's weight in the order of kernels.
    """

class LayerFloat64:
    """
    A layer with its arrays; `packed` is used in place of its weight.
    """
    def __init__(
        self,
        weight: numpy.typing.NDArray[numpy.float64],
        bias: numpy.typing.NDArray[numpy.float64] | None,
        dilation: typing.SupportsInt | typing.SupportsIndex,
        causal: bool,
        skip: str,
        gate_first: bool,
        mask_input: bool,
        shortcut: numpy.typing.NDArray[numpy.float64] | None,
        shortcut_bias: numpy.typing.NDArray[numpy.float64] | None,
        gamma: numpy.typing.NDArray[numpy.float64] | None,
        beta: numpy.typing.NDArray[numpy.float64] | None,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        packed: PackedFloat64,
    ) -> None: ...
    def pack(self) -> PackedFloat64:
        """
        Return the weight in the order of kernels: a copy.
        """

class PackedBfloat16:
    """
    A layer's weight in the order of kernels.
    """

class LayerBfloat16:
    """
    A layer with its arrays; `packed` is used in place of its weight.
    """
    def __init__(
        self,
        weight: numpy.typing.NDArray[numpy.uint16],
        bias: numpy.typing.NDArray[numpy.float32] | None,
        dilation: typing.SupportsInt | typing.SupportsIndex,
        causal: bool,
        skip: str,
        gate_first: bool,
        mask_input: bool,
        shortcut: numpy.typing.NDArray[numpy.uint16] | None,
        shortcut_bias: numpy.typing.NDArray[numpy.uint16] | None,
        gamma: numpy.typing.NDArray[numpy.uint16] | None,
        beta: numpy.typing.NDArray[numpy.uint16] | None,
        alpha: typing.SupportsFloat | typing.SupportsIndex,
        packed: PackedBfloat16,
    ) -> None: ...
    def pack(self) -> PackedBfloat16:
        """
        Return the weight in the order of kernels: a copy.
        """

def attention_pooled_float32(
    x: numpy.typing.NDArray[numpy.float32],
    hidden: numpy.typing.NDArray[numpy.float32],
    output: numpy.typing.NDArray[numpy.float32],
    mask: numpy.typing.NDArray[numpy.bool] | None,
    swish: bool,
    bias: numpy.typing.NDArray[numpy.float32] | None,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Mean over real positions with the weights of attention pooling.
    """

def attention_pooled_float64(
    x: numpy.typing.NDArray[numpy.float64],
    hidden: numpy.typing.NDArray[numpy.float64],
    output: numpy.typing.NDArray[numpy.float64],
    mask: numpy.typing.NDArray[numpy.bool] | None,
    swish: bool,
    bias: numpy.typing.NDArray[numpy.float64] | None,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Mean over real positions with the weights of attention pooling.
    """

@typing.overload
def backward(
    dy: numpy.typing.NDArray[numpy.float32],
    x: numpy.typing.NDArray[numpy.float32],
    layer: LayerFloat32,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    parts: numpy.typing.NDArray[numpy.float32] | None,
) -> tuple[typing.Any, ...]:
    """
    Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.
    """

@typing.overload
def backward(
    dy: numpy.typing.NDArray[numpy.float64],
    x: numpy.typing.NDArray[numpy.float64],
    layer: LayerFloat64,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    parts: numpy.typing.NDArray[numpy.float64] | None,
) -> tuple[typing.Any, ...]:
    """
    Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.
    """

@typing.overload
def backward(
    dy: numpy.typing.NDArray[numpy.uint16],
    x: numpy.typing.NDArray[numpy.uint16],
    layer: LayerBfloat16,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    parts: numpy.typing.NDArray[numpy.float32] | None,
) -> tuple[typing.Any, ...]:
    """
    Gradients for x, weight, bias, shortcut and its bias, gamma, beta, alpha; None where there is none.
    """

def backward_at_once(
    dy: typing.Any,
    x: typing.Any,
    weight: typing.Any,
    bias: typing.Any,
    mask: typing.Any,
    dilation: typing.Any,
    skip: typing.Any,
    gate: typing.Any,
    padding: typing.Any,
    parts: typing.Any,
) -> typing.Any:
    """
    Gradients for x, weight and bias of a layer of usual arguments; None for others.
    """

def dilated_float32(
    x: numpy.typing.NDArray[numpy.float32],
    weight: numpy.typing.NDArray[numpy.float32],
    bias: numpy.typing.NDArray[numpy.float32] | None,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    dilation: typing.SupportsInt | typing.SupportsIndex,
    causal: bool,
    ending: str,
    pool: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float32] | None,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    One convolution without a gate, into `out` if given.
    """

def dilated_float64(
    x: numpy.typing.NDArray[numpy.float64],
    weight: numpy.typing.NDArray[numpy.float64],
    bias: numpy.typing.NDArray[numpy.float64] | None,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    dilation: typing.SupportsInt | typing.SupportsIndex,
    causal: bool,
    ending: str,
    pool: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float64] | None,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    One convolution without a gate, into `out` if given.
    """

@typing.overload
def forward(
    x: numpy.typing.NDArray[numpy.float32],
    layer: LayerFloat32,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float32] | None,
    keep: bool,
) -> tuple[typing.Any, ...]:
    """
    One layer, into `out` if given; candidates and open shares too, or None. Bfloat16 by its bits.
    """

@typing.overload
def forward(
    x: numpy.typing.NDArray[numpy.float64],
    layer: LayerFloat64,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.float64] | None,
    keep: bool,
) -> tuple[typing.Any, ...]:
    """
    One layer, into `out` if given; candidates and open shares too, or None. Bfloat16 by its bits.
    """

@typing.overload
def forward(
    x: numpy.typing.NDArray[numpy.uint16],
    layer: LayerBfloat16,
    mask: numpy.typing.NDArray[numpy.bool] | None,
    drop: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
    first: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.typing.NDArray[numpy.uint16] | None,
    keep: bool,
) -> tuple[typing.Any, ...]:
    """
    One layer, into `out` if given; candidates and open shares too, or None. Bfloat16 by its bits.
    """

def forward_at_once(
    x: typing.Any,
    weight: typing.Any,
    bias: typing.Any,
    mask: typing.Any,
    dilation: typing.Any,
    skip: typing.Any,
    gate: typing.Any,
    padding: typing.Any,
    keep: typing.Any,
) -> typing.Any:
    """
    One layer of usual arguments, with what `forward` keeps if `keep`; None for others.
    """

def match_features(
    question: numpy.typing.NDArray[numpy.int64],
    passage: numpy.typing.NDArray[numpy.int64],
    tokens: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float64]:
    """
    (L, 3): token match, Jaccard similarity and relative edit distance of windows.
    """

def pooled_float32(
    x: numpy.typing.NDArray[numpy.float32], mask: numpy.typing.NDArray[numpy.bool] | None, largest: bool
) -> numpy.typing.NDArray[numpy.float32]:
    """
    The largest or the mean of each channel over real positions.
    """

def pooled_float64(
    x: numpy.typing.NDArray[numpy.float64], mask: numpy.typing.NDArray[numpy.bool] | None, largest: bool
) -> numpy.typing.NDArray[numpy.float64]:
    """
    The largest or the mean of each channel over real positions.
    """
