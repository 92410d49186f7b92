"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora and models beside the checkout; tests that need it are skipped without it."""
    folder = Path(os.environ.get("KXFAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the development data (set KXFAST_DATA); not found at {folder}")
    return folder
