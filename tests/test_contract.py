"""What every operation promises: any layout is accepted, wrong calls give one clear line, nothing given is changed."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import kxfast as kx
from kxfast import cases

WRONG = [
    pytest.param(*each, id=f"{file.stem}-{i}")
    for file in sorted((Path(__file__).parent / "wrong_calls").glob("*.py"))
    for i, each in enumerate(import_module(f"wrong_calls.{file.stem}").CALLS)
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_wrong_call_gives_its_error(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


def strided(x):
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def read_only(x):
    y = x.copy()
    y.flags.writeable = False
    return y


def misaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    y = raw[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


LAYOUTS = {
    "strided": strided,
    "read-only": read_only,
    "fortran": np.asfortranarray,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder("S")) if x.dtype.kind != "V" else x,
    "misaligned": misaligned,
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1] if x.ndim else x,
}


def representatives() -> list[cases.Case]:
    chosen: dict[str, cases.Case] = {}
    for case in cases.random_cases(3):
        if any(isinstance(a, np.ndarray) and a.size for a in case.args):
            chosen[case.operation] = case  # the last case of an operation is its largest
    return list(chosen.values())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", representatives(), ids=lambda case: case.operation)
def test_any_layout_gives_the_same_result(case, layout):
    change = lambda a: LAYOUTS[layout](a) if isinstance(a, np.ndarray) else a
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in case.args]
    for name in cases.engines(case):
        with cases.engine(name):
            expected = case.run()
            assert cases.largest_difference(replace(case, args=tuple(map(change, case.args))).run(), expected) == 0
    for a, b in zip(case.args, before, strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)


def test_every_public_function_is_documented():
    for stem in kx.NAMESPACES:
        module = getattr(kx, stem)
        for name in module.__all__:
            text = getattr(module, name).__doc__ or ""
            assert text.strip(), f"{stem}.{name} has no docstring"
            if callable(getattr(module, name)) and not isinstance(getattr(module, name), type):
                assert ">>>" in text, f"{stem}.{name} has no example"
