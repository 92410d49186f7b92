"""Masked attention of other libraries: a call each, with arrays and masks in the form that the library likes best.

Each function returns calls by name, forward alone or with the three gradients; whoever cannot do it returns none. A
library's mask and layout are made beforehand, so that a call is its computation alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Call = Callable[[], Any]
NONE: dict[str, Call] = {}
LARGEST = 2 << 30  # bytes of one array of scores


class Problem:
    """Queries, keys, values and a gradient, each (B, H, L, D); allowed pairs (B, 1, L, L), or None for all of them."""

    def __init__(
        self, arrays: list[Any], name: str, allowed: Any, *, backward: bool, flexible: bool, threads: int
    ) -> None:
        *self.x, self.grad = arrays
        self.name, self.allowed, self.backward = name, allowed, backward
        self.flexible, self.threads = flexible, threads
        self.half = self.x[0].dtype != np.float32

    @property
    def added(self) -> Any:
        """The mask as what is added to scores."""
        return np.where(self.allowed, np.float32(0), np.float32(-np.inf))


def torch_calls(problem: Problem) -> dict[str, Call]:
    """PyTorch in each form that the mask has; compiled FlexAttention where it skips blocks: forward."""
    import torch

    def tensor(array: Any) -> Any:
        given = torch.from_numpy(np.asarray(array, np.float32))
        return given.bfloat16() if problem.half else given

    x, grad = [tensor(each).requires_grad_(problem.backward) for each in problem.x], tensor(problem.grad)

    def run(options: dict[str, Any]) -> Any:
        with torch.set_grad_enabled(problem.backward):
            out = torch.nn.functional.scaled_dot_product_attention(*x, **options)
            return (out, *torch.autograd.grad(out, x, grad)) if problem.backward else (out,)

    if problem.allowed is None:
        return {"torch": partial(run, {})}
    allowed = torch.from_numpy(problem.allowed)
    added = torch.from_numpy(problem.added).to(x[0].dtype)
    calls = {
        "torch, boolean mask": partial(run, {"attn_mask": allowed}),
        "torch, added mask": partial(run, {"attn_mask": added}),
    }
    if problem.name == "causal":
        calls["torch, is_causal"] = partial(run, {"is_causal": True})
    if problem.flexible:
        calls["FlexAttention, compiled"] = flex(x, allowed)
    return calls


def flex(x: list[Any], allowed: Any) -> Call:
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    batches, _, length, _ = allowed.shape
    blocks = create_block_mask(
        lambda b, h, i, j: allowed[b, 0, i, j], batches if batches > 1 else None, None, length, length, device="cpu"
    )
    compiled = torch.compile(flex_attention, dynamic=False)

    def run() -> Any:
        with torch.no_grad():
            return (compiled(*x, block_mask=blocks),)

    return run


def openvino_calls(problem: Problem) -> dict[str, Call]:
    import openvino
    from openvino import opset13

    if problem.backward or problem.half:
        return NONE
    inputs = [opset13.parameter(each.shape, np.float32) for each in problem.x]
    values, causal = list(problem.x), problem.name == "causal"
    if problem.allowed is not None and not causal:
        inputs.append(opset13.parameter(problem.allowed.shape, np.float32))
        values.append(problem.added)
    node = opset13.scaled_dot_product_attention(*inputs, causal=causal)
    settings = {"INFERENCE_NUM_THREADS": problem.threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    model = openvino.Core().compile_model(openvino.Model([node], inputs), "CPU", settings)
    request = model.create_infer_request()

    def run() -> Any:
        return (request.infer(values, share_inputs=True, share_outputs=True)[0],)

    return {"OpenVINO": run}


def onnxruntime_calls(problem: Problem) -> dict[str, Call]:
    import onnx
    import onnxruntime
    from onnx import helper

    if problem.backward or problem.half:
        return NONE
    heads = problem.x[0].shape[1]
    feeds = dict(zip("qkv", map(wide, problem.x), strict=True))
    names, causal = ["q", "k", "v"], problem.name == "causal"
    if problem.allowed is not None and not causal:
        names += ["", "", "bias"]
        feeds["bias"] = np.maximum(problem.added, np.finfo(np.float32).min)
    node = helper.make_node(
        "MultiHeadAttention", names, ["y"], domain="com.microsoft", num_heads=heads, unidirectional=int(causal)
    )
    given = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, each.shape) for name, each in feeds.items()]
    made = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, feeds["q"].shape)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "attention", given, made), opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = problem.threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run() -> Any:
        return (session.run(None, feeds)[0],)

    return {"ONNX Runtime": run}


def wide(array: Any) -> Any:
    """Return (B, H, L, D) as (B, L, H D)."""
    b, _, length, _ = array.shape
    return np.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(b, length, -1)


def jax_calls(problem: Problem) -> dict[str, Call]:
    """JAX on all cores of the process, which it takes no other number of; it keeps several arrays of all scores."""
    import jax

    b, h, length, _ = problem.x[0].shape
    if b * h * length * length * 4 > LARGEST:
        return NONE

    x = [jax.numpy.asarray(np.ascontiguousarray(each.transpose(0, 2, 1, 3))) for each in (*problem.x, problem.grad)]
    options: dict[str, Any] = {}
    if problem.name == "causal":
        options["is_causal"] = True
    elif problem.allowed is not None:
        options["mask"] = jax.numpy.asarray(problem.allowed)
    attend = partial(jax.nn.dot_product_attention, **options)

    def both(q: Any, k: Any, v: Any, grad: Any) -> Any:
        out, back = jax.vjp(attend, q, k, v)
        return out, *back(grad)

    call = jax.jit(both) if problem.backward else jax.jit(lambda q, k, v, grad: (attend(q, k, v),))
    return {"JAX": lambda: jax.block_until_ready(call(*x))}


LIBRARIES = {"torch": torch_calls, "OpenVINO": openvino_calls, "ONNX Runtime": onnxruntime_calls, "JAX": jax_calls}


def output(result: Any, shape: tuple[int, ...]) -> Any:
    """Return what a call computed as an array (B, H, L, D)."""
    first = result[0]
    array = np.asarray(first.detach().float() if hasattr(first, "detach") else first, np.float32)
    b, h, length, d = shape
    return array if array.shape == shape else array.reshape(b, length, h, d).transpose(0, 2, 1, 3)


def peers(problem: Problem) -> dict[str, Call]:
    """Return the calls of all libraries that are installed; one that is wrong ends the program."""
    import kxfast as kx

    mask = None if problem.allowed is None else kx.masks.dense(problem.allowed)
    exact = kx.attention.scaled_dot_product_attention(*problem.x, mask=mask).astype(np.float32)
    calls: dict[str, Call] = {}
    for name, make in LIBRARIES.items():
        try:
            calls |= make(problem)
        except ImportError as missing:
            print(f"({name} is left out: {missing})")
    for name, call in calls.items():
        wrong = np.abs(output(call(), exact.shape) - exact)
        if problem.allowed is not None:  # what a query without keys gets differs between libraries
            wrong = np.where(problem.allowed.any(-1)[..., None], wrong, 0)
        if not wrong.max() < (0.05 if problem.half else 1e-4):
            raise SystemExit(f"{name} computes something else: it differs by {wrong.max():.2g}")
    return calls
