"""Norms with proof, training steps, inverses and log-determinants beside peers, in turn and in one process.

python benchmarks/bench_lipschitz.py [--threads 1] [--jobs dense,conv,...]; rows of a job take the place of its rows in
the file of results. Ours gives an interval that holds, or the same accuracy; peers in `peers/lipschitz.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import RESULTS, available, in_turn, processor, report, write
from peers import lipschitz as peers
from peers import lipschitz_others as others
from threadpoolctl import threadpool_limits

import kxfast as kx

L = kx.lipschitz
Rows = list[dict[str, Any]]


def show(title: str, calls: dict[str, Callable[[], Any] | None], rounds: int, extra: dict[str, Any]) -> Rows:
    medians = in_turn({name: call for name, call in calls.items() if call is not None}, rounds, 5.0)
    rows = report(title, medians, "kxfast", 1.0, "call")
    theirs = [name for name in medians if not name.startswith("kxfast")]
    best = {row["name"]: min((medians.ratio(name, row["name"]) for name in theirs), default=np.nan) for row in rows}
    return [{**row, **(extra | {"best_ratio": best[row["name"]]})} for row in rows]


def normal(*shape: int) -> Any:
    return np.random.default_rng(7).standard_normal(shape, np.float32)


def dense(rounds: int) -> Rows:
    rows: Rows = []
    for shape in (256, 256), (1024, 4096), (64, 256, 256):
        a = normal(*shape)
        truth = peers.gram_eigenvalues(a.astype(np.float64))()
        for tol in 1e-3, 1e-6:
            calls: dict[str, Any] = {
                "kxfast": lambda a=a, tol=tol: L.spectral_norm(a, tol=tol),
                "kxfast, estimate": lambda a=a, tol=tol: L.spectral_norm(a, tol=tol, upper=None),
                "eigvalsh(Gram)": peers.gram_eigenvalues(a),
            }
            if a.ndim == 2:
                calls["kxfast, random"] = lambda a=a, tol=tol: L.spectral_norm(a, tol=tol, upper="random")
                calls["ARPACK"] = peers.arpack(a, float(truth), tol)
                calls |= available(others.estimate(torch.from_numpy(a), float(truth), tol))
            if a.shape[-1] == 256:
                calls["LAPACK SVD"] = lambda a=a: np.linalg.svd(a, compute_uv=False)
            tensor, limit = torch.from_numpy(a), float(np.max(truth))
            calls["Gram iteration"] = peers.gram_iteration(lambda x=tensor: x, limit, tol)
            found = L.spectral_norm(a, tol=tol)
            assert np.all(found.lower <= truth * (1 + 1e-14))
            assert np.all(truth <= found.upper * (1 + 1e-14))
            width = {"width": float(np.max(found.upper / found.lower - 1))}
            rows += show(f"dense {'x'.join(map(str, shape))}, {tol:g}", calls, rounds, width)
    return rows


def conv(rounds: int) -> Rows:
    rows: Rows = []
    for channels, shape in (64, (32, 32)), (256, (16, 16)), (128, (512,)):
        w = normal(channels, channels, *[3] * len(shape))
        tensor = torch.from_numpy(w)
        for mode in "circular", "zeros":
            options = {"padding": 1, "padding_mode": mode}
            exact = L.conv_spectral_norm(w.astype(np.float64), shape, tol=1e-9, upper=None, **options).lower
            for tol in 1e-3, 1e-6:
                run = partial(L.conv_spectral_norm, w, shape, tol=tol, **options)
                calls: dict[str, Any] = {
                    "kxfast": run,
                    "kxfast, estimate": partial(run, upper=None),
                    "ARPACK": peers.arpack_convolution(tensor, shape, mode == "circular", exact, tol),
                }
                if mode == "circular":
                    blocks = partial(peers.frequency_blocks, tensor, shape)
                    calls["rfft, eigvalsh(Gram)"] = peers.circular_eigenvalues(tensor, shape)
                    calls["rfft, Gram iteration"] = peers.gram_iteration(blocks, exact, tol)
                    if len(shape) == 2 and channels == 64:
                        calls |= available(others.circular(tensor, shape[0], exact, tol))
                found, estimate = run(), run(upper=None)
                assert found.lower <= exact * (1 + 1e-8)
                assert exact <= found.upper * (1 + 1e-8)
                extra = {"width": found.upper / found.lower - 1, "excess": found.upper / exact - 1}
                extra["estimate_error"] = 1 - estimate.lower / exact
                rows += show(f"conv {mode} {channels}@{'x'.join(map(str, shape))}, {tol:g}", calls, rounds, extra)
    return rows


def values(rounds: int) -> Rows:
    rows: Rows = []
    for channels, shape in (64, (32, 32)), (256, (16, 16)), (128, (512,)):
        w = normal(channels, channels, *[3] * len(shape))
        calls = {
            "kxfast": lambda w=w, shape=shape: L.conv_singular_values(w, shape),
            "Sedghi": peers.sedghi(w, shape),
            "torch rfft, svdvals": peers.half_frequencies(torch.from_numpy(w), shape),
        }
        rows += show(f"all values {channels}@{'x'.join(map(str, shape))}", calls, rounds, {})
    return rows


def clipping(rounds: int) -> Rows:
    """One turn of clipping, a few directions that stand out or all alike."""
    rows: Rows = []
    smooth = normal(64, 64, 1, 1) * np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) + 0.3 * normal(64, 64, 3, 3)
    for name, w in ("smooth", smooth), ("random", normal(64, 64, 3, 3)):
        bound = 0.9 * float(L.conv_singular_values(w, (32, 32))[0])
        calls = {
            "kxfast": partial(L.clip_conv_norm, w, (32, 32), bound, n_iter=1),
            "Sedghi": peers.sedghi_clip(w, (32, 32), bound),
        }
        rows += show(f"clipping, {name} 64@32x32", calls, rounds, {})
    return rows


def training(rounds: int) -> Rows:
    rows: Rows = []
    for count, m, n in (16, 256, 256), (64, 64, 64), (1, 1024, 4096):
        ws, us, vs = ([normal(*s) for _ in range(count)] for s in ((m, n), (m,), (n,)))
        out = [np.empty_like(w) for w in ws]
        calls: dict[str, Any] = {
            "kxfast": lambda ws=ws, us=us, vs=vs, out=out: L.spectral_normalize(ws, us, vs, out=out),
            "kxfast, new arrays": lambda ws=ws, us=us, vs=vs: L.spectral_normalize(ws, us, vs),
            "kxfast, scale only": lambda ws=ws, us=us, vs=vs: L.spectral_normalize(ws, us, vs, mode="scale_only"),
        }
        theirs = peers.training([(m, n)] * count) | available(others.training([(m, n)] * count))
        rows += show(f"training step {count}x{m}x{n}", calls | theirs, rounds, {})
        moved = {"kxfast": calls["kxfast"]} | peers.traffic(ws, out)
        rows += show(f"training step {count}x{m}x{n} beside its traffic alone", moved, rounds, {})
        state = L.SpectralState(ws)
        both = {"kxfast": state.step, "kxfast, estimate": partial(state.step, upper=None)}
        both["NumPy block step, eigvalsh(Gram)"] = peers.state(ws)
        rows += show(f"state of {count}x{m}x{n}, interval of each", both, rounds, {})
        us, vs = ([x / np.linalg.norm(x) for x in each] for each in (us, vs))
        grads = [normal(m, n) for _ in range(count)]
        sigmas = np.array([w @ v @ u for w, u, v in zip(ws, us, vs, strict=True)])
        both = {
            "kxfast": partial(L.spectral_normalize_backward, grads, ws, us, vs, sigmas),
            "torch": peers.gradients(ws, us, vs, grads),
        }
        rows += show(f"gradient of a step {count}x{m}x{n}", both, rounds, {})
    w, u, v = normal(64, 64, 3, 3), normal(64, 32, 32), normal(64, 32, 32)
    step = partial(L.power_iteration, w, u, v, conv={"input_shape": (32, 32), "padding": 1})
    both = {"kxfast": step, "torch, i-ResNet": peers.operator_step(torch.from_numpy(w), (32, 32))}
    rows += show("training step of the operator 64@32x32", both, rounds, {})
    return rows


def blocks() -> dict[str, tuple[list[Any], list[tuple[Any, ...]], Any]]:
    """Return blocks whose layers have norms of 0.97, ours and the peers', and samples.

    With aligned strong directions and little else an MLP contracts slowly; with as much noise as directions, fast.
    """
    rng = np.random.default_rng(7)
    strong = np.linalg.qr(rng.standard_normal((256, 4)))[0]
    matrices = {}
    for name, noise in ("MLP 3x256", 32), ("slow MLP 3x256", 256):
        ws = [rng.standard_normal((256, 256)) / noise + strong @ strong.T for _ in range(3)]
        matrices[name] = [(0.97 * w / np.linalg.norm(w, 2)).astype(np.float32) for w in ws]
    kernels = [normal(b, a, 3, 3) for a, b in ((12, 64), (64, 64), (64, 12))]
    kernels = [w * np.float32(0.97 / L.conv_spectral_norm(w, (16, 16), padding=1).upper) for w in kernels]
    made = {}
    for name, arrays in (*matrices.items(), ("conv 12-64-64-12", kernels)):
        ours: list[Any] = []
        theirs: list[tuple[Any, ...]] = []
        for w in arrays:
            ours += [L.Linear(w) if w.ndim == 2 else L.Conv2d(w, padding=1), L.Activation("elu")]
            theirs += [("linear" if w.ndim == 2 else "conv", torch.from_numpy(w)), ("elu",)]
        made[name] = ours[:-1], theirs[:-1], normal(128, 256) if name in matrices else normal(32, 12, 16, 16)
    return made


def flows(rounds: int) -> Rows:
    rows: Rows = []
    for name, (layers, plain, x) in blocks().items():
        g, start = peers.block(plain), torch.from_numpy(x)
        with torch.inference_mode():
            y = start + g(start)
        known = 0.97**3
        inverse = partial(L.residual_inverse, layers, y.numpy(), lipschitz=known)
        assert inverse().converged.all()
        error = float(np.abs(inverse().x - x).max())
        calls = {"kxfast": inverse, "torch, plain steps": peers.fixed_point(g, y, start, 1e-6)}
        rows += show(f"inverse to 1e-6, {name}", calls, rounds, {"error": error})
        if name.startswith("slow"):
            continue
        probe = np.sign(normal(1, *x.shape))
        run = partial(L.logdet_series, layers, x, probes=probe, lipschitz=known)
        theirs = peers.series(g, start, torch.from_numpy(probe[0]), 10)
        error = float(np.abs(run().mean - theirs().numpy()).max())
        rows += show(f"log-det 10 terms, {name}", {"kxfast": run, "torch": theirs}, rounds, {"error": error})
        if x.ndim == 2:
            exact = {"kxfast": partial(L.logdet_exact, layers, x), "torch": peers.exact_logdet(g, start)}
            error = float(np.abs(exact["kxfast"]().mean - exact["torch"]().numpy()).max())
            rows += show(f"log-det exact, {name}", exact, rounds, {"error": error})
    return rows


JOBS = {
    "dense": dense,
    "conv": conv,
    "values": values,
    "clipping": clipping,
    "training": training,
    "flows": flows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    unit = "thread" if chosen.threads == 1 else "threads"
    path = chosen.json or RESULTS / f"lipschitz_{processor()}_{chosen.threads}_{unit}.json"
    kx.set_num_threads(chosen.threads)
    torch.set_num_threads(chosen.threads)
    rows: Rows = json.loads(path.read_text())["rows"] if path.exists() else []
    with threadpool_limits(chosen.threads):
        for name in chosen.jobs.split(","):
            made = [{"group": name, **row} for row in JOBS[name](chosen.rounds)]
            rows = [row for row in rows if row["group"] != name] + made
    write(path, rows)


if __name__ == "__main__":
    main()
