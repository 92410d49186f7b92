"""kxfast's loops on torch's own threads."""

from __future__ import annotations

import os
import threading
import warnings

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch

torch = pytest.importorskip("torch", reason="needs PyTorch")
team = pytest.importorskip("kxfast.torch.team")
if isinstance(dispatch.load("conv", "native"), str):
    pytest.skip("needs the compiled module", allow_module_level=True)


@pytest.fixture
def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 64, 32)), rng.standard_normal((3, 32, 64))


def run(inputs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    x, weight = inputs
    return kx.conv.dilated_gated_conv1d_backward(x, x, weight)[1]


def test_results_do_not_depend_on_whose_threads_they_are(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    from kxfast._native import core

    try:
        core.use_team(0, 0)
        alone = run(inputs)
        if not team.share():
            pytest.skip("torch has no OpenMP team here")
        assert np.array_equal(run(inputs), alone)
        results: list[np.ndarray] = []
        callers = [threading.Thread(target=lambda: results.append(run(inputs))) for _ in range(4)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        assert all(np.array_equal(each, alone) for each in results)
    finally:
        team.share()


def test_a_child_of_fork_has_threads_of_its_own(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    if not team.share():
        pytest.skip("torch has no OpenMP team here")
    expected = run(inputs)  # the team has worked: in a child it would hang
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process of threads is what is tested
        warnings.simplefilter("ignore", RuntimeWarning)  # where another test has brought JAX: the same
        child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(run(inputs), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_torchs_number_of_threads_holds(inputs: tuple[np.ndarray, np.ndarray]) -> None:
    if not team.share():
        pytest.skip("torch has no OpenMP team here")
    before = torch.get_num_threads()
    expected = run(inputs)
    try:
        torch.set_num_threads(1)
        started = threading.active_count()
        assert np.array_equal(run(inputs), expected)
        assert threading.active_count() == started
    finally:
        torch.set_num_threads(before)
