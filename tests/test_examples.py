"""The examples run, on little data and for few steps, and the gradients of the one that has its own are right."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kxfast as kx

FOLDER = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not beside the tests")
SENTENCES = (
    "他 们 来 自 北京 。\n我 的 朋友 来 了 。\n北京 的 朋友 走 了 。\n他 来 了 ， 我 走 了 。\n我们 都 是 朋友 。\n" * 4
)
COUPLETS = "白日依山尽，黄河入海流。\n欲穷千里目，更上一层楼。\n" * 600


def run(name: str, *arguments: str) -> str:
    pytest.importorskip("matplotlib", reason="the examples draw with matplotlib")
    command = [sys.executable, str(FOLDER / name), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_segmentation(tmp_path):
    (tmp_path / "gold.txt").write_text(SENTENCES, encoding="utf-8")
    out = run("plot_conv_segmentation.py", "--gold", f"{tmp_path}/gold.txt", "--steps", "3", "--output", str(tmp_path))
    assert "kxfast: F1" in out
    assert (tmp_path / "conv_segmentation.png").stat().st_size > 5000


def test_span(tmp_path):
    assert "questions of paragraphs kept aside" in run("plot_conv_span.py", "--steps", "2", "--output", str(tmp_path))
    assert (tmp_path / "conv_span.png").stat().st_size > 5000


def test_language_model(tmp_path):
    out = run("plot_attention_language_model.py", "--steps", "2", "--output", str(tmp_path))
    assert "sample:" in out
    assert (tmp_path / "attention_language_model.png").stat().st_size > 5000


def test_couplets(tmp_path):
    (tmp_path / "poems.txt").write_text(COUPLETS, encoding="utf-8")
    arguments = ("--corpus", f"{tmp_path}/poems.txt", "--steps", "2", "--output", str(tmp_path))
    assert "poet: " in run("plot_attention_couplets.py", *arguments)


def test_neighbours(tmp_path):
    arguments = ("--epochs", "1", "--words", "sea", "nosuchword", "--output", str(tmp_path))
    out = run("plot_cooccurrence_neighbours.py", *arguments)
    assert "sea: " in out
    assert "(nosuchword comes too seldom)" in out
    assert (tmp_path / "cooccurrence_neighbours.png").stat().st_size > 5000


def test_novel(tmp_path):
    out = run("plot_words_novel.py", "--output", str(tmp_path))
    assert "  1 宝玉 " in out  # the hero of the Dream of the Red Chamber, which the package's own text is from
    assert (tmp_path / "words_novel.png").stat().st_size > 5000


@pytest.mark.parametrize("name", ["reading", "unilm", "density"])
def test_torch(name, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    out = run(f"plot_torch_{name}.py", "--steps", "2", "--output", str(tmp_path))
    losses = re.search(r"kxfast: loss ([\d.]+).*torch: loss ([\d.]+)", out)
    assert losses is not None
    assert abs(float(losses[1]) - float(losses[2])) < 2e-3
    assert (tmp_path / f"torch_{name}.png").stat().st_size > 5000


@pytest.mark.parametrize("name", ["2d", "digits"])
def test_invertible_residual_networks(name, tmp_path):
    if name == "digits":
        pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    out = run(f"plot_lipschitz_iresnet_{name}.py", "--steps", "2", "--output", str(tmp_path))
    constants = re.search(r"proven Lipschitz constants: (.*)", out)
    assert constants is not None
    assert all(0 < float(each) < 1 for each in constants[1].split())
    assert "kept aside: " in out
    assert (tmp_path / f"lipschitz_iresnet_{name}.png").stat().st_size > 5000


@pytest.mark.parametrize("shape", [(2,), (4, 3, 4)])
def test_the_flows_gradients_are_differences(monkeypatch, shape):
    monkeypatch.syspath_prepend(str(FOLDER))
    from iresnet import Flow

    flow = Flow(shape, blocks=2, width=5, terms=40)
    x, d = np.random.default_rng(0).standard_normal((3, *shape)).astype("f"), int(np.prod(shape))
    flow.start(x)
    for _ in range(300):  # the gradient takes the vectors as constants: they are, where they have settled
        flow.normalize()
    units = np.sqrt(d) * np.broadcast_to(np.eye(d).reshape(d, 1, *shape), (d, *x.shape))
    rng, (_, gradients) = np.random.default_rng(1), flow.loss(x, units)
    for name, gradient in gradients.items():
        direction, values = rng.standard_normal(gradient.shape).astype("f"), []
        for step in (3e-3, -3e-3):
            flow.weights[name] += step * direction
            values.append(flow.loss(x, units)[0])
            flow.weights[name] -= step * direction
        difference = (values[0] - values[1]) / 6e-3
        assert abs(np.sum(gradient * direction) - difference) < 0.01 * max(1, abs(difference)), name


def test_the_transformers_gradients_are_differences(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from transformer import Transformer

    model = Transformer(11, width=8, heads=2, blocks=2)
    model.weights = {name: each.astype(np.float64) for name, each in model.weights.items()}
    rng = np.random.default_rng(0)
    ids, mask, counted = rng.integers(0, 11, (3, 7)), kx.masks.causal(), rng.random((3, 7)) < 0.8
    _, gradients = model.loss(ids, mask, counted)
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        values = []
        for step in (1e-4, -1e-4):
            model.weights[name] += step * direction
            values.append(model.loss(ids, mask, counted)[0])
            model.weights[name] -= step * direction
        difference = (values[0] - values[1]) / 2e-4
        assert abs(np.sum(gradient * direction) - difference) < 1e-4 * max(1, abs(difference)), name
