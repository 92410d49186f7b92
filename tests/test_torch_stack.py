"""`kxfast.torch.DGCNN` goes through its layers in one function of autograd, with their results."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
of_layers = pytest.importorskip("kxfast.torch.layers")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every call of a whole stack."""
    seen = []
    run = of_layers.dgcnn
    monkeypatch.setattr(of_layers, "dgcnn", lambda *given: seen.append(given) or run(*given))
    return seen


def results(net: Any, x: Any, mask: Any) -> list[Any]:
    x = x.detach().requires_grad_()
    y = net(x, mask)
    gradients = torch.autograd.grad((y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum(),
                                    [x, *net.parameters()])  # fmt: skip
    return [y, *gradients]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("options", [{}, {"gate": "first", "bias": False}, {"skip": "add", "padding": "causal"}])
def test_a_whole_stack_is_its_layers(calls: list[Any], dtype: Any, ragged: bool, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = kt.DGCNN(6, (1, 2, 4), **options).to(dtype)
    x = torch.randn(3, 11, 6, dtype=dtype)
    mask = (torch.arange(11) < torch.tensor([[11], [4], [0]])) if ragged else None
    whole = results(net, x, mask)
    assert len(calls) == 1
    seen = []
    for layer in net:
        layer.register_forward_hook(lambda layer, *_: seen.append(layer))
    one_by_one = results(net, x, mask)
    assert len(calls) == 1
    assert seen == list(net)
    for a, b in zip(whole, one_by_one, strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        assert torch.equal(kt.DGCNN.forward(net, x, mask), whole[0])


def test_what_goes_through_its_layers(calls: list[Any]) -> None:
    x = torch.randn(2, 7, 4)
    shaped = kt.DGCNN(4, (1, 2))
    shaped[1] = kt.DilatedGatedConv1d(4, 6)
    assert shaped(x).shape == (2, 7, 6)
    net = kt.DGCNN(4, (1, 2), drop_gate=0.5)
    net(x)
    kt.DGCNN(4, (1,), skip="add", norm=True)(x)
    kt.DGCNN(4, ())(x)
    kt.DGCNN(4, (1, 2)).bfloat16()(x.bfloat16())
    plain = kt.DGCNN(4, (1, 2))
    with torch.autocast("cpu"):
        assert plain(x).dtype is torch.bfloat16
    torch.vmap(plain)(x[:, None])
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    plain(x)
    hook.remove()
    plain[0].forward = lambda x, mask: x
    plain(x)
    assert not calls
    net.eval()(x)
    assert len(calls) == 1


def test_gradients_of_a_stack(calls: list[Any]) -> None:
    net = kt.DGCNN(3, (1, 2)).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]])
    weights = list(net.parameters())
    assert torch.autograd.gradcheck(lambda x, *weights: net(x, mask), (x, *weights))
    assert calls
    y = net(x, mask)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    dx = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="twice"):
        dx.sum().backward()
    y = net(x)
    with torch.no_grad():
        net[0].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 6\)"):
        net(x, mask[:, :3])
