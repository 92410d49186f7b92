"""Modules with normalised weights through pickle and copy: what comes back goes on as if nothing had happened."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
nn = torch.nn


def saved(module: Any) -> Any:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "oldest": lambda module: pickle.loads(pickle.dumps(module, 0)),
    "newest": lambda module: pickle.loads(pickle.dumps(module)),
    "saved": saved,
    "twice": lambda module: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(module)))),
    "copied": lambda module: copy.deepcopy(pickle.loads(pickle.dumps(module))),
    "pickled copy": lambda module: pickle.loads(pickle.dumps(copy.deepcopy(module))),
}


class Sum(nn.Module):  # type: ignore[misc,name-defined]
    """A rule that keeps two tensors for one."""

    def forward(self, a: Any, b: Any) -> Any:
        return a + b

    def right_inverse(self, x: Any) -> Any:
        return 3 * x, -2 * x


def dense() -> Any:
    return kt.InvertibleResidualBlock([nn.Linear(4, 9), nn.ELU(), nn.Linear(9, 4)], (4,), 0.7, 3, 2)


def conv() -> Any:
    layers = [nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.Tanh(), nn.Conv2d(3, 2, 3, padding="same")]
    return kt.InvertibleResidualBlock(layers, (2, 5, 4)).double()


def step(module: Any, x: Any) -> Any:
    """Train for a step; return what the module then gives."""
    torch.manual_seed(7)
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    optimiser.zero_grad()
    y, logdet = module(x)
    (y.square().sum() - logdet.sum()).backward()
    optimiser.step()
    return module(x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [dense, conv])
@pytest.mark.parametrize("training", [False, True])
def test_a_block_goes_on_as_before(way: str, make: Any, training: bool) -> None:
    torch.manual_seed(0)
    block = make()
    x = torch.randn(3, *block.input_shape, dtype=next(block.parameters()).dtype)
    step(block, x)
    block.train(training)
    state = copy.deepcopy(block.state_dict())
    again = WAYS[way](block)
    assert list(again.state_dict()) == list(state)
    for name, each in again.state_dict().items():  # nothing has moved, in neither of them
        assert torch.equal(each, state[name])
        assert torch.equal(block.state_dict()[name], state[name])
    assert [m.training for m in again.modules()] == [m.training for m in block.modules()]
    assert (again.terms, again.coeff, again.input_shape) == (block.terms, block.coeff, block.input_shape)
    assert again.constant() == block.constant()
    for a, b in zip(step(again, x), step(block, x), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(again.inverse(x), block.inverse(x))


@pytest.mark.parametrize("pickled", [pickle.dumps, copy.copy], ids=["pickled", "shallow copy"])
def test_rules_of_others_stay(pickled: Any) -> None:
    torch.manual_seed(0)
    layer = torch.nn.utils.parametrize.register_parametrization(nn.Linear(5, 3), "bias", Sum())
    layer = kt.spectral_norm(kt.spectral_norm(layer), mode="soft", coeff=0.5)
    layer.extra = [1, 2]
    layer.register_buffer("count", torch.ones(2), persistent=False)
    again = pickled(layer)
    again = pickle.loads(again) if isinstance(again, bytes) else again
    assert type(again) is not nn.Linear
    assert isinstance(again, nn.Linear)
    assert again.extra == [1, 2]
    assert torch.equal(again.count, layer.count)
    layer.eval()
    again.eval()
    assert torch.equal(again.weight, layer.weight)
    assert torch.equal(again.bias, layer.bias)
    assert list(again.state_dict()) == list(layer.state_dict())
    plain = torch.nn.utils.parametrize.remove_parametrizations(copy.deepcopy(again), "weight")
    plain = torch.nn.utils.parametrize.remove_parametrizations(plain, "bias")
    assert type(plain) is nn.Linear
    assert torch.equal(pickle.loads(pickle.dumps(plain)).weight, layer.weight)


def test_parameters_shared_with_an_optimiser_stay_shared() -> None:
    layer = kt.spectral_norm(nn.Linear(3, 3))
    optimiser = torch.optim.SGD(layer.parameters(), 1.0)
    again, following = pickle.loads(pickle.dumps((layer, optimiser)))
    assert {id(p) for p in again.parameters()} == {id(p) for p in following.param_groups[0]["params"]}


def test_a_block_is_read_where_kxfast_was_not_imported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    block, x = dense().eval(), torch.randn(2, 4)
    torch.save((block, x, block.inverse(x).detach()), tmp_path / "block.pt")
    code = (
        "import sys, torch; block, x, expected = torch.load(sys.argv[1], weights_only=False);"
        "print((block.inverse(x) - expected).abs().max().item() <= 1e-6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "block.pt")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
