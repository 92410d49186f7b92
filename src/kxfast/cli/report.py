"""The page that ``kxfast bench`` writes: one HTML file with the table and a plot inside."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

from kxfast.cli.table import seconds, short

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25em .6em; border-bottom: 1px solid #ddd; }
td:nth-child(n+4), th:nth-child(n+4) { text-align: right; } th { text-align: left; } img { max-width: 100%; }
tr.first td { border-top: 2px solid #999; }
"""


def write_page(result: dict[str, Any]) -> str:
    """Return the page for a result of ``kxfast bench``."""
    machine = result["machine"]
    facts = f"{machine['processor']}, {machine['isa']}, {machine['threads']} threads, kxfast {machine['version']}"
    inputs = "small inputs (--quick)" if result["quick"] else "full inputs"
    lines, before = [], None
    for row in result["rows"]:
        key = (row["operation"], row["label"])
        rate = short(row["rate"], f"{row['unit']}/s") if row["rate"] else ""
        cells = (row["operation"], row["label"], row["engine"], seconds(row["seconds"]), rate, f"{row['speedup']:.3g}")
        mark = ' class="first"' if key != before else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        before = key
    names = ("operation", "input", "engine", "time", "rate", "× reference")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>kxfast bench</title><style>{_STYLE}</style>'
        f"<h1>kxfast bench</h1><p>{escape(facts)}; {inputs}; median times, engines in turn.</p>"
        f"{_pictures(result['rows'])}<table><tr>{head}</tr>{''.join(lines)}</table></html>\n"
    )


def _pictures(rows: list[dict[str, Any]]) -> str:
    """Return a plot for each stem."""
    stems = dict.fromkeys(row["operation"].split(".")[0] for row in rows)
    return "".join(_picture([row for row in rows if row["operation"].startswith(f"{stem}.")]) for stem in stems)


def _picture(rows: list[dict[str, Any]]) -> str:
    """Return the plot as an image inside the page, or a sentence where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return "<p>No plot: matplotlib is not installed (<code>pip install 'kxfast[bench]'</code>).</p>"
    fast = [row for row in rows if row["engine"] != "reference"]
    if not fast:
        return "<p>Only the reference was there to be timed.</p>"
    engines = {row["engine"] for row in fast}
    names = [f"{row['operation']}, {row['label']}" + (f", {row['engine']}" if len(engines) > 1 else "") for row in fast]
    ratios = [row["speedup"] for row in fast]
    figure = Figure(figsize=(10, 1 + 0.22 * len(fast)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(range(len(fast)), [ratio - 1 for ratio in ratios], left=1, color="#4477aa")
    axes.bar_label(bars, [f" {ratio:.3g}×" for ratio in ratios], fontsize=8)
    axes.set_yticks(range(len(fast)), names, fontsize=8)
    axes.set_ylim(len(fast) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlim(min([1, *ratios]) / 1.2, max([1, *ratios]) * 3)
    axes.axvline(1, color="#222", linewidth=1)
    axes.set_xlabel("times as fast as the NumPy reference")
    axes.spines[["top", "right"]].set_visible(False)
    memory = io.BytesIO()
    FigureCanvasAgg(figure).print_png(memory)
    encoded = base64.b64encode(memory.getvalue()).decode()
    return f'<p><img alt="speed-up over the reference" src="data:image/png;base64,{encoded}"></p>'
