"""kxfast's layers for Keras against the reference, on every backend that is installed; each in its own process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

# JAX compiles each operation for one call: without optimisation, in half the time.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
BACKENDS = {"torch": "torch", "jax": "jax", "numpy": "jax", "tensorflow": "tensorflow"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers(backend: str, tmp_path: Path) -> None:
    for module in ("keras", BACKENDS[backend]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    environment = os.environ | {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.setdefault("XLA_FLAGS", QUICK)
    program = Path(__file__).with_name("keras_layers.py")
    run = subprocess.run(
        [sys.executable, program, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("all layers agree\n")
