"""Linear layers of tensors, in tiles and by torch."""

from __future__ import annotations

from typing import Any

import pytest

import kxfast as kx

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
products_of = pytest.importorskip("kxfast.torch.products")

pytestmark = pytest.mark.skipif(kx.settings.native() is None, reason="the compiled module is not built")


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products go to tiles that would be too small for them."""
    monkeypatch.setattr(products_of, "LEAST_WORK", 2**20)


@pytest.fixture
def tiles(products: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products go to tiles, or the test fails."""

    def refuse(*_: Any) -> None:
        raise AssertionError("this product was to be made in tiles")

    monkeypatch.setattr(products_of.nn.functional, "linear", refuse)
    with kx.use_backend("native"):
        yield


def inputs(rows: tuple[int, ...] = (2, 90), depth: int = 200, columns: int = 150) -> Any:
    return [torch.randn(shape, requires_grad=True) for shape in ((*rows, depth), (columns, depth), (columns,))]


def exactly(x: Any, weight: Any, bias: Any) -> Any:
    return (x.double() @ weight.double().T + bias.double()).float()


def gradients(f: Any, given: Any, grad: Any) -> Any:
    return torch.autograd.grad(f(*given), given, grad)


@pytest.mark.parametrize("compiled", [False, True])
def test_values_and_gradients(tiles: None, compiled: bool) -> None:
    run = torch.compile(kt.linear, fullgraph=True, backend="aot_eager") if compiled else kt.linear
    given = inputs()
    for grad in (
        torch.randn(2, 90, 150),
        torch.ones(()).expand(2, 90, 150),
        torch.randn(150, 2, 90).movedim(0, 2),
    ):
        torch.testing.assert_close(run(*given), exactly(*given), rtol=1e-5, atol=1e-5)
        found, true = gradients(run, given, grad), gradients(exactly, given, grad)
        torch.testing.assert_close(found, true, rtol=1e-5, atol=1e-4)


def test_gradients_of_gradients(tiles: None) -> None:
    given = inputs()

    def second(f: Any) -> Any:
        (dx,) = torch.autograd.grad(f(*given).square().sum(), given[0], create_graph=True)
        return torch.autograd.grad(dx.square().sum(), given[:2])

    torch.testing.assert_close(second(kt.linear), second(exactly), rtol=1e-4, atol=0.5)


def test_checks_of_torch(products: str) -> None:
    given = [x.detach().requires_grad_() for x in (torch.randn(40, 50), torch.randn(33, 50), torch.randn(33))]
    torch.library.opcheck(products_of._operator.custom, given)
    torch.library.opcheck(products_of._operator.custom, (given[0], torch.randn(50, 33).t(), None))
    many = torch.randn(3, 40, 50)
    made = torch.vmap(products_of._operator.custom, (0, None, None))(many, *given[1:])
    torch.testing.assert_close(made, exactly(many, *given[1:]), rtol=1e-5, atol=1e-5)


def test_other_calls_are_torchs(products: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = inputs()
    monkeypatch.setattr(products_of, "_operator", None)
    small = torch.randn(2, 3), torch.randn(4, 3)
    assert torch.equal(kt.linear(*small), torch.nn.functional.linear(*small))
    wide = [each.double() for each in (x, weight, bias)]
    assert torch.equal(kt.linear(*wide), torch.nn.functional.linear(*wide))
    with torch.autocast("cpu"):
        assert kt.linear(x, weight, bias).dtype is torch.bfloat16
    with kx.use_backend("reference"):
        assert torch.equal(kt.linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    torch.set_float32_matmul_precision("high")
    try:
        assert torch.equal(kt.linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.vmap(kt.linear, (0, None, None))(x, weight, bias).shape == (2, 90, 150)
    with pytest.raises(RuntimeError, match="shape"):
        kt.linear(x, weight.t(), bias)


def test_heads_are_torchs(tiles: None) -> None:
    ours, plain = kt.MultiHeadAttention(128, 4), torch.nn.MultiheadAttention(128, 4, batch_first=True)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 150, 128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", torch._C._nn.linear)
        true = plain(x, x, x, need_weights=False)[0]
        true.square().sum().backward()
    made = ours(x)
    made.square().sum().backward()
    torch.testing.assert_close(made, true, rtol=1e-4, atol=1e-5)
    for (name, p), (_, q) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_layers_take_each_others_state() -> None:
    ours, plain = kt.Linear(5, 3), torch.nn.Linear(5, 3)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5)
    assert torch.equal(ours(x), plain(x))
