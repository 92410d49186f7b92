"""A warp for each trajectory of a large network, run by the emulation: the law of the CPU's ensembles."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_emulation import LaunchError, emulated

import kxfast as kx
from kxfast.backends.cuda import gillespie, gillespie_tables, nvrtc
from kxfast.cases.gillespie import ensemble_distance, moments_distance

TEXT = '#include "gillespie_large.cuh"\n'
T = np.array([0.0, 0.5, 1.0])


def ring(size):
    """Return molecules that hop round a ring and bind in pairs."""
    hops = [f"X{i} -> X{(i + 1) % size} @ {1 + i / size}" for i in range(size)]
    pairs = [f"2 X{i} -> P @ 0.2" for i in range(size)]
    return kx.gillespie.ReactionNetwork({**{f"X{i}": 3 for i in range(size)}, "P": 0}, [*hops, *pairs, "P -> 0 @ 0.1"])


def every_order():
    """Return reactions of order 0 to 4, catalysts and reactions that never fire, forty of them."""
    kinds = ["0 -> A @ 2", "A -> B @ 0.3", "2 A -> B @ 0.05", "A + B -> C @ 0.04", "3 A -> 2 C @ 0.01"]
    kinds += ["A + 2 B -> C + A @ 0.02", "2 A + 2 B -> 4 C @ 0.005", "C -> 0 @ 0.5", "4 C -> A @ 0.01", "C -> A @ 0"]
    return kx.gillespie.ReactionNetwork({"A": 12, "B": 9, "C": 4}, kinds * 4)


NETWORKS = {"ring of 20": ring(20), "ring of 45": ring(45), "every order": every_order()}


def run(net, function="simulate", backend="cuda", t=T, **keywords):
    return getattr(kx.gillespie, function)(net, t, method="direct", backend=backend, **keywords)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_law_is_that_of_the_cpu(name):
    net = NETWORKS[name]
    with emulated(blocks=1000, orders=[2]):
        ours = run(net, n=250, seed=8)
        sums = run(net, "moments", n=250, seed=8)
    theirs = run(net, n=4000, seed=9, backend="native")
    assert ensemble_distance(ours, theirs) <= 6
    np.testing.assert_array_equal(ours.counts[:, -1] - net.initial, ours.fired @ net.changes.toarray())
    assert moments_distance(sums, run(net, "moments", n=4000, seed=9, backend="native")) <= 6
    np.testing.assert_allclose(sums.mean, ours.counts.mean(0), rtol=1e-12)
    np.testing.assert_allclose(sums.variance, ours.counts.var(0, ddof=1), rtol=1e-9)
    assert sums.events == ours.events.sum()


def test_no_order_of_threads_and_no_end_of_a_launch_changes_a_number(monkeypatch):
    """Three orders in one launch of eight blocks; then two blocks that take one after another, 20 events a launch."""
    net = NETWORKS["every order"]
    with emulated(blocks=8) as device:
        whole = run(net, n=8, seed=1)
    assert device.launches == 1
    monkeypatch.setattr(gillespie, "_ROUNDS", 20)
    with emulated(blocks=2, orders=[1]) as device:
        parts = run(net, n=8, seed=1)
    assert device.launches > 5
    np.testing.assert_array_equal(whole.counts, parts.counts)
    np.testing.assert_array_equal(whole.fired, parts.fired)
    starts = np.arange(24).reshape(8, 3)
    with emulated(blocks=8, orders=[2]):
        np.testing.assert_array_equal(run(net, n=8, seed=1, start=starts).counts[:, 0], starts)


def test_networks_that_come_to_rest_and_histograms():
    falls = kx.gillespie.ReactionNetwork({"A": 30, "B": 0}, [f"A -> B @ {i + 1}" for i in range(40)])
    with emulated(blocks=50, orders=[0]):
        assert (run(falls, n=50, seed=2, t=[9.0]).counts == [[[0, 30]]]).all()
        found = run(falls, "histograms", n=50, seed=2, t=[9.0], bins=31)
    assert found.counts[0, 1, 30] == 50
    assert found.counts.sum() == 100


def test_errors_name_what_is_at_fault():
    grows = kx.gillespie.ReactionNetwork({"A": 1, "B": 2**52}, ["A -> A + B @ 5", *("A -> A @ 1" for _ in range(40))])
    with (
        emulated(),
        pytest.raises(ValueError, match=r"count of 'B' must stay at most 2\*\*52; got 4.5036e\+15 at"),
    ):
        run(grows, n=1, seed=0)
    huge = kx.gillespie.ReactionNetwork({"A": 1}, ["A -> 0 @ 1e308" for _ in range(40)])
    with emulated(), pytest.raises(ValueError, match="the sum of all propensities must be finite; got inf at t = 0"):
        run(huge, n=1, seed=0)
    large = kx.gillespie.ReactionNetwork({"A": 1}, ["A -> 0 @ 1"] * 13_000)
    with (
        emulated(),
        pytest.raises(kx.BackendError, match="reactions and species must be about 12288 at most; got 13000"),
    ):
        run(large, n=1, seed=0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+= tables.change_by[c];\n    __syncwarp();", "+= tables.change_by[c];"),
        ("__syncwarp();\n    if (fresh)", "if (fresh)"),
        ("__ballot_sync(kAllLanes, mine > 0 &&", "__ballot_sync(0x7FFFFFFFu, mine > 0 &&"),
    ],
    ids=["missing barrier", "another", "wrong mask"],
)
def test_planted_bugs_are_found(monkeypatch, old, new):
    text = (nvrtc.source_folder() / "gillespie_large.cuh").read_text()
    assert old in text
    monkeypatch.setattr(gillespie, "_LARGE", text.replace(old, new))
    with emulated(blocks=4), pytest.raises(LaunchError):
        run(NETWORKS["ring of 20"], n=4, seed=1)


def test_shared_memory_is_what_the_kernel_takes():
    for name, net in NETWORKS.items():
        size = gillespie_tables.shared_bytes(len(net.species), len(net.rates))
        assert size % 16 == 0, name
        with emulated(blocks=1, orders=[0]), pytest.MonkeyPatch.context() as patch:
            patch.setattr(gillespie, "shared_bytes", lambda *_, size=size: size - 16)
            with pytest.raises(LaunchError, match="bytes of shared memory are used"):
                run(net, n=1, seed=1)
