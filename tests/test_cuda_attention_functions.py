"""Users' masks on a GPU: what is translated says what Python says, and the rest is refused by name."""

from __future__ import annotations

import functools
import itertools
import re

import numba
import numpy as np
import pytest
from cuda_attention import BRAIN, agree, agree_back, inputs, there
from cuda_compile import compile_for_gpu
from cuda_emulation import EmulatedDevice, emulated

import kxfast as kx
from kxfast import masks
from kxfast.backends.cuda import attention_plan, nvrtc
from kxfast.backends.cuda.attention_functions import translated

SIZES = (2, 3, 5, 7)
WIDTH, NEGATIVE, FLAG = 3, -4, True
TABLE, GRID, LIST = np.array([4, -2, 0, 7, 1, 2, 9]), np.arange(35).reshape(5, 7) % 4, [True, False, True, True, False]


def documented(b, h, i, j):
    """Allow by a table."""
    return TABLE[j] <= i or GRID[i, j] == h


@numba.njit
def compiled(b, h, i, j):
    return i - j < WIDTH and j - i < WIDTH


PAIR = (lambda b, h, i, j: i < j), (lambda b, h, i, j: j < i)
RULES = [
    lambda b, h, i, j: j <= i,
    lambda b, h, i, j: 0 <= i - j < WIDTH,
    lambda b, h, i, j: (i * j + h) % 3 == 0 and not (b and h),
    lambda b, h, i, j: (NEGATIVE * i - j) // 3 % 5 > -i % 4,
    lambda b, h, i, j: (i and j) + (b or h) > 2,
    lambda b, h, i, j: i - j if h else FLAG,
    lambda b, h, i, j: min(i, j, 2) + max(h, 1) == abs(i - j),
    lambda b, h, i, j: (i & 1) ^ (j | ~h) != -2,
    lambda b, h, i, j: LIST[i] != (TABLE[-1 - j] > h),
    lambda b, h, i, j: bool(j) == int(i > 1),
    lambda q, k, x, y: x + q < y + k,
    documented,
    compiled,
    *PAIR,
]


def test_what_is_translated_says_what_python_says():
    """All rules in one kernel, over a small grid."""
    found = [translated(rule) for rule in RULES]
    starts = np.cumsum([0, *(len(each.captured) for each in found)])
    rows = "\n".join(
        f"  {{ const kx::i64* const captured = all + {start}; out[{n} * size + at] = ({each.expression}) != 0; }}"
        for n, (each, start) in enumerate(zip(found, starts, strict=False))
    )
    text = f"""
#include "attention_functions.cuh"
extern "C" __global__ void rules(const kx::i64* all, kx::u8* out) {{
  const kx::i64 size = {np.prod(SIZES)}, at = threadIdx.x;
  const kx::i64 j = at % 7, i = at / 7 % 5, h = at / 35 % 3, b = at / 105;
{rows}
}}
KX_ENTRY(rules)
"""
    device = EmulatedDevice()
    out, captured = device.empty((len(RULES), *SIZES), np.uint8), device.upload(np.concatenate([x[1] for x in found]))
    device.kernel(text, "rules")(1, int(np.prod(SIZES)), 0, [captured, out])
    for rule, result in zip(RULES, out, strict=True):
        python = getattr(rule, "py_func", rule)
        expected = [bool(python(*each)) for each in itertools.product(*map(range, SIZES))]
        np.testing.assert_array_equal(result.ravel().astype(bool), expected, str(translated(rule)))


def test_arguments_that_a_function_looks_at_are_known():
    assert translated(RULES[0]).names == {"i", "j"}
    assert translated(RULES[2]).names == {"b", "h", "i", "j"}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_functions_as_masks(rng):
    mask = masks.function(lambda b, h, i, j: (i // 20 + j // 33 + h) % 2 == 0)  # empty and full tiles among them
    arrays = inputs(rng, BRAIN, 2, 2, 1, 200, 150, 16, 16)
    agree(arrays, mask)
    agree_back(arrays, mask, orders=[0])
    agree(arrays, masks.causal() & (mask & masks.padding([150, 70])), orders=[1])
    agree(arrays, mask | masks.causal(), orders=[2])  # no function at the end, but booleans


def test_what_a_function_captures_is_read_at_every_call(rng):
    arrays, limit = inputs(rng, BRAIN, 1, 1, 1, 20, 30, 16, 16), np.full(20, 3)
    agree(arrays, masks.function(lambda b, h, i, j: j < limit[i]), orders=[0])
    limit[:] = 11
    agree(arrays, masks.function(lambda b, h, i, j: j < limit[i]), orders=[0])


def test_kernels_with_a_function_compile_without_spills():
    plan = attention_plan.forward("E", 64, 64)
    expression = translated(lambda b, h, i, j: LIST[min(j, 4)] and (i * j + h) // 3 % 5 > b).expression
    text = attention_plan.text("E", 64, 64, plan, "attention.cuh", expression)
    _, log = compile_for_gpu(text, "sm_90a")
    assert re.findall(r"[1-9]\d* bytes (?:stack frame|spill)|Performance Loss", log) == []
    code, _ = nvrtc.compile_text(f'#define KX_ALLOWED {expression}\n#include "attention_classes.cuh"\n', "compute_80")
    assert b"attention_function" in code


def statements(b, h, i, j):
    near = i - j
    return near < 3


def printed(b, h, i, j):
    return print(i) is None


REFUSED = {
    "Assign in line": statements,
    r"the call of 'print'|Is in 'print": printed,
    "Pow in 'i \\*\\* 2'": lambda b, h, i, j: i**2 < j,
    "'0.5' is float, no integer": lambda b, h, i, j: i * 0.5 < j,
    "'TABLE\\[i, j\\]' must have 1 indices": lambda b, h, i, j: TABLE[i, j],
    "'np.pi' |Attribute in 'np.pi'": lambda b, h, i, j: i < np.pi,
    "the name 'nowhere' is bound to nothing": lambda b, h, i, j: nowhere < j,  # noqa: F821  # that is the point
    "In in 'i in": lambda b, h, i, j: i in (1, 2),
    "its arguments must be four": lambda b, h, i, j, k=3: i < k,
    "partial is no Python function": functools.partial(statements),
    "its source is not to be had": eval("lambda b, h, i, j: i < j"),
    "'SIZES\\[i\\]\\[j\\]' is no element|no element of an array": lambda b, h, i, j: SIZES[i][j],
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_translated_is_named(rng, words):
    q, k, v = map(there, inputs(rng, BRAIN, 1, 1, 1, 5, 7, 16, 16))
    with emulated() as device, pytest.raises(kx.BackendError, match=words) as caught:
        kx.attention.scaled_dot_product_attention(q, k, v, mask=masks.function(REFUSED[words]))
    assert str(caught.value).startswith("backend 'cuda' cannot translate the function of masks.function: ")
    assert "\n" not in str(caught.value)
    assert not device.launches
