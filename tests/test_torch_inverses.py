"""Inverses of residual blocks inside compiled graphs of PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
inverses = pytest.importorskip("kxfast.torch.inverses")
nn = torch.nn


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)
    torch.compiler.reset()


def graph(run: Any) -> Any:
    return torch.compile(run, fullgraph=True, backend="aot_eager")


def contraction() -> Any:
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh()).double()
    with torch.no_grad():
        net[0].weight *= 0.5
    return net


def block(kind: str) -> Any:
    if kind == "dense":
        return kt.InvertibleResidualBlock([nn.Linear(4, 8), nn.ELU(), nn.Linear(8, 4)], (4,)).double()
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 2, 1)]
    return kt.InvertibleResidualBlock(layers, (2, 4, 3)).double()


@pytest.mark.parametrize("lipschitz", [None, 0.9])
def test_solutions_and_gradients(lipschitz: float | None) -> None:
    net = contraction()
    run = graph(lambda y: kt.residual_inverse(net, y, lipschitz=lipschitz, tol=1e-12))
    y = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    x = run(y)
    torch.testing.assert_close(x + net(x), y, rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(run, (y,))
    plain = kt.residual_inverse(net, y, lipschitz=lipschitz, tol=1e-12)
    leaves = [y, *net.parameters()]
    for a, b in zip(*(torch.autograd.grad(each.square().sum(), leaves) for each in (run(y), plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert run(y.detach()[:2]).shape == (2, 4)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("training", [False, True])
def test_blocks(kind: str, training: bool) -> None:
    net = block(kind).train(training)
    y = torch.randn(3, *net.input_shape, dtype=torch.float64, requires_grad=True)
    before = {name: each.clone() for name, each in net.state_dict().items()}
    leaves = [y, *net.g.parameters()]
    run = graph(lambda y: net.inverse(y, tol=1e-11))
    found, plain = ((x, *torch.autograd.grad(x.square().sum(), leaves)) for x in (run(y), net.inverse(y, tol=1e-11)))
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    assert net.g.training == training
    for name, each in net.state_dict().items():
        assert torch.equal(each, before[name]), name  # no power iteration


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compiled", [False, True])
def test_half_types_are_solved_in_float32(kind: str, dtype: Any, compiled: bool) -> None:
    net = block(kind).eval().to(dtype)
    wide = copy.deepcopy(net).float()
    y = torch.randn(3, *net.input_shape, dtype=dtype, requires_grad=True)
    run = graph(net.inverse) if compiled else net.inverse
    x, true = run(y), wide.inverse(y.float())
    assert x.dtype is dtype
    assert torch.equal(x, true.to(dtype))
    found = torch.autograd.grad(x.float().square().sum(), [y, *net.g.parameters()])
    expected = torch.autograd.grad(true.square().sum(), [y, *wide.g.parameters()])
    eps = torch.finfo(dtype).eps
    for a, b in zip(found, expected, strict=True):
        assert a.dtype is dtype
        assert (a.float() - b).abs().max() <= 4 * eps * b.abs().max()


@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_changes_nothing(compiled: bool) -> None:
    net = block("dense").float().eval()
    y = torch.randn(3, 4, requires_grad=True)
    leaves = [y, *net.g.parameters()]
    plain = net.inverse(y)
    run = graph(net.inverse) if compiled else net.inverse
    with torch.autocast("cpu"):
        x = run(y)
        found = torch.autograd.grad(x.square().sum(), leaves)
    torch.testing.assert_close(x, plain, rtol=0, atol=0)
    torch.testing.assert_close(found, torch.autograd.grad(plain.square().sum(), leaves), rtol=1e-5, atol=1e-6)


def test_weights_that_change_are_seen() -> None:
    net = contraction()
    run = graph(lambda y: kt.residual_inverse(net, y, tol=1e-12))
    y = torch.randn(3, 4, dtype=torch.float64)
    run(y)
    with torch.no_grad():
        net[0].weight *= -0.7
    x = run(y)
    torch.testing.assert_close(x + net(x), y, rtol=0, atol=1e-10)


def test_checks_of_torch() -> None:
    net = contraction()
    y = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    name = inverses._lasting_name(net)
    for given in (y, y.detach()):
        torch.library.opcheck(inverses._operator, (given, list(net.parameters()), name, False, 0.9, 1e-12, 1000, 5))


def test_refusals() -> None:
    y = torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(Exception, match=r"g must be a module|Observed exception"):
        graph(lambda y: kt.residual_inverse(torch.sin, y))(y)
    far = nn.Linear(4, 4).double()
    with torch.no_grad():
        far.weight.copy_(3 * torch.eye(4))
    with pytest.raises(RuntimeError, match="did not converge"):
        graph(lambda y: kt.residual_inverse(far, y, window=0, max_steps=20))(y)
    with pytest.raises(RuntimeError, match="compile it again"):
        inverses._operator(y, [], "gone", False, None, 1e-6, 10, 5)
