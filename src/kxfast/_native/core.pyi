from __future__ import annotations

import typing

import numpy
import numpy.typing

def emulate_tiles(emulated: bool) -> None:
    """
    For tests: multiply bfloat16 as AMX does, in plain C++.
    """

def get_num_threads() -> int:
    """
    Threads that a call uses when it is not told.
    """

def half_products() -> str:
    """
    How bfloat16 is multiplied faster than float32: none, pairs (AVX-512), tiles (AMX), emulated (in tests).
    """

def isa() -> str:
    """
    Name of the instruction set in use.
    """

def isas() -> list[str]:
    """
    Names of the instruction sets this processor can run.
    """

def narrowed(x: numpy.typing.NDArray[numpy.float32], bfloat16: bool) -> numpy.typing.NDArray[numpy.uint16]:
    """
    Float32 numbers as the bits of float16 or bfloat16, rounded to the nearest.
    """

def set_num_threads(n: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Set that number; 0 for the default.
    """

def tile_product(
    shapes: numpy.typing.NDArray[numpy.uint8],
    sums: numpy.typing.NDArray[numpy.uint8],
    a: numpy.typing.NDArray[numpy.uint8],
    b: numpy.typing.NDArray[numpy.uint8],
    of_bytes: bool = False,
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    For tests: tile 0 (16 x 64 bytes) plus the product of tiles 1 and 2, emulated, under a configuration.
    """

def use_isa(name: str) -> None:
    """
    Use this instruction set from now on; '' for the best.
    """

def use_team(run: typing.SupportsInt | typing.SupportsIndex, size: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Run loops on an OpenMP team: the addresses of GOMP_parallel and omp_get_max_threads; 0 for our own threads.
    """

def widened(x: numpy.typing.NDArray[numpy.uint16], bfloat16: bool) -> numpy.typing.NDArray[numpy.float32]:
    """
    The bits of float16 or bfloat16 numbers as float32.
    """
