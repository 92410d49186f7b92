"""Spectral normalisation and invertible blocks inside PyTorch."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import kxfast as kx

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)


def close(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_matrices_are_normalised_as_torch_does_it(kind: str) -> None:
    make = {
        "linear": lambda: nn.Linear(5, 7),
        "conv": lambda: nn.Conv2d(3, 4, 3),
        "transposed": lambda: nn.ConvTranspose1d(3, 4, 3),
    }[kind]
    theirs = make()
    ours = copy.deepcopy(theirs)
    theirs = torch.nn.utils.parametrizations.spectral_norm(theirs, n_power_iterations=2)
    ours = kt.spectral_norm(ours, n_power_iterations=2)
    ours.load_state_dict(theirs.state_dict())  # the same names and shapes
    grad = torch.randn_like(ours.parametrizations.weight.original)
    for _ in range(3):
        a, b = ours.weight, theirs.weight
        close(a, b)
        (da,) = torch.autograd.grad(a, ours.parametrizations.weight.original, grad)
        (db,) = torch.autograd.grad(b, theirs.parametrizations.weight.original, grad)
        close(da, db)
    ours.eval()
    theirs.eval()
    close(ours.weight, theirs.weight)


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_many_layers_in_one_call(mode: str) -> None:
    shapes = [(4, 6), (3, 2, 3), (5, 5)]
    weights = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    us = [torch.randn(shape[0], dtype=torch.float64) for shape in shapes]
    vs = [torch.randn(int(np.prod(shape[1:])), dtype=torch.float64) for shape in shapes]
    before = [u.clone() for u in us]
    scaled, sigmas = kt.spectral_normalize(weights, us, vs, n_iter=60, mode=mode)
    for w, s, sigma, u, old in zip(weights, scaled, sigmas, us, before, strict=True):
        norm = torch.linalg.matrix_norm(w.detach().flatten(1), 2)
        close(sigma, norm)
        close(
            torch.linalg.matrix_norm(s.detach().flatten(1), 2),
            norm.clamp(max=0.9) if mode == "soft" else norm * 0 + 0.9,
        )
        assert not torch.equal(u, old)
    at_rest = [each.clone() for each in us], [each.clone() for each in vs]

    def run(*given: Any) -> Any:  # converged vectors: the constants of the gradient are its true value
        return kt.spectral_normalize(given, *([each.clone() for each in xs] for xs in at_rest), n_iter=0, mode=mode)[0]

    grads = [torch.randn_like(s) for s in scaled]
    found = torch.autograd.grad(run(*weights), weights, grads)
    direction = [torch.randn_like(w) for w in weights]
    step = 1e-6
    ends = [run(*(w.detach() + sign * step * d for w, d in zip(weights, direction, strict=True))) for sign in (1, -1)]
    slope = sum(((a - b) * g).sum() for a, b, g in zip(*ends, grads, strict=True)) / (2 * step)
    close(sum((a * b).sum() for a, b in zip(found, direction, strict=True)), slope, 1e-6)
    assert kt.spectral_normalize([], [], [])[0] == []
    with pytest.raises(ValueError, match="us and vs must have 3 entries"):
        kt.spectral_normalize(weights, us[:2], vs)
    factors, _ = kt.spectral_normalize(weights, us, vs, mode="scale_only")
    with pytest.raises(RuntimeError, match="factors alone have no gradient"):
        sum(factors).backward()


def test_gradients_belong_to_their_step() -> None:
    w, u, v = torch.randn(4, 3, requires_grad=True), torch.randn(4), torch.randn(3)

    def step(w: Any) -> Any:
        return kt.spectral_normalize([w], [u], [v])[0][0]

    first = [u.clone(), v.clone()]
    early = step(w)
    step(w)  # moves the state on
    (found,) = torch.autograd.grad(early.square().sum(), w)
    u.copy_(first[0])
    v.copy_(first[1])
    (again,) = torch.autograd.grad(step(w).square().sum(), w)
    close(found, again, 0)
    with pytest.raises(RuntimeError, match=r"no gradient inside torch\.func; use torch\.autograd"):
        torch.func.grad(lambda w: step(w).square().sum())(w.detach())
    (dw,) = torch.autograd.grad(step(w).square().sum(), w, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dw.sum().backward()
    late = step(w)
    with torch.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        late.sum().backward()


@pytest.mark.parametrize("padding", [1, "same", "valid"])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_convolutions_are_normalised_as_operators(padding: Any, mode: str) -> None:
    conv = nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode, bias=False)
    layer = kt.spectral_norm(conv, input_shape=(6, 5), n_power_iterations=3, coeff=0.9)
    for _ in range(60):
        weight = layer.weight
    assert abs(float(kt.certificate(layer, (6, 5), tol=1e-4).lower) - 0.9) < 2e-3
    jacobian = torch.func.jacrev(layer.eval())(torch.zeros(1, 3, 6, 5))
    assert abs(float(torch.linalg.matrix_norm(jacobian.detach().reshape(-1, 90), 2)) - 0.9) < 2e-3
    weight.square().sum().backward()
    other = pickle.loads(pickle.dumps(kt.DilatedGatedConv1d(2, 2)))
    assert isinstance(other, nn.Module)
    state = layer.state_dict()
    fresh = kt.spectral_norm(nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode, bias=False), input_shape=(6, 5))
    fresh.load_state_dict(state)


def test_operator_gradient_by_finite_differences() -> None:
    layer = kt.spectral_norm(nn.Conv1d(2, 3, 3, padding=1, bias=False).double(), input_shape=(7,))
    for _ in range(200):
        _ = layer.weight
    layer.eval()
    rule = layer.parametrizations.weight[0]
    weight = layer.parametrizations.weight.original.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(rule, weight)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="module must have a parameter 'kernel'"):
        kt.spectral_norm(nn.Linear(2, 2), "kernel")
    with pytest.raises(ValueError, match="mode must be one of"):
        kt.spectral_norm(nn.Linear(2, 2), mode="firm")
    with pytest.raises(ValueError, match="input_shape goes with"):
        kt.spectral_norm(nn.Linear(2, 2), input_shape=(4,))
    with pytest.raises(ValueError, match="module must pad with zeros or circularly"):
        kt.spectral_norm(nn.Conv1d(2, 2, 3, padding=1, padding_mode="reflect"), input_shape=(4,))
    with pytest.raises(ValueError, match="module must pad both ends alike"):
        kt.spectral_norm(nn.Conv1d(2, 2, 2, padding="same"), input_shape=(4,))
    with pytest.raises(ValueError, match="module must be Linear"):
        kt.certificate(nn.Conv1d(2, 2, 3))
    with pytest.raises(ValueError, match="terms and probes must be at least 1"):
        kt.logdet_series(torch.sin, torch.zeros(1, 1), terms=0)
    with pytest.raises(ValueError, match="layers must be Linear"):
        kt.InvertibleResidualBlock([nn.Linear(2, 2), nn.GELU()], (2,))
    with pytest.raises(ValueError, match=r"layers must map \(2,\) to itself"):
        kt.InvertibleResidualBlock([nn.Linear(2, 3)], (2,))
    with pytest.raises(RuntimeError, match="did not converge"):
        kt.residual_inverse(lambda x: 3 * x, torch.ones(2, 1), max_steps=5, window=0)


def block(kind: str, terms: int = 40) -> Any:
    if kind == "dense":
        return kt.InvertibleResidualBlock([nn.Linear(3, 8), nn.ELU(), nn.Linear(8, 3)], (3,), terms=terms).double()
    convolutions = [nn.Conv2d(2, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 2, 1)]
    return kt.InvertibleResidualBlock(convolutions, (2, 4, 3), terms=terms).double()


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_block_forward_inverse_and_certificate(kind: str) -> None:
    net = block(kind)
    x = torch.randn(4, *net.input_shape, dtype=torch.float64)
    for _ in range(50):
        net(x)
    assert net.certificate().upper < 1
    y, _ = net(x)
    close(net.inverse(y, tol=1e-10).detach(), x, 1e-8)  # in training too, with the weights of the last forward pass
    net.eval()
    y, logdet = net(x)
    estimates = net(x.repeat(400, *[1] * (x.ndim - 1)))[1].detach().reshape(400, 4)  # probes of its own for each
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: x + net.g(x[None])[0]))(x)
    exact = torch.linalg.slogdet(jacobian.reshape(4, x[0].numel(), -1))[1]
    error = estimates.std(0) / 20
    assert ((estimates.mean(0) - exact).abs() < 5 * error + 1e-6).all()
    assert logdet.requires_grad


@pytest.mark.parametrize(("kind", "training"), [("dense", False), ("conv", True)])
def test_compiled_block_is_one_graph(kind: str, training: bool) -> None:
    net = block(kind, 12).train(training)
    other = copy.deepcopy(net)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, *net.input_shape, dtype=torch.float64)
    for _ in range(2):  # the state moves on in both
        results = []
        for each in (net, compiled):
            leaf = x.clone().requires_grad_()
            torch.manual_seed(1)  # the same probes
            y, logdet = each(leaf)
            gradients = torch.autograd.grad((y.sum() + logdet.sum()), [leaf, *each.parameters()])
            results.append((y, logdet, *gradients))
        for a, b in zip(*results, strict=True):
            close(a, b, 1e-10)
    torch.manual_seed(1)
    inside = compiled(x)[1]  # of data, which have no gradient
    torch.manual_seed(1)
    close(inside, net(x)[1], 1e-10)
    fresh = block(kind, 12)
    fresh.load_state_dict(other.state_dict())
    for again in (fresh, copy.deepcopy(other)):
        close(again.eval()(x)[0], net.eval()(x)[0], 1e-10)


def test_logdet_gradient_is_unbiased() -> None:
    weight = torch.tensor([[0.3, 0.2], [-0.1, 0.4]], dtype=torch.float64, requires_grad=True)
    x = torch.randn(1, 2, dtype=torch.float64)

    def g(x: Any) -> Any:
        return torch.tanh(x @ weight)

    exact = torch.linalg.slogdet(torch.eye(2) + torch.diag(1 - g(x)[0] ** 2) @ weight.T)[1]
    (expected,) = torch.autograd.grad(exact, weight)
    _, logdet = kt.logdet_series(g, x, terms=20, probes=4000, generator=torch.Generator().manual_seed(1))
    (found,) = torch.autograd.grad(logdet.sum(), weight)
    close(logdet[0], exact, 2e-2)
    close(found, expected, 3e-2)


def test_gradients_through_the_inverse() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh()).double()
    with torch.no_grad():
        net[0].weight *= 0.5
    y = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    leaves = [y, *net.parameters()]

    def run(y: Any, weight: Any, bias: Any) -> Any:
        def g(x: Any) -> Any:
            return torch.tanh(nn.functional.linear(x, weight, bias))

        return kt.residual_inverse(g, y, parameters=[weight, bias], tol=1e-13)

    assert torch.autograd.gradcheck(run, leaves)
    x = kt.residual_inverse(net, y, tol=1e-12)
    x.sum().backward()
    assert all(each.grad is not None for each in leaves)


def test_compiled_training_step() -> None:
    net = nn.Sequential(kt.spectral_norm(nn.Linear(4, 4)), kt.spectral_norm(nn.Linear(4, 4)))
    other = copy.deepcopy(net)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 4)
    for _ in range(2):
        close(compiled(x), net(x))
    compiled(x).sum().backward()
    net(x).sum().backward()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        close(a.grad, b.grad)


def test_interval_is_kxfasts_own() -> None:
    assert isinstance(kt.certificate(nn.Linear(3, 3)), kx.lipschitz.Interval)
