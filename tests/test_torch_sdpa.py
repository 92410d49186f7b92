"""torch's own attention function, served by kxfast where it is able and faster."""

from __future__ import annotations

from typing import Any

import pytest

import kxfast as kx

torch = pytest.importorskip("torch", reason="needs PyTorch")
kt = pytest.importorskip("kxfast.torch")
F = torch.nn.functional

ORIGINAL = F.scaled_dot_product_attention


@pytest.fixture(autouse=True)
def put_back() -> Any:
    yield
    assert F.scaled_dot_product_attention is ORIGINAL


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)


def unilm(length: int) -> Any:
    segments = torch.arange(length) >= length // 2
    counts = segments.cumsum(0)
    return counts[None] <= counts[:, None]


CALLS: dict[str, Any] = {
    "plain": {},
    "causal": {"is_causal": True},
    "scaled": {"scale": 0.3},
    "unilm": {"attn_mask": unilm(24)},
    "random": {"attn_mask": torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)) > 0.3},
    "padding": {"attn_mask": (torch.arange(24) < torch.tensor([[20], [24]]))[:, None, None].expand(2, 1, 24, 24)},
    "added": {"attn_mask": torch.randn(24, 24), "scale": 0.5},
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("batched", [True, False])
def test_served_calls_give_torchs_numbers(name: str, batched: bool) -> None:
    q, k, v = (torch.randn(2, 3, 24, 8, requires_grad=True) for _ in range(3))
    options = CALLS[name]
    if not batched:
        q, k, v = (x.detach()[0].requires_grad_() for x in (q, k, v))
        mask = options.get("attn_mask")
        options = options if mask is None or mask.ndim == 2 else {"attn_mask": mask[0].expand(3, 24, 24)}
    expected = ORIGINAL(q, k, v, **options)
    grads = torch.autograd.grad(expected.square().sum(), (q, k, v))
    with kt.install_sdpa(always=True) as switch:
        for _ in range(2):
            found = F.scaled_dot_product_attention(q, k, v, **options)
            close(found, expected)
    assert switch.counts() == kt.Served(2, 0, {})
    for a, b in zip(torch.autograd.grad(found.square().sum(), (q, k, v)), grads, strict=True):
        close(a, b)


def test_a_mask_that_changes_in_place_is_seen() -> None:
    q, mask = torch.randn(1, 1, 8, 4), torch.ones(8, 8, dtype=torch.bool)
    with kt.install_sdpa(always=True):
        for size in (8, 5, 3):
            mask[:, size:] = False
            close(F.scaled_dot_product_attention(q, q, q, mask), ORIGINAL(q, q, q, mask))
            mask.numpy()[:, size - 1] = False  # behind torch's back
            close(F.scaled_dot_product_attention(q, q, q, mask), ORIGINAL(q, q, q, mask))


def test_what_cannot_be_served_goes_to_torch() -> None:
    q = torch.randn(1, 4, 8, 4)
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("dropout", (q, q, q), {"dropout_p": 1e-9}),
        ("shapes or types", (q, q[:, :, :6], q), {}),
        ("shapes or types", (q, q.double(), q), {}),
        ("shapes or types", (q, q, q), {"attn_mask": torch.ones(8, 8, dtype=torch.bool), "is_causal": True}),
        ("not on the CPU", (q.to("meta"),) * 3, {}),
    ]
    with kt.install_sdpa(always=True) as switch:
        for reason, tensors, options in cases:
            results = []
            for run in (F.scaled_dot_product_attention, ORIGINAL):
                try:
                    results.append(run(*tensors, **options).shape)
                except RuntimeError as error:
                    results.append(str(error))
            assert results[0] == results[1], reason
        counts = switch.counts()
    assert counts.served == 0
    assert counts.reasons == {"dropout": 1, "shapes or types": 3, "not on the CPU": 1}
    with kt.install_sdpa() as switch:
        F.scaled_dot_product_attention(q, q, q)
    assert switch.counts().reasons == {"small": 1}


def test_causal_calls_of_other_lengths_begin_at_the_first_key() -> None:
    q, k = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 9, 4)
    with kt.install_sdpa(always=True) as switch:
        close(F.scaled_dot_product_attention(q, k, k, is_causal=True), ORIGINAL(q, k, k, is_causal=True))
    assert switch.counts().served == 1


def test_grouped_heads() -> None:
    q, k = torch.randn(2, 6, 9, 4), torch.randn(2, 2, 9, 4)
    with kt.install_sdpa(always=True) as switch:
        close(F.scaled_dot_product_attention(q, k, k, enable_gqa=True), ORIGINAL(q, k, k, enable_gqa=True))
    assert switch.counts().served == 1


def test_models_are_served_unchanged() -> None:
    layer = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    x, mask = torch.randn(2, 40, 32), ~unilm(40)
    expected = layer(x, x, x, attn_mask=mask, need_weights=False)[0]
    with kt.install_sdpa(always=True) as switch:
        close(layer(x, x, x, attn_mask=mask, need_weights=False)[0], expected)
    assert switch.counts().served == 1


def test_undone_once_and_never_twice() -> None:
    switch = kt.install_sdpa()
    assert F.scaled_dot_product_attention is not ORIGINAL
    with kt.install_sdpa(), pytest.raises(RuntimeError, match="has been replaced since"):
        switch.uninstall()
    switch.uninstall()
    switch.uninstall()


def test_dense_masks_of_runs_are_intervals() -> None:
    assert kx.masks.dense(unilm(12).numpy()).key_intervals(1, 1, 12, 12) is not None
    comb = (torch.arange(12) % 2 == 0).expand(12, 12)
    assert kx.masks.dense(comb.numpy()).key_intervals(1, 1, 12, 12) is None
