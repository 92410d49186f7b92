"""Attention: right beside the compiled CPU code in double, timed beside torch's own and FlexAttention.

Every result lies in memory that held NaN before. Operations are those on allowed pairs, 4 D a pair forward and 10 D
backward; a floor is the time of as large products of matrices in torch, or of copying what is read and written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import kxfast as kx
from benchmarks.gpu import beside, with_jax
from benchmarks.gpu.checks import HALVES, TYPES, distance, host, judged, on_gpu, poisoned, stream, without_warp_groups
from benchmarks.gpu.floors import told
from benchmarks.gpu.plan import Row, Step
from benchmarks.gpu.timing import repeated
from kxfast import masks

MOST = {"bfloat16": 1e-2, "float16": 2e-3, "float32": 1e-5, "float64": 1e-12}  # relative error
# Batch, heads, key heads, queries, keys, head sizes of queries and of values.
CHECKED = {
    "many heads": (3, 8, 2, 333, 333, 64, 64),
    "wide heads": (1, 2, 1, 200, 457, 128, 96),
    "widest heads": (1, 2, 2, 150, 150, 256, 256),
    "few queries": (3, 8, 2, 40, 333, 64, 64),
    "many keys": (1, 2, 1, 5, 3000, 128, 96),
    "odd heads": (2, 2, 1, 65, 130, 20, 7),
}


def _masks(q_len: int, k_len: int, rng: np.random.Generator) -> dict[str, Any]:
    segments = (np.arange(k_len) >= k_len // 2).astype(int)
    return {
        "all pairs": None,
        "causal": masks.causal(),
        "window": masks.sliding_window(40, 5),
        "unilm": masks.unilm(segments) & masks.padding(k_len - 9),
        "strided": masks.strided(7),
        "booleans": masks.dense(rng.random((q_len, k_len)) < 0.3),
        "function": masks.function(lambda b, h, i, j: (i // 20 + j // 50 + h) % 2 == 0),
    }


def check(label: str, kind: str, name: str, seed: int, put: Callable[[Any], Any] = on_gpu) -> Row:
    """Compare forward and backward, with a bias where scores are not of whole tiles, with double on the CPU."""
    b, h, groups, q_len, k_len, d, dv = CHECKED[label]
    rng = np.random.default_rng(seed)
    shapes = (b, h, q_len, d), (b, groups, k_len, d), (b, groups, k_len, dv), (b, h, q_len, dv), (h, q_len, k_len)
    arrays = [rng.standard_normal(shape).astype(TYPES[kind]) for shape in shapes]
    *qkv, grad, bias = arrays if label == "odd heads" else [*arrays[:4], None]
    mask = _masks(q_len, k_len, rng)[name]
    run, back = kx.attention.scaled_dot_product_attention, kx.attention.scaled_dot_product_attention_backward
    exact = [None if x is None else x.astype(np.float64) for x in (*qkv, grad, bias)]
    out, lse = run(*exact[:3], mask=mask, bias=exact[4], return_lse=True)
    need = bias is not None
    expected = [out, lse, *back(exact[3], *exact[:3], out, lse, mask=mask, bias=exact[4], need_dbias=need)]
    given = [None if x is None else put(x) for x in (*qkv, grad, bias)]
    with poisoned():
        found = run(*given[:3], mask=mask, bias=given[4], return_lse=True)
        found += back(given[3], *given[:3], *found, mask=mask, bias=given[4], need_dbias=need)
    return judged((distance(host(x), y) for x, y in zip(found, expected, strict=True)), MOST[kind], seed)


class Timed(NamedTuple):
    """A case: (batch, heads, length, head size), a mask of ours and the rule that FlexAttention is given.

    There are as many queries as keys, or so many.
    """

    shape: tuple[int, int, int, int]
    mask: Callable[[int], Any]
    rule: Callable[[int], Callable[..., Any]] | None
    bias: bool = False
    queries: int = 0


def _window(length: int) -> Callable[..., Any]:
    return lambda b, h, i, j: (j <= i) & (i - j <= 1024)


def _prefix(length: int) -> Callable[..., Any]:
    return lambda b, h, i, j: (j <= i) | (j < length // 2)


def _causal(length: int) -> Callable[..., Any]:
    return lambda b, h, i, j: j <= i


TIMED = {
    "128 full": Timed((1, 16, 16384, 128), lambda n: None, None),
    "128 causal": Timed((1, 16, 16384, 128), lambda n: masks.causal(), _causal),
    "64 full": Timed((4, 16, 16384, 64), lambda n: None, None),
    "64 causal": Timed((4, 16, 16384, 64), lambda n: masks.causal(), _causal),
    "64 prefix of a half": Timed((4, 16, 16384, 64), lambda n: masks.prefix_lm(n // 2), _prefix),
    "64 window of 1024": Timed((4, 16, 16384, 64), lambda n: masks.sliding_window(1024), _window),
    "64 short, prefix of a half": Timed((32, 12, 512, 64), lambda n: masks.prefix_lm(n // 2), _prefix),
    "64 bias of all batch rows": Timed((4, 16, 4096, 64), lambda n: None, None, True),
    "128 one query": Timed((1, 32, 65536, 128), lambda n: None, None, queries=1),
}


def _inputs(case: Timed, seed: int) -> tuple[list[Any], Any, Any]:
    import torch

    b, h, length, d = case.shape
    torch.manual_seed(seed)
    new = partial(torch.randn, device="cuda", dtype=torch.bfloat16)
    bias = new((1, h, length, length)) if case.bias else None
    rows = case.queries or length
    return [new((b, h, each, d)) for each in (rows, length, length, rows)], case.mask(length), bias


def _told(case: Timed, found: Row, backward: bool) -> Row:
    b, h, length, d = case.shape
    mask = case.mask(length)
    share = 1.0
    if mask is not None:
        held = mask.key_intervals(1, 1, length, length)[0, 0].astype(np.int64)
        share = float((held[:, 1] - held[:, 0] + held[:, 3] - held[:, 2]).sum()) / length**2
    rows = case.queries or length
    work = (10 if backward else 4) * b * h * rows * length * d * share
    moved = 2 * ((4 if backward else 2) * b * h * (rows + length) * d + case.bias * h * length**2)
    return {**told(found, operations=work, moved=moved), "density": share}


def _ours(name: str, backward: bool, seed: int) -> Row:
    case = TIMED[name]
    row = _timed(case, backward, seed)
    if row["density"] == 1.0:
        return row
    whole = _timed(case._replace(mask=lambda length: None), backward, seed)
    return row | {"over_density": row["seconds"] / (row["density"] * whole["seconds"])}


def _timed(case: Timed, backward: bool, seed: int) -> Row:
    (q, k, v, grad), mask, bias = _inputs(case, seed)
    out, lse = kx.attention.scaled_dot_product_attention(q, k, v, mask=mask, bias=bias, return_lse=True)
    run = partial(kx.attention.scaled_dot_product_attention, q, k, v, mask=mask, bias=bias, out=out)
    if backward:
        back = kx.attention.scaled_dot_product_attention_backward
        run = partial(back, grad, q, k, v, out, lse, mask=mask, bias=bias)
    return _told(case, repeated(run, stream=stream()), backward)


def _ours_without(name: str, backward: bool, seed: int) -> Row:
    with without_warp_groups():
        return _ours(name, backward, seed)


def _peer(name: str, backward: bool, attend: Callable[[Timed, list[Any], Any], Callable[[], Any]], seed: int) -> Row:
    case = TIMED[name]
    (q, k, v, grad), _, bias = _inputs(case, seed)
    leaves = [x.requires_grad_(backward) for x in (q, k, v)]
    run = attend(case, leaves, bias)
    if backward:
        out = run()
        found = repeated(lambda: out.backward(grad, retain_graph=True), stream=stream())
    else:
        found = repeated(run, stream=stream())
    return _told(case, found, backward)


def _sdpa(case: Timed, leaves: list[Any], bias: Any) -> Callable[[], Any]:
    """Torch's own: its causal mask where ours is one, else booleans or a bias as torch adds it."""
    import torch

    length, scale = case.shape[2], case.shape[3] ** -0.5
    causal = case.rule is _causal
    given = None if bias is None else bias * scale
    if case.rule is not None and not causal:
        i = torch.arange(length, device="cuda")
        given = case.rule(length)(0, 0, i[:, None], i)
    call = torch.nn.functional.scaled_dot_product_attention
    return lambda: call(*leaves, attn_mask=given, is_causal=causal)


def _flex(case: Timed, leaves: list[Any], bias: Any, *, build: bool = False) -> Callable[[], Any]:
    import torch
    from torch.nn.attention import flex_attention

    length, scale = case.shape[2], case.shape[3] ** -0.5
    call = torch.compile(flex_attention.flex_attention)
    make = torch.compile(flex_attention.create_block_mask)
    rule = None if case.rule is None else case.rule(length)
    added = None if bias is None else (lambda s, b, h, i, j: s + bias[0, h, i, j] * scale)

    def blocks() -> Any:
        return None if rule is None else make(rule, None, None, length, length, device="cuda")

    kept = blocks()
    return lambda: call(*leaves, score_mod=added, block_mask=blocks() if build else kept)


def _jax(name: str, backward: bool, seed: int) -> Row:
    """Time JAX's own, by cuDNN, which is told of causal masks and windows; of others it gets booleans."""
    with_jax.imported()
    case = TIMED[name]
    rule = case.rule(case.shape[2]) if case.rule else None
    words: dict[str, Any] = {"allowed": rule} if rule else {}
    if case.rule in (_causal, _window):
        words = {"is_causal": True}
    if case.rule is _window:
        words["local_window_size"] = (1024, 0)
    call = with_jax.attention(case.shape, backward, seed, queries=case.queries, bias=case.bias, **words)
    return _told(case, with_jax.timed(call), backward)


def steps() -> list[Step]:
    """Return the steps of this path."""
    names = list(_masks(9, 9, np.random.default_rng(0)))
    found = [
        Step("attention", "check", f"{label}, {kind}, {name}", partial(check, label, kind, name))
        for label in CHECKED
        for kind in TYPES
        for name in (names if label in ("many heads", "odd heads") else names[1:3])
    ]
    found += [Step("attention", "check", f"beside torch's, {kind}", partial(beside.attention, kind)) for kind in HALVES]
    for name, case in TIMED.items():
        for backward in (False,) if case.queries else (False, True):
            label = f"{name} {'backward' if backward else 'forward'}"
            found.append(Step("attention", "bench", label, partial(_ours, name, backward)))
            if not case.queries:
                without = partial(_ours_without, name, backward)
                found.append(Step("attention", "peers", label, without, "without warp groups"))
            peers = {"torch SDPA": _sdpa, "FlexAttention": _flex}
            if case.rule is not None and not backward:
                peers["FlexAttention and its mask"] = partial(_flex, build=True)
            found += [
                Step("attention", "peers", label, partial(_peer, name, backward, attend), peer)
                for peer, attend in peers.items()
            ]
            found.append(Step("attention", "peers", label, partial(_jax, name, backward), "JAX"))
    return found
