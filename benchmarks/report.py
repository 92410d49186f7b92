"""Write the measured tables of README and docs/kernels, and the README's picture, from benchmarks/results.

kxfast bench --quick --output benchmarks/results && python benchmarks/report.py; benchmarks/bench_<stem>.py writes the
other files.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tables_gillespie import tables
from tables_gpu import tables as tables_gpu

ROOT = Path(__file__).parents[1]


def measured() -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the machine and, for each operation with real input, the speed-ups of its cases."""
    result = json.loads((ROOT / "benchmarks/results/bench.json").read_text())
    speedups: dict[str, list[float]] = {}
    for row in result["rows"]:
        if row["engine"] != "reference" and not row["label"].startswith("generated"):
            speedups.setdefault(row["operation"], []).append(row["speedup"])
    return result["machine"], speedups


def table() -> str:
    machine, speedups = measured()
    lines = [
        f"Times the speed of the NumPy reference, by `kxfast bench --quick` in one run on {machine['threads']} "
        f"threads of an {machine['processor']} ({machine['isa']}), small real inputs:",
        "",
        "| operation | inputs | median | from | to |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| `kx.{name}` | {len(each)} | {statistics.median(each):.3g} | {min(each):.3g} | {max(each):.3g} |"
            for name, each in speedups.items()
        ),
        "",
        "![speed-up over the reference](docs/speedup.png)",
    ]
    return "\n".join(lines)


def picture() -> None:
    machine, speedups = measured()
    names = list(speedups)
    figure = Figure(figsize=(8, 0.9 + 0.35 * len(names)), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    for y, name in enumerate(names):
        each = speedups[name]
        axes.plot([min(each), max(each)], [y, y], color="#4477aa", linewidth=3, solid_capstyle="round")
        axes.plot(statistics.median(each), y, "o", color="#4477aa", markersize=7)
    axes.set_yticks(range(len(names)), [f"kx.{name}" for name in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="#222", linewidth=1)
    axes.set_xlabel("times as fast as NumPy: median and range")
    axes.set_title(f"{machine['processor']}, {machine['threads']} threads, {machine['isa']}", fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(ROOT / "docs/speedup.png")


AVX2 = "KXFAST_ISA=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 XLA_FLAGS=--xla_cpu_max_isa=AVX2"


def results(stem: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((ROOT / "benchmarks/results").glob(f"{stem}_*.json"))]


def attention() -> str:
    parts = []
    for result in results("attention"):
        machine = result["machine"]
        parts += [
            f"`python benchmarks/bench_attention.py` on {machine['cores']} threads of an {machine['processor']} "
            f"({machine['isa']}): time of the best peer over ours (median over rounds), the peer, allowed pairs, "
            "error against float64.",
            "",
            "| (B, H, L, D), mask | ms | best peer / kxfast | best peer | density | error |",
            "|---|--:|--:|---|--:|--:|",
        ]
        for row in result["rows"]:
            if row["name"] == "kxfast":
                others = [each for each in result["rows"] if each["job"] == row["job"] and each["name"] != "kxfast"]
                best = min(others, key=lambda each: each["seconds"])["name"]
                share = f"{row['density']:.2f}" if "density" in row else ""
                wrong = f"{row['error']:.0e}" if "error" in row else ""
                shown = f"{1e3 * row['seconds']:.3g} | {row['best_ratio']:.2f} | {best} | {share} | {wrong}"
                parts.append(f"| {row['job']} | {shown} |")
        parts.append("")
    return "\n".join(parts)


def conv() -> str:
    parts = []
    for result in results("conv"):
        limits = f"{AVX2} " if result.get("limited") else ""
        parts += [
            f"`{limits}python benchmarks/bench_conv.py` on {result['threads']} threads of an {result['processor']} "
            f"({result['isa']}); measured peak {result['peak_gflops']:.0f} GFLOP/s in float32.",
            "",
            "| (B, L, C), dilation | what | ms | of the peak | best peer / kxfast | best peer | error |",
            "|---|---|--:|--:|--:|---|--:|",
        ]
        for row in result["rows"]:
            layers = row.get("layers", 1)
            which = f"{row['dilation']}" if layers == 1 else f"{layers} layers"
            half = ", bfloat16" if row.get("type", "float32") != "float32" else ""
            label = f"{tuple(row['shape'])}, {which}{', ragged' if row['ragged'] else ''}{half}"
            ratio = f"{row['ratio']:.2f} | {row['best_peer']} | {row['error']:.0e}"
            share = f"{row['ms']['kxfast']:.3g} | {row['percent_of_peak']:.0f} %"
            parts.append(f"| {label} | {row['what']} | {share} | {ratio} |")
        parts.append("")
    return "\n".join(parts + stacks())


def stacks() -> list[str]:
    """Return the table of what stacks in pieces and kept weights bring."""
    parts = []
    for result in results("stack"):
        machine, rows = result["machine"], result["rows"]
        parts += [
            f"`python benchmarks/bench_stack.py` on {machine['threads']} threads of an {machine['processor']} "
            f"({machine['isa']}): a large batch through nine layers in pieces beside layer by layer, a layer of few "
            "rows with kept weights beside weights packed in each call; all ours.",
            "",
            "| (B, L, C), what | ms | the other way / kxfast |",
            "|---|--:|--:|",
        ]
        others = {row["job"]: row["ratio"] for row in rows if row["name"] != "kxfast"}
        for row in rows:
            if row["name"] == "kxfast":
                parts.append(f"| {row['job']} | {1e3 * row['seconds']:.3g} | {others[row['job']]:.2f} |")
        parts.append("")
    return parts


def lipschitz() -> str:
    parts = []
    for result in results("lipschitz"):
        if "machine" not in result:
            continue  # results of another kind
        machine = result["machine"]
        parts += [
            f"`python benchmarks/bench_lipschitz.py --threads {machine['threads']}` on an {machine['processor']} "
            f"({machine['isa']}), float32 input.",
            "",
            "| job | ms | best peer / kxfast | best peer | width, error or excess |",
            "|---|--:|--:|---|---|",
        ]
        for row in result["rows"]:
            if not row["name"].startswith("kxfast"):
                continue
            others = [
                each for each in result["rows"] if each["job"] == row["job"] and not each["name"].startswith("kxfast")
            ]
            best = min(others, key=lambda each: each["seconds"])["name"]
            label = row["job"] + row["name"].removeprefix("kxfast")
            keys = ("estimate_error",) if "estimate" in row["name"] else ("width", "excess", "error")
            shown = ", ".join(f"{key.replace('_', ' ')} {row[key]:.1e}" for key in keys if key in row)
            parts.append(f"| {label} | {1e3 * row['seconds']:.3g} | {row['best_ratio']:.2f} | {best} | {shown} |")
        parts.append("")
    return "\n".join(parts)


def jobs(stem: str) -> str:
    """Make a table of every job of a stem whose calls ran in processes of their own."""
    parts = []
    for result in results(stem):
        if not isinstance(result, dict) or not all("peak_bytes" in row for row in result["rows"]):
            continue  # results of another kind
        machine = result["machine"]
        parts += [
            f"`python benchmarks/bench_{stem}.py --data DIR` on {machine['threads']} threads of an "
            f"{machine['processor']} ({machine['isa']}), each call in a fresh process, medians:",
            "",
            "| job | | seconds | rate | peak MiB | time / kxfast's |",
            "|---|---|--:|--:|--:|--:|",
        ]
        job = ""
        for row in result["rows"]:
            title, job = ("" if row["job"] == job else row["job"]), row["job"]
            rate = f"{row['rate'] / 1e6:.3g} M{row['unit']}/s"
            shown = f"{row['seconds']:.3g} | {rate} | {int(row['peak_bytes']) >> 20} | {row['ratio']:.3g}"
            parts.append(f"| {title} | {row['name']} | {shown} |")
    return "\n".join([*parts, ""])


def cooccurrence() -> str:
    parts = [jobs("cooccurrence")]
    for path in sorted((ROOT / "benchmarks/results").glob("cooccurrence_quality_*.json")):
        rows = json.loads(path.read_text())["rows"]
        for language in ("en", "zh"):
            own = [row for row in rows if row["language"] == language]
            names = [each["name"] for each in own[0]["scores"]] if own else []
            if own:
                parts += [
                    f"`python benchmarks/quality_cooccurrence.py --data DIR --language {language}`, {own[0]['dim']} "
                    "dimensions: rank correlations, and shares of analogies solved.",
                    "",
                    "| vectors | " + " | ".join(names) + " |",
                    "|---|" + "--:|" * len(names),
                ]
            for row in own:
                values = " | ".join(f"{each['value']:.3f}" for each in row["scores"])
                parts.append(f"| {row['name']} | {values} |")
            parts.append("")
    return "\n".join(parts)


def words() -> str:
    parts = [jobs("words")]
    for path in sorted((ROOT / "benchmarks/results").glob("words_quality*.json")):
        parts += [
            "`python benchmarks/quality_words.py --data DIR`: dictionary words of 2 to 4 characters found (recall) and "
            "among the first 5000 (P@5000), and F1 of segmenting gold sentences: those on which options were chosen, "
            "and the others.",
            "",
            "| settings | words | recall, jieba | P@5000, jieba | recall, THUOCL | F1, chosen on | F1, others |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for row in json.loads(path.read_text()):
            shown = " | ".join(
                f"{row[key]:.3f}"
                for key in ("recall jieba", "P@5000 jieba", "recall thuocl", "F1 chosen on", "F1 others")
            )
            parts.append(f"| {row['settings']} | {row['words']} | {shown} |")
    return "\n".join([*parts, ""])


def gillespie() -> str:
    return "\n".join(map(tables, results("gillespie")))


def torch() -> str:
    parts = []
    for result in results("torch"):
        machine = result["machine"]
        parts += [
            f"`python benchmarks/bench_torch.py` on {machine['threads']} threads of an {machine['processor']} "
            f"({machine['isa']}), one run, alternately; medians, also of the ratios of each round.",
            "",
            "| what | who | ms | times ours |",
            "|---|---|--:|--:|",
            *(
                f"| {row['job']} | {row['name']} | {1e3 * row['seconds']:.3g} | {row['ratio']:.2f} |"
                for row in result["rows"]
            ),
            "",
        ]
    return "\n".join(parts)


def cuda() -> str:
    return tables_gpu(results("nvidia")) + "\n"


def put(path: Path, text: str) -> None:
    """Replace what stands between the marks of a file."""
    begin, end = "<!-- measured -->", "<!-- end -->"
    old = path.read_text(encoding="utf-8")
    path.write_text(re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.S), encoding="utf-8")


def main() -> None:
    picture()
    put(ROOT / "README.md", table() + "\n")
    for make in attention, conv, cooccurrence, gillespie, lipschitz, words:
        put(ROOT / f"docs/kernels/{make.__name__}.md", make())
    put(ROOT / "docs/frameworks.md", torch())
    put(ROOT / "docs/cuda.md", cuda())


if __name__ == "__main__":
    main()
