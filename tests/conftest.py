"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cuda_compile
import pytest

from kxfast import settings


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora and models beside the checkout; tests that need it are skipped without it."""
    folder = Path(os.environ.get("KXFAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the development data (set KXFAST_DATA); not found at {folder}")
    return folder


@pytest.fixture(params=["tiles", "emulated"])
def products(request: pytest.FixtureRequest) -> Iterator[str]:
    """How products of halves are made while a test runs: in the processor's tiles, or in emulated ones."""
    core = settings.native()
    core.emulate_tiles(request.param == "emulated")
    try:
        if core.half_products() != request.param:
            pytest.skip("this processor has no matrix extension (AMX), or it is off")
        yield request.param
    finally:
        core.emulate_tiles(False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let what whole files of tests need be compiled while they run."""
    options = session.config.option
    if "PYTEST_XDIST_WORKER" in os.environ:  # every core has tests of its own
        return
    if not (options.collectonly or options.keyword or any("::" in each for each in session.config.args)):
        cuda_compile.prepare({item.path.name for item in session.items})


def pytest_sessionfinish() -> None:
    if "KXFAST_EMULATION_RECORD" in os.environ:
        cuda_compile.record()
