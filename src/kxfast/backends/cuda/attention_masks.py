"""Masks as attention's kernels read them: intervals with ranges of tiles, bits or functions with classes of tiles."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from kxfast.backends.cuda import load
from kxfast.backends.cuda.attention_functions import Translated, translated

_TEXT = '#include "attention_classes.cuh"\n'
_NOTHING = np.uint64(0)


class Given(NamedTuple):
    """Arguments of a kernel that say which pairs count, the arrays behind them, and a function's expression."""

    scalars: list[Any]
    behind: list[Any]
    allowed: str | None


def ranges(intervals: NDArray[np.int32], rows: int) -> NDArray[np.int32]:
    """Return for tiles of `rows` queries what any first, any second, all first and all second intervals hold.

    `intervals` are (B, 1, Lq, 4); the result is (B, tiles, 8), starts and stops.
    """
    starts, stops = intervals[:, 0, :, ::2], intervals[:, 0, :, 1::2]
    empty, cuts = starts >= stops, np.arange(0, intervals.shape[2], rows)
    far = np.iinfo(np.int32).max
    any_start = np.minimum.reduceat(np.where(empty, far, starts), cuts, axis=1)
    any_stop = np.maximum.reduceat(np.where(empty, 0, stops), cuts, axis=1)
    all_start, all_stop = np.maximum.reduceat(starts, cuts, axis=1), np.minimum.reduceat(stops, cuts, axis=1)
    pairs = [
        np.stack(each, -1).reshape(*each[0].shape[:2], 4) for each in ((any_start, any_stop), (all_start, all_stop))
    ]
    return np.ascontiguousarray(np.concatenate(pairs, -1), np.int32)


# What calls made of their masks, as long as these live: by stream, since memory belongs to one.
_known: WeakKeyDictionary[Any, dict[tuple[Any, ...], Given]] = WeakKeyDictionary()
_MOST_KNOWN = 16


def given(device: load.Device, pairs: Any, full: tuple[int, int, int, int], rows: int, keys: int) -> Given:
    """Return the arguments for tiles of `rows` queries and `keys` keys."""
    known = _known.setdefault(pairs, {})
    key = device, device.stream(), full, rows, keys
    if key not in known:
        if len(known) >= _MOST_KNOWN:
            known.pop(next(iter(known)))
        known[key] = _made(device, pairs, full, rows, keys)
    return known[key]


def _made(device: load.Device, pairs: Any, full: tuple[int, int, int, int], rows: int, keys: int) -> Given:
    behind: list[Any] = []

    def address(x: Any) -> np.uint64:
        behind.append(x)
        return np.uint64(load.address(x))

    intervals, tiles, steps = _NOTHING, _NOTHING, [0, 0, 0, 0]
    if pairs.intervals is not None:
        x = pairs.intervals
        of_tiles, many = ranges(x, rows), x.shape[2] > 1
        intervals, tiles = address(device.upload(x)), address(device.upload(of_tiles))
        steps = [_step(x.shape[0], x.shape[2]), int(many), _step(len(of_tiles), 8 * of_tiles.shape[1]), 8 * many]
    bits, classes, bit_steps = _NOTHING, _NOTHING, [0] * 6
    captured, allowed = _NOTHING, None
    if pairs.bits is not None or pairs.mask is not None:
        shape = (pairs.bits if pairs.mask is None else pairs.mask).shape[:3]
        words = device.upload(pairs.bits) if pairs.mask is None else _packed(device, pairs.mask, full[3])
        table, bit_steps = _bit_classes(device, words, shape, full[3], rows, keys)
        bits, classes = address(words), address(table)
    elif pairs.function is not None:
        function = translated(pairs.function)
        held = device.upload(function.captured)
        captured, allowed = address(held), function.expression
        table, class_steps = _function_classes(device, function, held, full, rows, keys)
        classes, bit_steps = address(table), [0, 0, 0, *class_steps]
    places, place_step = _NOTHING, 0
    if pairs.order is not None:
        places, place_step = address(device.upload(pairs.order)), _step(*pairs.order.shape)
    numbers = [[np.int64(step) for step in each] for each in (steps, bit_steps)]
    scalars = [intervals, tiles, *numbers[0], bits, classes, *numbers[1], captured, places, np.int64(place_step)]
    return Given(scalars, behind, allowed)


def _step(size: int, step: int) -> int:
    """Return the way from one to the next of `size`, of which there is one for all or one for each."""
    return step if size > 1 else 0


def _packed(device: load.Device, mask: Any, k_len: int) -> Any:
    """Return booleans of the device as bits, 32 keys in a word."""
    rows, words = int(np.prod(mask.shape[:3])), -(-k_len // 32)
    bits = device.empty((rows, words), np.uint32)
    if bits.size:
        shape = [np.int64(each) for each in (rows, mask.shape[3], k_len)]
        blocks = -(-rows * words // 8)
        device.kernel(_TEXT, "attention_bits")(blocks, 256, 0, [np.uint64(mask.address), bits, *shape], [mask.owner])
    return bits


def _bit_classes(
    device: load.Device, bits: Any, shape: tuple[int, int, int], k_len: int, rows: int, keys: int
) -> tuple[Any, list[int]]:
    """Return classes of tiles of bits (B or 1, H or 1, Lq or 1, words), and the steps of both."""
    b, h, q_len = shape
    words, tiles, across = -(-k_len // 32), -(-q_len // rows), -(-k_len // keys)
    classes = device.empty((b * h, tiles, across), np.uint8)
    if classes.size:
        sizes = [np.int64(each) for each in (b * h, q_len, k_len, rows, keys)]
        kernel = device.kernel(_TEXT, "attention_classes")
        kernel(-(-b * h * tiles * across // 256), 256, 0, [bits, classes, *sizes])
    of_bits = [_step(b, h * q_len * words), _step(h, q_len * words), _step(q_len, words)]
    of_classes = [_step(b, h * tiles * across), _step(h, tiles * across), across if q_len > 1 else 0]
    return classes, of_bits + of_classes


def _function_classes(
    device: load.Device, function: Translated, captured: Any, full: tuple[int, int, int, int], rows: int, keys: int
) -> tuple[Any, list[int]]:
    """Return a function's classes for the batch rows and heads that it looks at, and the steps between them."""
    b, h = (size if name in function.names else 1 for size, name in zip(full, "bh", strict=False))
    tiles, across = -(-full[2] // rows), -(-full[3] // keys)
    classes = device.empty((b * h, tiles, across), np.uint8)
    text = f"#define KX_ALLOWED ({function.expression})\n{_TEXT}"
    sizes = [np.int64(each) for each in (h, full[2], full[3], rows, keys)]
    device.kernel(text, "attention_function")(b * h * tiles * across, 128, 0, [captured, classes, *sizes])
    return classes, [_step(b, h * tiles * across), _step(h, tiles * across), across]
