"""torch's own checks of every operator, and of functions whose graphs and gradients are torch's."""

from __future__ import annotations

from typing import Any

import pytest

import kxfast as kx

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)


def attention_step() -> tuple[Any, tuple[Any, ...]]:
    from kxfast.torch.attention import _gradient_operator, _operator

    q, k, v = (torch.randn(1, 2, 4, 3) for _ in range(3))
    out, lse = _operator.custom(q, k, v, None, None, "", None)
    return _gradient_operator.custom, (torch.randn_like(out), q, k, v, None, None, out, lse, "", None, False)


def normalisation() -> tuple[Any, tuple[Any, ...]]:
    from kxfast.torch.spectral import _backward

    lists = ([torch.randn(shape)] for shape in ((3, 4), (3, 4), (3,), (4,)))
    return _backward, (*lists, torch.ones(1, dtype=torch.float64), 0.9, "hard")


def iteration() -> tuple[Any, tuple[Any, ...]]:
    from kxfast.torch.parametrizations import _iterate

    given = torch.randn(4, 3, 3), torch.randn(4, 6), torch.randn(3, 6)
    return _iterate, (*given, 1, [6], [1], [1], [1], 1, "zeros", 1e-12)


@pytest.mark.parametrize("operator", [attention_step, normalisation, iteration])
def test_operators_of_backward_passes_and_state(operator: Any) -> None:
    torch.library.opcheck(*operator())


def doubles(*shapes: tuple[int, ...]) -> list[Any]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("mask", [None, kx.masks.causal(), torch.tensor([[1, 0, 1, 1]], dtype=torch.bool)], ids=str)
def test_gradients_of_attention_by_finite_differences(mask: Any) -> None:
    q, k, v, bias = doubles((1, 4, 4, 3), (1, 2, 4, 3), (1, 2, 4, 2), (4, 4))

    def run(q: Any, k: Any, v: Any, bias: Any) -> Any:
        return kt.scaled_dot_product_attention(q, k, v, mask=mask, bias=bias, scale=0.7)

    assert torch.autograd.gradcheck(run, (q, k, v, bias))
    (dq,) = torch.autograd.grad(run(q, k, v, bias).sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="gradients of gradients are not offered"):
        dq.sum().backward()


@pytest.mark.parametrize("name", ["attention_pooling", "masked_max_pooling", "masked_mean_pooling"])
def test_pooling_is_differentiated_and_compiled(name: str) -> None:
    x, *weights = doubles((2, 5, 4), *([(4, 3), (3,)] if name == "attention_pooling" else []))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    def run(*given: Any) -> Any:
        return getattr(kt, name)(*given, mask=mask)

    assert torch.autograd.gradcheck(run, (x, *weights))
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for f in (lambda g: g(x, *weights), lambda g: torch.autograd.grad(g(x, *weights).sum(), x)[0]):
        torch.testing.assert_close(f(compiled), f(run))
