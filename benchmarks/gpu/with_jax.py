"""Peers in JAX: a call each, which returns before its work is done, on whatever device JAX has first.

Its process takes memory as it needs it, not most of the GPU at the start: torch may live there too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial, reduce
from math import factorial, prod
from typing import Any

import numpy as np

from benchmarks.gpu.plan import Row
from benchmarks.gpu.timing import on_the_clock
from benchmarks.peers.conv_others import jax_layers

Call = Callable[[], Any]


def imported(*, gpu: bool = True) -> Any:
    """Return JAX; ImportError if it is not there, or sees no GPU."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    if gpu and jax.default_backend() != "gpu":
        raise ImportError(f"JAX {jax.__version__} sees no GPU")
    return jax


def timed(call: Call, bunch: int = 10) -> Row:
    """Time bunches of calls that follow each other, by the clock on the wall; a call's share of them."""
    import jax

    found = on_the_clock(lambda: jax.block_until_ready([call() for _ in range(bunch)][-1]), 10)
    return {name: seconds / bunch for name, seconds in found.items()}


def normal(shape: Sequence[int], seed: int, dtype: str = "bfloat16") -> Any:
    """Return normal numbers."""
    import jax

    return jax.random.normal(jax.random.key(seed), shape, dtype)


def of_gradients(run: Callable[..., Any], arrays: Sequence[Any], grad: Any) -> Call:
    """Return the call of what remains to be done for the gradients after a run forward."""
    import jax

    back = jax.jit(partial(jax.vjp, run))(*arrays)[1]
    gradients = jax.jit(lambda back, grad: back(grad))
    return lambda: gradients(back, grad)


def attention(
    shape: tuple[int, int, int, int], backward: bool, seed: int, *, how: str | None = "cudnn", queries: int = 0,
    bias: bool = False, dtype: str = "bfloat16", **options: Any,
) -> Call:  # fmt: skip
    """Return JAX's own attention of (batch, heads, length, head size) with its own words for masks."""
    import jax

    b, h, length, d = shape
    rows = queries or length
    q, k, v, grad = (normal((b, each, h, d), seed + i, dtype) for i, each in enumerate((rows, length, length, rows)))
    if bias:
        options["bias"] = normal((1, h, length, length), seed, dtype) * d**-0.5
    if "allowed" in options:
        i = jax.numpy.arange(length)
        options["mask"] = options.pop("allowed")(0, 0, i[:, None], i)[None, None]
    run = partial(jax.nn.dot_product_attention, implementation=how, **options)
    if backward:
        return of_gradients(run, (q, k, v), grad)
    compiled = jax.jit(run)
    return lambda: compiled(q, k, v)


def convolutions(shape: tuple[int, int, int], dilations: Sequence[int], backward: bool, seed: int) -> Call:
    """Return gated convolutions of (batch, length, channels) in bfloat16, three taps."""
    import jax

    channels = shape[2]
    scale = (3 * channels) ** -0.5
    weights = [normal((3, channels, 2 * channels), seed + i) * scale for i in range(len(dilations))]
    arrays = normal(shape, seed), weights, [normal((2 * channels,), seed) for _ in dilations]
    run = jax_layers(dilations)
    if backward:
        return of_gradients(run, arrays, normal(shape, seed + 1))
    compiled = jax.jit(run)
    return lambda: compiled(*arrays)


def normalized(ws: list[Any], us: list[Any], vs: list[Any]) -> Call:
    """Return a step of power iteration with all weights, and the weights scaled, compiled into one program."""
    import jax

    def unit(x: Any) -> Any:
        return x / jax.numpy.maximum(jax.numpy.linalg.norm(x), 1e-12)

    def step(ws: list[Any], us: list[Any], vs: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        scaled, lefts, rights = [], [], []
        for w, v in zip(ws, vs, strict=True):
            flat = w.reshape(w.shape[0], -1)
            lefts.append(unit(flat @ v))
            rights.append(unit(flat.T @ lefts[-1]))
            sigma = lefts[-1] @ (flat @ rights[-1])
            scaled.append(w * jax.numpy.minimum(0.9 / sigma, 1.0))
        return scaled, lefts, rights

    given = jax.tree.map(jax.numpy.asarray, (ws, us, vs))
    run = jax.jit(step)
    return lambda: run(*given)


def power_iteration(weight: Any, u: Any, padding: int, steps: int) -> Call:
    """Return steps with a convolution and its transpose, compiled into one program."""
    import jax

    def convolve(weight: Any, x: Any) -> Any:
        pads = [(padding, padding)] * 2
        return jax.lax.conv_general_dilated(x, weight, (1, 1), pads, dimension_numbers=("NCHW", "OIHW", "NCHW"))

    @jax.jit
    def run(weight: Any, u: Any) -> Any:
        shape = jax.ShapeDtypeStruct((1, weight.shape[1], *u.shape[1:]), u.dtype)
        turned = jax.linear_transpose(partial(convolve, weight), shape)
        x = u[None]
        for _ in range(steps):
            (y,) = turned(x)
            x = convolve(weight, y / jax.numpy.linalg.norm(y))
            x = x / jax.numpy.linalg.norm(x)
        return x

    weight, u = jax.numpy.asarray(weight), jax.numpy.asarray(u)
    return lambda: run(weight, u)


def counts_of_pairs(ids: Any, words: int, window: int) -> Call:
    """Return JAX's own unique, with counts, of the pairs within a window as numbers."""
    import jax

    jax.config.update("jax_enable_x64", True)
    ids = jax.numpy.asarray(ids, "uint32" if words < 2**16 else "uint64")

    def run() -> Any:
        pairs = [ids[:-d] * words + ids[d:] for d in range(1, window + 1)]
        return jax.numpy.unique(jax.numpy.concatenate(pairs), return_counts=True)

    return run


def counts_of_grams(codes: Any, order: int) -> Call:
    """Return JAX's own unique, with counts, of the n-grams of each n as numbers."""
    import jax

    jax.config.update("jax_enable_x64", True)
    codes = jax.numpy.asarray(codes, "uint64") % 2**14

    def run() -> Any:
        found, grams = [], codes
        for n in range(1, order + 1):
            grams = codes if n == 1 else grams[:-1] * 2**14 + codes[n - 1 :]
            found.append(jax.numpy.unique(grams, return_counts=True))
        return found

    return run


def trajectories(net: Any, end: float, n: int, seed: int) -> Call:
    """Return the direct method of a network of mass action: counts at the end (S, n) and events of each trajectory.

    All trajectories step together, in float32 with JAX's fastest random numbers, until the last has ended.
    """
    import jax
    from jax import numpy as jnp

    propensities, change = _mass_action(net)
    initial = jnp.asarray(net.initial, "float32")

    def step(state: Any) -> Any:
        key, t, x, events = state
        key, now = jax.random.split(key)
        uniform = jax.random.uniform(now, (2, n))
        sums = [each[None] for each in propensities(x)]
        sums = jnp.concatenate([reduce(jnp.add, sums[: j + 1]) for j in range(len(sums))])
        t = t - jnp.log1p(-uniform[0]) / sums[-1]
        fired = jnp.minimum((uniform[1] * sums[-1] >= sums).sum(0), len(sums) - 1)
        alive = t < end
        moved = sum(jnp.where(fired == j, each[:, None], 0) for j, each in enumerate(change))
        return key, t, jnp.where(alive, x + moved, x), events + alive

    @jax.jit
    def run(key: Any) -> Any:
        t, events = jnp.zeros(n, "float32"), jnp.zeros(n, "int32")
        x = jnp.broadcast_to(initial[:, None], (len(initial), n))
        ended = jax.lax.while_loop(lambda state: (state[1] < end).any(), step, (key, t, x, events))
        return ended[2:]

    key = jax.random.key(seed, impl="rbg")
    return lambda: run(key)


def with_crn_jax(net: Any, end: float, n: int, points: int, seed: int) -> Call:
    """Return crn-jax's trajectories of a network of mass action: counts at so many times (n, points, S)."""
    import jax
    from crn_jax.gillespie import simulate_trajectory
    from crn_jax.types import State
    from jax import numpy as jnp

    propensities, change = _mass_action(net)
    changes = jnp.stack(change)
    start = State(jnp.zeros(()), jnp.asarray(net.initial, "float32"), jnp.asarray(jnp.inf))
    options = {
        "timestep": end / points,
        "n_steps": points,
        "max_steps": 2**30,
        "compute_propensities_fn": lambda state, _: jnp.stack(propensities(state.x)),
        "apply_reaction_fn": lambda state, j: state._replace(x=state.x + changes[j]),
    }
    run = jax.jit(jax.vmap(lambda key: simulate_trajectory(key, start, **options).x))
    keys = jax.random.split(jax.random.key(seed), n)
    return lambda: run(keys)


def _mass_action(net: Any) -> tuple[Callable[[Any], list[Any]], list[Any]]:
    """Return the propensities of counts (S, ...) and each reaction's change of the counts."""
    from jax import numpy as jnp

    constants = np.asarray(net.arrays[3], np.float64)

    def propensities(x: Any) -> list[Any]:
        found = []
        for constant, row in zip(constants, net.reactants, strict=True):
            terms = [x[s] - k for s, many in enumerate(row) for k in range(many)]
            scale = constant / prod(map(factorial, map(int, row)))
            found.append(reduce(jnp.multiply, terms, jnp.full(x.shape[1:], scale, x.dtype)))
        return found

    return propensities, [jnp.asarray(row, "float32") for row in net.products - net.reactants]
