"""``kxfast info``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from kxfast.about import info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(chosen: argparse.Namespace) -> int:
    """Print what is installed and in use."""
    found = info()
    print(json.dumps(asdict(found), indent=1) if chosen.json else found)
    return 0
