"""Tiles of attention's kernels for a type and head sizes, and the text that is compiled for them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from kxfast.errors import BackendError

MOST_SHARED = 99 * 1024  # bytes of a block that every GPU from compute capability 8.0 on has
_MOST_SHARED_OF_GROUPS = 227 * 1024  # and what a Hopper has
TYPES = {"f": "float", "d": "double", "e": "kx::F16", "E": "kx::BF16"}  # E: ml_dtypes' bfloat16
_BYTES = {"f": 4, "d": 8, "e": 2, "E": 2}


class Plan(NamedTuple):
    """What a kernel is compiled for: see cuda/attention_problem.cuh; of `groups` warp groups if there are any."""

    warps: int
    bands: int
    other: int  # rows of the tiles that pass by
    stages: int
    part: int  # columns of the result that a block makes
    shared: int  # bytes
    groups: int = 0  # warp groups that multiply

    @property
    def rows(self) -> int:
        """Rows of the tile that a block owns."""
        return 64 * self.groups or self.warps * self.bands * 16


def wide(kind: str, columns: int) -> int:
    """Return the columns of a tile with their zeros."""
    pad = 16 if _BYTES[kind] == 2 else 8
    return -(-columns // pad) * pad


def _tile(kind: str, rows: int, columns: int) -> int:
    return rows * (wide(kind, columns) * _BYTES[kind] + 16)


# Warps, bands and rows passing by, the best first: which is taken is the first that shared memory holds.
_SHAPES = [(4, 1, 64, 2), (4, 1, 32, 2), (4, 1, 32, 1), (4, 1, 16, 1), (2, 1, 16, 1), (1, 1, 16, 1)]
_FIRST = {2: 0, 4: 1, 8: 3}  # of them, by the size of a number: wider ones need more registers


@cache
def forward(kind: str, d: int, dv: int) -> Plan:
    """Return the tiles of the forward pass."""
    half = _BYTES[kind] == 2
    part = min(dv, 256 if half else 128 if kind == "f" else 64)
    shapes = [(4, 2, 64, 2)] * (half and max(d, part) <= 64) + _SHAPES[_FIRST[_BYTES[kind]] :]
    for warps, bands, keys, stages in shapes:
        rows = warps * bands * 16
        shared = _tile(kind, rows, d) + stages * (_tile(kind, keys, d) + _tile(kind, keys, part))
        if shared <= MOST_SHARED:
            return Plan(warps, bands, keys, stages, part, shared)
    raise _too_large(d, dv)


_LEAST_TILES = 4  # of keys, for a block to be worth it


@cache
def split(kind: str, d: int, dv: int) -> Plan:
    """Return the tiles of the forward pass where keys are split among blocks."""
    plan = forward(kind, d, dv)
    return plan if plan.bands == 1 else plan._replace(bands=1, shared=plan.shared - _tile(kind, plan.warps * 16, d))


def splits(plan: Plan, blocks: int, k_len: int, multiprocessors: int) -> int:
    """Return among how many blocks the keys of each of `blocks` tiles of queries are split; two run at a time."""
    return max(1, min(2 * multiprocessors // blocks, -(-k_len // plan.other) // _LEAST_TILES)) if blocks else 1


_GROUPS, _STAGE = 2, 40  # warp groups that multiply; bytes of what is known of tiles on their way


@cache
def forward_of_groups(kind: str, d: int, dv: int) -> Plan | None:
    """Return the tiles of the forward pass by warp groups, where they can serve."""
    columns = 64 if dv <= 64 else -(-dv // 128) * 128
    keys = 64 if max(d, dv) > 128 else 128
    return _of_groups(kind, d, dv, dv, _panels(128, d), keys, _panels(keys, d) + _panels(keys, columns), 256)


@cache
def queries_of_groups(kind: str, d: int, dv: int) -> Plan | None:
    """Return the tiles of the gradient of queries by warp groups, where they can serve."""
    both = [_panels(rows, d) + _panels(rows, dv) for rows in (128, 64)]
    return _of_groups(kind, d, dv, d, both[0], 64, both[1], 128)


@cache
def keys_of_groups(kind: str, d: int, dv: int) -> Plan | None:
    """Return the tiles of the gradients of keys and values by warp groups, where they can serve."""
    both = [_panels(rows, d) + _panels(rows, dv) for rows in (128, 64)]
    return _of_groups(kind, d, dv, 128, both[0], 64, both[1] + 2 * 64 * 4 + 128 * 8, 128)


def _panels(rows: int, columns: int) -> int:
    return rows * -(-columns // 64) * 128


def _of_groups(
    kind: str, d: int, dv: int, part: int, own: int, other: int, each: int, most: int
) -> Plan | None:  # fmt: skip
    """Return the tiles of blocks that own so many bytes of rows, others passing by; heads have `most` columns."""
    if _BYTES[kind] != 2 or d % 8 or dv % 8 or not 0 < min(d, dv) <= max(d, dv) <= most:
        return None
    own += 8 * _GROUPS + 16
    stages = min(4, (_MOST_SHARED_OF_GROUPS - own) // (each + _STAGE))
    shared = -(-(own + stages * (each + _STAGE)) // 16) * 16
    return Plan(4 * (_GROUPS + 1), 1, other, stages, part, shared, _GROUPS)


@cache
def queries(kind: str, d: int, dv: int) -> Plan:
    """Return the tiles of the gradient of queries, whose columns are `part` at a time."""
    part = min(d, {2: 256, 4: 128, 8: 64}[_BYTES[kind]])
    for warps, _, keys, stages in _SHAPES[_FIRST[_BYTES[kind]] :]:
        shared = _both(kind, warps * 16, d, dv) + stages * _both(kind, keys, d, dv)
        if shared <= MOST_SHARED:
            return Plan(warps, 1, keys, stages, part, shared)
    raise _too_large(d, dv)


@cache
def keys(kind: str, d: int, dv: int) -> dict[int, Plan]:
    """Return the tiles of the gradients of keys (1) and of values (2), or of both at once (3)."""
    most = {2: 128, 4: 64, 8: 32}[_BYTES[kind]]
    sum_bytes = 8 if kind == "d" else 4
    for warps, _, rows, stages in _SHAPES[max(_FIRST[_BYTES[kind]], d + dv > 128) :]:
        shared = _both(kind, warps * 16, d, dv) + stages * (_both(kind, rows, d, dv) + 2 * rows * sum_bytes)
        if shared <= MOST_SHARED:
            plan = Plan(warps, 1, rows, stages, 0, shared)
            if max(d, dv) <= most:
                return {3: plan._replace(part=most)}
            return {1: plan._replace(part=min(d, 2 * most)), 2: plan._replace(part=min(dv, 2 * most))}
    raise _too_large(d, dv)


@cache
def bias(kind: str, d: int, dv: int) -> Plan:
    """Return the tiles of the gradient of a bias."""
    size = 8 if kind == "d" else 4
    for warps, _, keys, _ in _SHAPES[_FIRST[_BYTES[kind]] :]:
        shared = _both(kind, warps * 16 + keys, d, dv) + warps * 16 * (keys + 1) * size
        if shared <= MOST_SHARED:
            return Plan(warps, 1, keys, 1, 0, shared)
    raise _too_large(d, dv)


def _both(kind: str, rows: int, d: int, dv: int) -> int:
    return _tile(kind, rows, d) + _tile(kind, rows, dv)


def _too_large(d: int, dv: int) -> BackendError:
    return BackendError(
        f"backend 'cuda' cannot serve heads of sizes {d} and {dv} in this type: a tile of 16 rows needs more than "
        f"{MOST_SHARED} bytes of shared memory"
    )


def text(
    kind: str, d: int, dv: int, plan: Plan | None, file: str, allowed: str | None = None, makes: int = 0
) -> str:  # fmt: skip
    """Return the source of kernels for a type, head sizes, a plan if they have one, a user's mask, what they make."""
    sizes = {"D": d, "DV": dv}
    if plan is not None:
        sizes |= {"WARPS": plan.warps, "BANDS": plan.bands, "OTHER": plan.other, "STAGES": plan.stages}
        sizes |= {"PART": plan.part, "MAKES": makes} | ({"GROUPS": plan.groups} if plan.groups else {})
    lines = [f"#define KX_T {TYPES[kind]}", *(f"#define KX_{name} {size}" for name, size in sizes.items())]
    lines += [f"#define KX_ALLOWED ({allowed})"] if allowed else []
    return "\n".join([*lines, f'#include "{file}"', ""])
