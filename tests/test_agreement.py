"""Every backend and instruction set agrees with the reference on every generated case."""

import os

import pytest

from kxfast import cases

SEEDS = range(int(os.environ.get("KXFAST_AGREEMENT_SEEDS", "2")))  # under the sanitizers one is enough
ALL = [
    (case, engine, seed)
    for seed in SEEDS
    for case in cases.random_cases(seed)
    for engine in cases.engines(case)
    if engine != "reference"
]


@pytest.mark.parametrize(
    ("case", "engine"), [pytest.param(c, e, id=f"{c.operation}-{c.label}-{e}-{s}") for c, e, s in ALL]
)
def test_agrees_with_the_reference(case: cases.Case, engine: str) -> None:
    with cases.engine("reference"):
        expected = case.run()
    with cases.engine(engine):
        result = case.run()
    assert case.compare(result, expected) <= case.tolerance
