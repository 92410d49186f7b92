"""kxfast inside PyTorch: the numbers and gradients of torch's own operators, in and out of compiled graphs."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kxfast as kx

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
F = torch.nn.functional

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4}


def plain_conv(x: Any, weight: Any, bias: Any, dilation: int, mask: Any, skip: str, gate: str) -> Any:
    """The layer of torch's own operators, for odd kernels."""
    hidden = x if mask is None else x * mask[..., None]
    pad = dilation * (weight.shape[0] - 1) // 2
    h = F.conv1d(hidden.mT, weight.permute(2, 1, 0), bias, padding=pad, dilation=dilation).mT
    c, g = h.chunk(2, -1) if gate == "last" else reversed(h.chunk(2, -1))
    s = torch.sigmoid(g) if gate == "last" or skip != "gated" else torch.sigmoid(-g)
    if skip == "add":
        return (x if mask is None else hidden) + c * s
    y = c * s if skip == "none" else x * (1 - s) + c * s
    return y if mask is None else y * mask[..., None]


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[found.dtype], atol=TOLERANCE[found.dtype])


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 9)),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 4),
    st.sampled_from(["gated", "none", "add"]),
    st.sampled_from(["last", "first"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(list(TOLERANCE)),
    st.integers(0, 2**32 - 1),
)
def test_convolution_and_its_gradients(
    shape: Any, kernel: int, dilation: int, skip: str, gate: str, masked: bool, biased: bool, dtype: Any, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    *_, channels = shape
    x = torch.randn(shape, generator=draw, dtype=dtype)
    weight = torch.randn(kernel, channels, 2 * channels, generator=draw, dtype=dtype)
    bias = torch.randn(2 * channels, generator=draw, dtype=dtype) if biased else None
    mask = torch.randint(2, shape[:2], generator=draw).to(dtype) if masked else None
    grad = torch.randn(shape, generator=draw, dtype=dtype)
    leaves = [each.requires_grad_() for each in (x, weight, bias) if each is not None]
    ours = kt.dilated_gated_conv1d(x, weight, bias, dilation=dilation, mask=mask, skip=skip, gate=gate)
    plain = plain_conv(x, weight, bias, dilation, mask, skip, gate)
    close(ours, plain)
    for a, b in zip(torch.autograd.grad(ours, leaves, grad), torch.autograd.grad(plain, leaves, grad), strict=True):
        close(a, b)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 8)),
    st.sampled_from([1, 2]),
    st.sampled_from(["none", "boolean", "causal", "bias"]),
    st.sampled_from(list(TOLERANCE)),
    st.integers(0, 2**32 - 1),
)
def test_attention_and_its_gradients(shape: Any, share: int, kind: str, dtype: Any, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    batch, groups, queries, keys, size = shape
    q = torch.randn(batch, groups * share, queries, size, generator=draw, dtype=dtype, requires_grad=True)
    k, v = (torch.randn(batch, groups, keys, size, generator=draw, dtype=dtype, requires_grad=True) for _ in range(2))
    leaves, mask, bias, plain = [q, k, v], None, None, None
    if kind == "boolean":
        plain = mask = torch.randint(2, (batch, 1, queries, keys), generator=draw) > 0
        mask[..., 0] = True  # torch gives NaN in rows without a key
    elif kind == "causal":
        mask, plain = kx.masks.causal(align="start"), torch.ones(queries, keys, dtype=torch.bool).tril()
    elif kind == "bias":
        bias = torch.randn(1, 1, queries, keys, generator=draw, dtype=dtype, requires_grad=True)
        leaves.append(bias)
        plain = bias * size**-0.5  # torch adds it after scaling
    ours = kt.scaled_dot_product_attention(q, k, v, mask=mask, bias=bias)
    wide = (each.repeat_interleave(share, 1) for each in (k, v))
    theirs = F.scaled_dot_product_attention(q, *wide, plain)
    close(ours, theirs)
    grad = torch.randn(ours.shape, generator=draw, dtype=dtype)
    for a, b in zip(torch.autograd.grad(ours, leaves, grad), torch.autograd.grad(theirs, leaves, grad), strict=True):
        close(a, b)


def conv_arguments(**changes: Any) -> tuple[Any, ...]:
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, 8, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(8, dtype=torch.float64, requires_grad=True)
    shortcut = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    gamma, beta = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    alpha = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    seed = torch.tensor(5)
    return (
        *(x, weight, bias, shortcut, shortcut.new_zeros(4).requires_grad_(), gamma, beta, alpha, mask, seed),
        *(2, "add", "last", "same", None, 0.3, True),
    )


def test_operators_pass_torchs_own_checks() -> None:
    from kxfast.torch.attention import _operator as attention
    from kxfast.torch.conv import _operator as conv
    from kxfast.torch.spectral import _operator as spectral

    torch.library.opcheck(conv.custom, conv_arguments())
    q, k = (torch.randn(1, 2, 4, 3, requires_grad=True) for _ in range(2))
    bias, mask = torch.randn(4, 4, requires_grad=True), torch.ones(4, 4, dtype=torch.bool)
    torch.library.opcheck(attention.custom, (q, k, k.detach().clone(), bias, mask, "", None))
    inside = [torch.randn(2, 5, 3, 4).transpose(1, 2).requires_grad_() for _ in range(3)]  # heads inside of rows
    torch.library.opcheck(attention.custom, (*inside, None, None, "", None))
    assert kt.scaled_dot_product_attention(*inside).transpose(1, 2).is_contiguous()
    weights = [torch.randn(3, 4, requires_grad=True), torch.randn(2, 3, requires_grad=True)]
    us, vs = [torch.randn(3), torch.randn(2)], [torch.randn(4), torch.randn(3)]
    torch.library.opcheck(spectral, (weights, us, vs, 0.9, 1, "hard"))


def test_gradients_by_finite_differences() -> None:
    from kxfast.torch.conv import _operator as conv

    arguments = conv_arguments()
    leaves = [each for each in arguments if isinstance(each, torch.Tensor) and each.requires_grad]

    def run(*given: Any) -> Any:
        values = iter(given)
        filled = (next(values) if isinstance(each, torch.Tensor) and each.requires_grad else each for each in arguments)
        return conv(*filled)[0]

    assert torch.autograd.gradcheck(run, leaves)


MASK = kx.masks.unilm(np.array([0, 0, 1, 1, 1])) & kx.masks.sliding_window(3, 3)


def test_compiled_graphs_are_whole_and_follow_their_masks() -> None:
    stack = kt.DGCNN(4, (1, 2), drop_gate=0.0)
    heads = kt.MultiHeadAttention(4, 2)

    def net(x: Any, mask: Any) -> Any:
        return heads(stack(x), mask=mask)

    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 5, 4, requires_grad=True)
    for mask in (MASK, kx.masks.causal(), MASK, None, torch.ones(5, 5, dtype=torch.bool).tril()):
        close(compiled(x, mask), net(x, mask))
        a, b = (torch.autograd.grad(f(x, mask).square().sum(), x)[0] for f in (compiled, net))
        close(a, b)


def test_batched_by_vmap() -> None:
    x, weight = torch.randn(3, 2, 5, 4), torch.randn(3, 4, 8)
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    found = torch.vmap(lambda x: kt.dilated_gated_conv1d(x, weight, mask=mask))(x)
    close(found, torch.stack([kt.dilated_gated_conv1d(each, weight, mask=mask) for each in x]))
    weights = torch.randn(3, 3, 4, 8)
    found = torch.vmap(kt.dilated_gated_conv1d)(x, weights)
    close(found, torch.stack([kt.dilated_gated_conv1d(*each) for each in zip(x, weights, strict=True)]))
    per_sample = torch.vmap(torch.func.grad(lambda w, x: kt.dilated_gated_conv1d(x, w).sum()), (None, 0))(weight, x)
    assert per_sample.shape == (3, 3, 4, 8)
    q = torch.randn(3, 1, 2, 4, 5)
    found = torch.vmap(lambda q: kt.scaled_dot_product_attention(q, q, q))(q)
    close(found, torch.stack([kt.scaled_dot_product_attention(each, each, each) for each in q]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_and_autocast(dtype: Any) -> None:
    pytest.importorskip("ml_dtypes")
    x, weight = torch.randn(2, 6, 4), torch.randn(3, 4, 8) / 4
    exact = kt.dilated_gated_conv1d(x.to(dtype).float(), weight.to(dtype).float())
    half = kt.dilated_gated_conv1d(x.to(dtype), weight.to(dtype))
    assert half.dtype is dtype
    torch.testing.assert_close(half.float(), exact, rtol=1e-2, atol=1e-2)
    w = weight.clone().requires_grad_()
    with torch.autocast("cpu", dtype):
        y = kt.dilated_gated_conv1d(x, w)
        out = kt.scaled_dot_product_attention(x[None], x[None], x[None])
    assert y.dtype is dtype
    assert out.dtype is dtype
    y.sum().backward()
    assert w.grad is not None
    assert w.grad.dtype is torch.float32


def test_strides_are_read_as_they_are() -> None:
    x = torch.randn(2, 4, 6).mT  # channels last of a channels-first batch
    weight = torch.randn(8, 4, 3).permute(2, 1, 0)
    close(kt.dilated_gated_conv1d(x, weight), kt.dilated_gated_conv1d(x.contiguous(), weight.contiguous()))
    q = torch.randn(2, 5, 3, 4).transpose(1, 2)
    close(kt.scaled_dot_product_attention(q, q, q), F.scaled_dot_product_attention(q, q, q))


def test_dropped_gates_follow_torchs_seed_and_are_the_same_on_the_way_back() -> None:
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, 8, dtype=torch.float64)
    torch.manual_seed(3)
    first = kt.dilated_gated_conv1d(x, weight, drop_gate=0.5)
    torch.manual_seed(3)
    assert torch.equal(first, kt.dilated_gated_conv1d(x, weight, drop_gate=0.5))
    assert not torch.equal(first, kt.dilated_gated_conv1d(x, weight, drop_gate=0.5))
    seed = torch.tensor(11)
    assert torch.autograd.gradcheck(lambda x: kt.dilated_gated_conv1d(x, weight, drop_gate=0.5, seed=seed), x)


def test_what_is_not_offered_says_so() -> None:
    x, weight = torch.randn(1, 4, 2, requires_grad=True), torch.randn(3, 2, 4)
    (dx,) = torch.autograd.grad(kt.dilated_gated_conv1d(x, weight).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="gradients of gradients are not offered"):
        dx.sum().backward()
    with pytest.raises(kx.BackendError, match="x must be on the CPU"):
        kt.dilated_gated_conv1d(x.detach().to("meta"), weight)
    with pytest.raises(ValueError, match="weight must have shape"):
        kt.dilated_gated_conv1d(x, torch.randn(3, 5, 4))
    with pytest.raises(TypeError, match="mask must be a kxfast mask"):
        kt.scaled_dot_product_attention(x[None], x[None], x[None], mask="causal")
    with pytest.raises(ValueError, match="norm must be False"):
        kt.DilatedGatedConv1d(4, 4, norm=True)


def layers() -> list[Any]:
    return [
        kt.DilatedGatedConv1d(4, 4, dilation=2, drop_gate=0.1),
        kt.DilatedGatedConv1d(4, 6, 5, gate="first"),
        kt.DilatedGatedConv1d(4, 6, skip="add", norm=True, bias=False),
        kt.DGCNN(4, (1, 2, 4)),
        kt.AttentionPooling1d(4, 3, "swish"),
        kt.MultiHeadAttention(4, 2),
        kt.Linear(4, 5),
    ]


@pytest.mark.parametrize("i", range(7))
def test_modules_copy_pickle_and_load(i: int) -> None:
    module = layers()[i].eval()
    x = torch.randn(2, 7, 4)
    expected = module(x)
    fresh = layers()[i].eval()
    fresh.load_state_dict(module.state_dict())
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh):
        assert torch.equal(other(x), expected)


def test_weights_come_from_torchs_layers_and_go_back() -> None:
    x = torch.randn(2, 9, 4)
    candidates, gates = (torch.nn.Conv1d(4, 6, 3, padding=2, dilation=2) for _ in range(2))
    expected = (candidates(x.mT) * torch.sigmoid(gates(x.mT))).mT
    for gate in ("last", "first"):
        layer = kt.DilatedGatedConv1d.from_conv1d(candidates, gates, skip="none", gate=gate)
        close(layer(x), expected)
        for ours, theirs in zip(layer.to_conv1d(), (candidates, gates), strict=True):
            assert torch.equal(ours.weight, theirs.weight)
            assert torch.equal(ours.bias, theirs.bias)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    ours = kt.MultiHeadAttention(8, 2)
    ours.load_state_dict(theirs.state_dict())
    x, y = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    close(ours(x), theirs(x, x, x, need_weights=False)[0])
    close(ours(x, y), theirs(x, y, y, need_weights=False)[0])


@pytest.mark.parametrize("name", ["attention_pooling", "masked_max_pooling", "masked_mean_pooling"])
def test_pooling_gives_what_arrays_give(name: str) -> None:
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    x[0, 3] = torch.nan
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    weights = (torch.randn(4, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)) if "att" in name else ()
    expected = getattr(kx.conv, name)(x.numpy(), *(w.numpy() for w in weights), mask=mask.numpy())
    close(getattr(kt, name)(x, *weights, mask=mask), torch.from_numpy(expected))


def test_kxfast_does_not_import_torch() -> None:
    program = "import sys, kxfast, kxfast.conv, kxfast.attention, kxfast.lipschitz; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
