"""Masked attention on a GPU: which kernels, with what tiles, over which blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxfast.backends.cuda import attention_masks, attention_plan, load
from kxfast.backends.cuda.attention_plan import Plan

__all__ = ["missing", "scaled_dot_product_attention", "scaled_dot_product_attention_backward"]

_BACKWARD = "attention_backward.cuh"


def missing() -> str | None:
    """Say why there is no device, or return None."""
    return load.missing()


class _Call:
    """One attention: its sizes, and the arguments that its kernels share."""

    def __init__(self, device: load.Device, q: Any, k: Any, v: Any, pairs: Any, bias: Any, scale: float) -> None:
        self.device, self.arrays, self.pairs, self.scale = device, (q, k, v, bias), pairs, scale
        self.batch, self.heads, self.q_len, self.d = q.shape
        self.groups, self.k_len, self.dv = k.shape[1], k.shape[2], v.shape[3]
        self.kind = "E" if q.dtype.name == "bfloat16" else q.dtype.char
        self.lse = np.dtype(np.float64 if self.kind == "d" else np.float32)

    def choose(self, of_groups: Plan | None, rows: int, otherwise: Callable[[str, int, int], Plan]) -> Plan:
        """Return the plan by warp groups where there are such, and rows for more than one of them."""
        if of_groups is not None and self.device.warp_groups and rows > of_groups.rows // of_groups.groups:
            return of_groups
        return otherwise(self.kind, self.d, self.dv)

    def blocks(self, plan: Plan) -> int:
        """Return how many blocks the results of all queries take."""
        tiles: int = -(-self.dv // plan.part) * -(-self.q_len // plan.rows)
        return int(self.batch * self.heads) * tiles

    def launch(
        self, file: str, kernel: str, plan: Plan, blocks: int, others: list[Any], outputs: list[Any],
        tiles: tuple[int, int], makes: int = 0,
    ) -> None:  # fmt: skip
        """Launch a kernel; `tiles` are the queries and the keys of its tiles."""
        if not blocks:
            return
        q, k, v, bias = self.arrays
        full = (self.batch, self.heads, self.q_len, self.k_len)
        given = attention_masks.given(self.device, self.pairs, full, *tiles)
        sizes = [self.heads, self.groups, self.q_len, self.k_len]
        arguments: list[Any] = [np.uint64(x.address if x else 0) for x in (q, k, v, bias)] + [
            np.int64(each) for each in sizes
        ]
        arguments += [np.float64(self.scale), *(step for x in (q, k, v) for step in _steps(x)[:3])]
        arguments += [*_steps(bias), *given.scalars, *others]
        text = attention_plan.text(self.kind, self.d, self.dv, plan, file, given.allowed, makes)
        touched = [*given.behind, *outputs, *(x.owner for x in (q, k, v, bias) if x)]
        self.device.kernel(text, kernel)(blocks, plan.warps * 32, plan.shared, arguments, touched)


def _steps(x: Any) -> list[np.int64]:
    """Return the ways along the four axes of an array; 0 along one of length 1, which stands for all."""
    shape = x.shape if x else (1,) * 4
    steps = x.steps if x and x.steps else np.cumprod([1, *shape[:0:-1]])[::-1]
    return [np.int64(step if size > 1 else 0) for size, step in zip(shape, steps, strict=True)]


def _at(owner: Any) -> np.uint64:
    return np.uint64(load.address(owner))


def scaled_dot_product_attention(
    q: Any, k: Any, v: Any, pairs: Any, bias: Any, scale: float, out: Any | None
) -> tuple[Any, Any]:
    """See the reference; arrays are on the device, and so are the results."""
    with load.stream_of(q.owner):
        call = _Call(load.device(), q, k, v, pairs, bias, scale)
        sizes = call.kind, call.d, call.dv
        plan = call.choose(attention_plan.forward_of_groups(*sizes), call.q_len, attention_plan.forward)
        file = "attention_groups.cuh" if plan.groups else "attention.cuh"
        result = load.empty_beside(q.owner, (*q.shape[:3], call.dv), q.dtype) if out is None else out.owner
        lse = load.empty_beside(q.owner, q.shape[:3], call.lse)
        if not plan.groups and _split(call, attention_plan.split(*sizes), result, lse):
            return result, lse
        others, outputs = [_at(result), _at(lse)], [result, lse]
        call.launch(file, "attention_forward", plan, call.blocks(plan), others, outputs, (plan.rows, plan.other))
        return result, lse


def _split(call: _Call, plan: Plan, result: Any, lse: Any) -> bool:
    """Split the keys among blocks where tiles of queries are too few for all multiprocessors, or return False."""
    blocks = call.blocks(plan)
    splits = attention_plan.splits(plan, blocks, call.k_len, call.device.multiprocessors)
    if splits == 1:
        return False
    rows = call.batch * call.heads * call.q_len
    outs, lses = (call.device.empty((splits, rows, columns), call.lse) for columns in (call.dv, 1))
    sizes = [np.int64(rows), np.int32(splits)]
    file, tiles = "attention_split.cuh", (plan.rows, plan.other)
    call.launch(file, "attention_split", plan, blocks * splits, [outs, lses, *sizes], [], tiles)
    text = attention_plan.text(call.kind, call.d, call.dv, plan, file)
    arguments = [outs, lses, _at(result), _at(lse), *sizes]
    call.device.kernel(text, "attention_join")(-(-rows // 4), 128, 0, arguments, [result, lse])
    return True


def scaled_dot_product_attention_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, pairs: Any, bias: Any, scale: float, need_dbias: bool
) -> tuple[Any, Any, Any, Any]:
    """See the reference; arrays are on the device, and so are the results."""
    with load.stream_of(q.owner):
        call = _Call(load.device(), q, k, v, pairs, bias, scale)
        sizes = call.kind, call.d, call.dv
        plan = call.choose(attention_plan.queries_of_groups(*sizes), call.q_len, attention_plan.queries)
        of_both = attention_plan.keys(*sizes)
        one = call.choose(attention_plan.keys_of_groups(*sizes), call.k_len, lambda *_: next(iter(of_both.values())))
        if one.groups:
            of_both = {3: one}
        of_bias = attention_plan.bias(*sizes) if need_dbias else None
        dq, dk, dv = (load.empty_beside(q.owner, x.shape, q.dtype) for x in (q, k, v))
        share = call.device.empty(q.shape[:3], call.lse)
        inputs = [np.uint64(grad.address), np.uint64(lse.address), share]
        behind = [grad.owner, lse.owner, share]
        rows = call.batch * call.heads * call.q_len
        if rows:
            text = attention_plan.text(*sizes, None, "attention_shares.cuh")
            given = [inputs[0], np.uint64(out.address), inputs[1], share, np.int64(rows)]
            call.device.kernel(text, "attention_shares")(-(-rows // 4), 128, 0, given, [*behind, out.owner])
        tiles, parts = -(-call.q_len // plan.rows), -(-call.d // plan.part)
        blocks, owned = call.batch * call.heads * parts * tiles, (plan.rows, plan.other)
        file = "attention_groups_queries.cuh" if plan.groups else _BACKWARD
        call.launch(file, "attention_queries", plan, blocks, [*inputs, _at(dq)], [*behind, dq], owned)
        for makes, of_keys in of_both.items():
            parts = {1: -(-call.d // of_keys.part), 2: -(-call.dv // of_keys.part), 3: 1}[makes]
            blocks = call.batch * call.groups * parts * -(-call.k_len // of_keys.rows)
            others, owned = [*inputs, _at(dk), _at(dv)], (of_keys.other, of_keys.rows)
            file = "attention_groups_keys.cuh" if of_keys.groups else _BACKWARD
            call.launch(file, "attention_keys", of_keys, blocks, others, [*behind, dk, dv], owned, makes)
        return dq, dk, dv, _bias_gradient(call, of_bias, inputs, behind) if of_bias else None


def _bias_gradient(call: _Call, plan: Plan, inputs: list[Any], behind: list[Any]) -> Any:
    """Return the gradient of the bias: a block for each of its tiles goes through all that share it."""
    bias = call.arrays[3]
    dbias = load.empty_beside(bias.owner, bias.shape, bias.dtype)
    down, across = (-(-size // tile) for size, tile in zip(bias.shape[2:], (plan.rows, plan.other), strict=True))
    sizes = [np.int64(each) for each in (call.batch, *bias.shape)]
    others, outputs = [*inputs, _at(dbias), *sizes], [*behind, dbias]
    blocks = bias.shape[0] * bias.shape[1] * down * across
    call.launch("attention_bias.cuh", "attention_bias", plan, blocks, others, outputs, (plan.rows, plan.other))
    return dbias
