"""Arguments become canonical, or an error of one line says which is wrong, what was given and what is accepted.

Canonical arrays are C-contiguous, aligned, in native byte order and of a type that kernels know. Everything public
goes through here once; no backend checks again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_ndarray = np.ndarray
_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)
_FLOATS = frozenset("fd")
_CPU_DEVICES = frozenset({1, 3})  # DLPack: host memory, pinned host memory


@cache
def half_types() -> tuple[np.dtype[Any], ...]:
    """Return float16, and bfloat16 where ml_dtypes is installed."""
    try:
        import ml_dtypes
    except ImportError:
        return (np.dtype(np.float16),)
    return np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)


def to_array(name: str, value: Any) -> Array:
    """Return any array-like as a NumPy array; arrays on a device are refused, never copied in silence."""
    if type(value) is _ndarray:
        return value
    device = getattr(value, "__dlpack_device__", None)
    if device is not None and not isinstance(value, np.ndarray):
        if device()[0] not in _CPU_DEVICES:
            raise TypeError(f"{name} must be in host memory for this call; got {place(value)}")
        try:
            return np.from_dlpack(value)
        except (TypeError, BufferError, RuntimeError, ValueError):
            pass  # types DLPack or NumPy does not know, tensors that require gradients: the array protocol decides
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__}")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__} ({error})") from None


def place(value: Any) -> str:
    """Say in words what `value` is and where it lives."""
    kind = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
    device = getattr(value, "device", None)
    return f"{kind} on {device}" if device is not None else kind


def like(result: Array, example: Any) -> Any:
    """Return `result` as the kind of array that `example` is (zero-copy through DLPack); NumPy for everything else."""
    if type(example) is _ndarray or isinstance(example, np.ndarray) or not hasattr(example, "__dlpack__"):
        return result
    import importlib

    library = importlib.import_module(type(example).__module__.split(".")[0])
    convert = getattr(library, "from_dlpack", None) or getattr(library, "asarray", None)
    return result if convert is None else convert(result)


def canonical(x: Array) -> Array:
    """Return `x` itself if it is C-contiguous, aligned and in native byte order, else a copy that is."""
    flags = x.flags
    if flags.c_contiguous and flags.aligned and x.dtype.isnative:
        return x
    return np.require(x, x.dtype.newbyteorder("="), ("C", "A"))


def floating(name: str, value: Any, *, ndim: int | tuple[int, ...] | None = None, half: bool = False) -> Array:
    """Return a canonical array of float32 or float64 (float16, bfloat16 too if `half`); integers become float64."""
    if type(value) is _ndarray:
        kind = value.dtype
        usual = kind is _F4 or kind is _F8 or (half and kind.itemsize == 2 and kind in half_types())
        if usual and kind.isnative and value.ndim == ndim and value.flags.carray:
            return value  # the usual case, in a tenth of a microsecond
    x = to_array(name, value)
    if x.dtype.char not in _FLOATS or not x.dtype.isnative:
        x = _to_float(name, x, half)
    if ndim is not None and (x.ndim != ndim if isinstance(ndim, int) else x.ndim not in ndim):
        wanted = ndim if isinstance(ndim, int) else " or ".join(map(str, ndim))
        raise ValueError(f"{name} must have {wanted} dimensions; got shape {x.shape}")
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else canonical(x)


def in_rows(name: str, value: Any, ndim: int) -> Array:
    """Return a floating array: where it lies, in any layout, if its last axis is in one piece; else a canonical one."""
    x = value if isinstance(value, np.ndarray) else to_array(name, value)
    return x if not x.flags.c_contiguous and _has_rows(x, ndim) else floating(name, x, ndim=ndim, half=True)


def _has_rows(x: Array, ndim: int) -> bool:
    whole = x.ndim == ndim and x.strides[-1] == x.itemsize and x.flags.aligned and x.dtype.isnative
    steps = whole and all(step >= 0 and step % x.itemsize == 0 for step in x.strides)
    return steps and (x.dtype.char in _FLOATS or x.dtype in half_types())


def _to_float(name: str, x: Array, half: bool) -> Array:
    kind = x.dtype.newbyteorder("=")
    if kind.char in _FLOATS:
        return x.astype(kind)
    if kind.kind in "iub":
        return x.astype(np.float64)
    if kind in half_types():
        if half:
            return x if x.dtype.isnative else x.astype(kind)
        raise TypeError(f"{name} must be float32 or float64; got {kind}")
    accepted = "float32, float64, float16 or bfloat16" if half else "float32 or float64"
    raise TypeError(f"{name} must be {accepted}; got {x.dtype}")


def integers(name: str, value: Any, *, ndim: int | None = None, low: int | None = None) -> NDArray[np.int64]:
    """Return a canonical int64 array; floats are accepted only if every value is a whole number."""
    x = to_array(name, value)
    if x.dtype.kind not in "iub":
        if x.size == 0:
            x = x.astype(np.int64)
        elif x.dtype.kind != "f" or not np.all(np.isfinite(x)) or np.any(x != np.trunc(x)):
            raise TypeError(f"{name} must be integers; got {_describe_values(x)}")
    if x.dtype.kind == "u" and x.size and int(x.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be at most 2**63 - 1; got {int(x.max())}")
    x = canonical(x.astype(np.int64))
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions; got shape {x.shape}")
    if low is not None and x.size and int(x.min()) < low:
        raise ValueError(f"{name} must be at least {low}; got {int(x.min())}")
    return x


def booleans(name: str, value: Any) -> NDArray[np.bool_]:
    """Return a canonical boolean array; 0/1 numbers are accepted."""
    x = to_array(name, value)
    if x.dtype.kind != "b":
        if x.dtype.kind not in "iuf" or np.any((x != 0) & (x != 1)):
            raise TypeError(f"{name} must be booleans or 0/1; got {_describe_values(x)}")
        x = x != 0
    return canonical(x)


def _describe_values(x: Array) -> str:
    if x.dtype.kind == "f" and not np.all(np.isfinite(x)):
        return f"{x.dtype} with NaN or infinity"
    return str(x.dtype) if x.dtype.kind != "f" else f"{x.dtype} with fractions"


def shape(name: str, x: Any, expected: Sequence[int], letters: str, reason: str = "") -> None:
    """Raise unless ``x.shape`` is `expected`; `letters` shows it in dimension letters, `reason` says to match what."""
    if x.shape != tuple(expected):
        raise ValueError(f"{name} must have shape {letters}{' ' + reason if reason else ''}; got {x.shape}")


def finite(name: str, x: Array) -> None:
    """Raise if `x` holds NaN or infinity."""
    if not np.all(np.isfinite(x)):
        bad = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f"{name} must be finite; got {x[tuple(bad)]} at index {tuple(int(i) for i in bad)}")


def common_float(**named: Array) -> tuple[Array, ...]:
    """Bring arrays to their common floating type (float32 with float64 gives float64)."""
    kinds = {x.dtype for x in named.values()}
    if len(kinds) == 1:
        return tuple(named.values())
    try:
        kind = np.result_type(*kinds)
    except TypeError:
        given = ", ".join(f"{name} {x.dtype}" for name, x in named.items())
        raise TypeError(f"arrays must have a common floating type; got {given}") from None
    return tuple(x.astype(kind, copy=False) for x in named.values())


def output(value: Any, expected: Sequence[int], dtype: np.dtype[Any], **inputs: Array | None) -> Array | None:
    """Return ``out=`` if the result can be written into it; it must not share memory with `inputs`."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray):
        raise TypeError(f"out must be a NumPy array; got {_shown(value)}")
    if value.dtype != dtype or value.shape != tuple(expected):
        raise ValueError(f"out must be {dtype} of shape {tuple(expected)}; got {value.dtype} of shape {value.shape}")
    if not (value.flags.carray and value.dtype.isnative):
        raise ValueError("out must be writable, C-contiguous, aligned and in native byte order")
    for name, x in inputs.items():
        if x is not None and np.may_share_memory(value, x):
            raise ValueError(f"out must not share memory with {name}")
    return value


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Return an int; bools and fractions are refused."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int; got {_shown(value)}")
    try:
        number = int(value.__index__())
    except TypeError:
        raise TypeError(f"{name} must be an int; got {_shown(value)}") from None
    _in_range(name, number, low, high)
    return number


def number(
    name: str, value: Any, low: float | None = None, high: float | None = None, *, above: float | None = None
) -> float:
    """Return a finite float within [low, high] (or above `above`)."""
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__") or np.ndim(value) != 0:
        raise TypeError(f"{name} must be a number; got {_shown(value)}")
    result = float(value)
    if not np.isfinite(result):
        raise ValueError(f"{name} must be finite; got {result}")
    if above is not None and result <= above:
        raise ValueError(f"{name} must be above {above:g}; got {result:g}")
    _in_range(name, result, low, high)
    return result


def _in_range(name: str, value: float, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}; got {value:g}")
    if low is not None and value < low:
        raise ValueError(f"{name} must be at least {low:g}; got {value:g}")
    if high is not None and value > high:
        raise ValueError(f"{name} must be at most {high:g}; got {value:g}")


def _shown(value: Any) -> str:
    text = repr(value)
    return (
        f"{type(value).__name__} {text}"
        if len(text) <= 40 and isinstance(value, (str, int, float))
        else type(value).__name__
    )


def boolean(name: str, value: Any) -> bool:
    """Return a bool; only True and False are accepted."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {_shown(value)}")
    return bool(value)


def choice(name: str, value: Any, options: Sequence[str], *also: None) -> str:
    """Return `value` if it is one of `options`; `also` is what the caller takes beside them."""
    if isinstance(value, str) and value in options:
        return value
    shown = ", ".join(repr(option) for option in (*options, *also))
    raise (ValueError if isinstance(value, str) else TypeError)(f"{name} must be one of {shown}; got {_shown(value)}")


def threads(value: int | None) -> int:
    """Return the number of threads asked for; 0 stands for the default."""
    return 0 if value is None else integer("threads", value, low=1)


def seed(value: Any) -> int:
    """Return a 64-bit key from an int, a SeedSequence, a Generator (it advances) or None (fresh entropy)."""
    if isinstance(value, np.random.Generator):
        return int(value.integers(2**64, dtype=np.uint64))
    if not isinstance(value, np.random.SeedSequence):
        if value is not None:
            value = integer("seed", value, low=0)
        value = np.random.SeedSequence(value)
    return int(value.generate_state(1, np.uint64)[0])


def readable_file(name: str, value: Any) -> Path:
    """Return the path of an existing file."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path; got {_shown(value)}")
    path = Path(value)
    if not path.exists():
        raise FileNotFoundError(f"{name} must be an existing file; got '{path}'")
    if path.is_dir():
        raise IsADirectoryError(f"{name} must be a file; got the folder '{path}'")
    return path


def executor(value: Any) -> Any:
    """Return a concurrent.futures.Executor, or None."""
    if value is not None and not callable(getattr(value, "submit", None)):
        raise TypeError(f"executor must be a concurrent.futures.Executor or None; got {type(value).__name__}")
    return value
