"""Dilated gated convolutions of libraries other than PyTorch: forward, and with the gradients where there are any.

Each function returns its call by name, with float32 weights and masks in the form that the library likes best.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Call = Callable[[], Any]


def by_channels(problem: Any) -> tuple[Any, list[Any], Any]:
    """Return x (B, C, L), weights (2C, C, K) and a mask (B, 1, L) of floats, or none."""
    x = np.ascontiguousarray(problem.x.transpose(0, 2, 1))
    weights = [np.ascontiguousarray(each.transpose(2, 1, 0)) for each in problem.weights]
    return x, weights, None if problem.mask is None else problem.mask[:, None].astype(np.float32)


def openvino_forward(problem: Any, threads: int) -> Call:
    import openvino
    from openvino import opset13 as ops

    x, weights, mask = by_channels(problem)
    node = given = ops.parameter(x.shape, np.float32)
    for weight, bias, r in zip(weights, problem.biases, problem.dilations, strict=True):
        inside = node if mask is None else ops.multiply(node, ops.constant(mask))
        reach = [(weight.shape[2] - 1) * r // 2]
        made = ops.convolution(inside, ops.constant(weight), [1], reach, reach, [r])
        made = ops.add(made, ops.constant(bias[None, :, None]))
        candidate, gate = ops.split(made, ops.constant(1), 2).outputs()
        node = ops.add(inside, ops.multiply(ops.sigmoid(gate), ops.subtract(candidate, inside)))
        node = node if mask is None else ops.multiply(node, ops.constant(mask))
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(openvino.Model([node], [given]), "CPU", settings).create_infer_request()
    return lambda: request.infer([x], share_inputs=True, share_outputs=True)[0]


def onnxruntime_forward(problem: Any, threads: int) -> Call:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    x, weights, mask = by_channels(problem)
    nodes, constants, last = [], [], "x"
    if mask is not None:
        constants.append(numpy_helper.from_array(mask, "mask"))

    def add(kind: str, inputs: list[str], outputs: list[str], **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, outputs, **options))
        return outputs[0]

    for i, (weight, bias, r) in enumerate(zip(weights, problem.biases, problem.dilations, strict=True)):
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        last = last if mask is None else add("Mul", [last, "mask"], [f"inside{i}"])
        reach = (weight.shape[2] - 1) * r // 2
        add("Conv", [last, f"w{i}", f"b{i}"], [f"conv{i}"], dilations=[r], pads=[reach, reach])
        add("Split", [f"conv{i}"], [f"c{i}", f"g{i}"], axis=1, num_outputs=2)
        add("Sigmoid", [f"g{i}"], [f"s{i}"])
        add("Sub", [f"c{i}", last], [f"d{i}"])
        add("Mul", [f"s{i}", f"d{i}"], [f"m{i}"])
        last = add("Add", [last, f"m{i}"], [f"y{i}"])
        last = last if mask is None else add("Mul", [last, "mask"], [f"z{i}"])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, x.shape) for name in ("x", last)]
    graph = helper.make_graph(nodes, "gated", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def jax_layers(dilations: Sequence[int], mask: Any = None) -> Callable[..., Any]:
    """Return what layers make of x, all weights and all biases, in JAX's functions."""
    import jax

    def run(x: Any, weights: Any, biases: Any) -> Any:
        for weight, bias, r in zip(weights, biases, dilations, strict=True):
            x = x if mask is None else x * mask
            made = jax.lax.conv_general_dilated(
                x, weight, (1,), "SAME", rhs_dilation=(r,), dimension_numbers=("NWC", "WIO", "NWC")
            )
            candidate, gate = jax.numpy.split(made + bias, 2, axis=2)
            x = x + jax.nn.sigmoid(gate) * (candidate - x)
            x = x if mask is None else x * mask
        return x

    return run


def jax_calls(problem: Any) -> tuple[Call, Call]:
    """JAX on all cores of the process, which it takes no other number of: left out where others have fewer."""
    import jax

    mask = None if problem.mask is None else jax.numpy.asarray(problem.mask[..., None].astype(np.float32))
    run = jax_layers(problem.dilations, mask)

    def both(grad: Any, *arrays: Any) -> Any:
        y, back = jax.vjp(run, *arrays)
        return y, back(grad)

    arrays = [jax.tree.map(jax.numpy.asarray, each) for each in (problem.x, problem.weights, problem.biases)]
    grad, forward, backward = jax.numpy.asarray(problem.grad), jax.jit(run), jax.jit(both)
    return (
        lambda: jax.block_until_ready(forward(*arrays)),
        lambda: jax.block_until_ready(backward(grad, *arrays))[0],
    )


def numba_forward(problem: Any, threads: int) -> Call:
    from peers import conv_numba

    return conv_numba.forward(problem, threads)


def others(problem: Any, threads: int, *, limited: bool) -> tuple[dict[str, Call], dict[str, Call]]:
    """Return calls forward and with the gradients of what is installed; one that is wrong ends the program.

    With `limited`, of those alone whose instruction set the environment limits.
    """
    if problem.x.dtype != np.float32:
        return {}, {}
    forward: dict[str, Call] = {}
    both: dict[str, Call] = {}
    makers = {"OpenVINO": openvino_forward, "ONNX Runtime": onnxruntime_forward, "Numba": numba_forward}
    for name, make in ({} if limited else makers).items():
        try:
            forward[name] = make(problem, threads)
        except ImportError as missing:
            print(f"({name} is left out: {missing})")
    try:
        if threads == len(os.sched_getaffinity(0)):
            forward["JAX"], both["JAX"] = jax_calls(problem)
    except ImportError as missing:
        print(f"(JAX is left out: {missing})")
    exact = problem.forward()
    for name, call in [*forward.items(), *both.items()]:
        found = np.asarray(call())
        found = found if name in ("JAX", "Numba") else found.transpose(0, 2, 1)
        wrong = np.abs(found - exact).max() / np.abs(exact).max()
        if not wrong < 1e-4:
            raise SystemExit(f"{name} computes something else: it differs by {wrong:.2g} of the largest value")
    return forward, both
