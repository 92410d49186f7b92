"""Dilated gated convolution: the worked numbers of its specification, and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from conv_inputs import BIAS, VARIANTS, M, W, X, problem
from helpers import assert_gradients, numbers

import kxfast as kx

conv = kx.conv.dilated_gated_conv1d
backward = kx.conv.dilated_gated_conv1d_backward

H = numbers(
    ".085 .1425 .28 .3775 .21 .1075 .085 .0225 .01 -.1075 -.145 -.2225 .105 .1475 .27 .3525 -.265 -.2325 -.12 -.0475"
)
A = "0.26363832 -.32218903 .58822260 .17794847 -.39750183 1.06299844 .10283546 -.03721740 0 0"
A0 = ".04841143 .08454097 .10945982 .05435466 .00463813 -.04779486 .05954476 .08661549 0 0"
B_MASKED = ".39467219 -.36024056 .59036174 .14235818 -.44901249 .82907777 .18054160 .00223259 0 0"
B_RAW = ".39467219 -.36024056 .59036174 .14235818 -.41176531 1.93432350 .18054160 .00223259 0 0"
C = ".54841143 -.91545903 1.10945982 .30435466 -.74536187 1.95220514 .15954476 -.21338451 -.12455953 -.11348958"
D = ".00007659 -.50007659 1.49996707 -.24996707 -.25003637 1.50003637 -.39986360 .19986360 -.49918596 .49918596"


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    ("variant", "printed"),
    [("A", A), ("A0", A0), ("B", B_MASKED), ("B raw", B_RAW), ("C", C), ("D", D)],
)
def test_worked_numbers(variant, printed):
    y = conv(X, W, BIAS, dilation=2, mask=M, **VARIANTS[variant])
    np.testing.assert_allclose(y.ravel(), numbers(printed), atol=5.1e-9, rtol=0)


def test_worked_kernel_and_convolution():
    np.testing.assert_allclose(
        [W[0, 0], W[1, 1], W[2, 1]],
        [[0.1, 0.15, 0.2, 0.25], [0, -0.05, -0.1, -0.15], [0.1, 0.15, 0.2, 0.25]],
        atol=1e-15,
    )
    h = kx.conv.dilated_conv1d(X, W, BIAS, dilation=2, mask=M)
    np.testing.assert_allclose(h.ravel(), H, atol=1e-15)


def test_worked_gradient():
    dx, dw, db = backward(np.ones((1, 5, 2)), X, W, BIAS, dilation=2, mask=M)
    near = {"atol": 5.1e-9, "rtol": 0}
    np.testing.assert_allclose(db, numbers("2.12168972 2.13072180 -.10865418 -.17187153"), **near)
    printed = ".65773446 .25125600 .80951450 .41350449 1.15038988 .78684521 .87840863 .44665538 0 0"
    np.testing.assert_allclose(dx.ravel(), numbers(printed), **near)
    printed = ".79899959 .80952537 .09572989 -.15173333 -.32204015 -.29779743 -.18869793 .54752514"
    np.testing.assert_allclose(dw[0].ravel(), numbers(printed), **near)
    np.testing.assert_allclose(dw.sum(), 3.59634805, **near)


GRADIENT_CASES = [
    *((name, {**keywords, **more}) for name, keywords in VARIANTS.items() for more in ({}, {"padding": "causal"})),
    ("A with dropout", {"drop_gate": 0.4, "seed": 5}),
    ("B with dropout", {"gate": "first", "drop_gate": 0.4, "seed": 5}),
]


@pytest.mark.parametrize(("name", "keywords"), GRADIENT_CASES)
@pytest.mark.parametrize("out", [3, 5])
def test_gradients(rng, name, keywords, out):
    x, w, b, mask = problem(rng, out=out)
    keywords = dict(keywords, dilation=2, mask=mask)
    arrays = [x, w, b]
    if out != 3 and keywords.get("skip") != "none":
        arrays += [rng.standard_normal((3, out)), rng.standard_normal(out)]
    here = len(arrays)
    if "norm" in keywords:
        arrays += [rng.standard_normal(out), rng.standard_normal(out), np.array(0.7)]

    def unpack(arrays):
        more = dict(keywords)
        if here == 5:
            more["shortcut"] = tuple(arrays[3:5])
        if len(arrays) > here:
            more["norm"] = tuple(arrays[here:])
        return arrays[:3], more

    def run(*arrays):
        first, more = unpack(arrays)
        return conv(*first, **more)

    grad = rng.standard_normal((2, 6, out))
    first, more = unpack(arrays)
    dx, dw, db, *rest = backward(grad, *first, **more)
    assert_gradients(run, arrays, grad, [dx, dw, db, *(each for group in rest for each in group)])


def test_gradients_without_biases(rng):
    x, w, _, mask = problem(rng, out=2)
    grad, shortcut = rng.standard_normal((2, 6, 2)), rng.standard_normal((3, 2))
    dx, dw, db, (ds, none) = backward(grad, x, w, mask=mask, shortcut=(shortcut, None))
    assert db is None
    assert none is None
    run = lambda x, w, s: conv(x, w, mask=mask, shortcut=(s, None))
    assert_gradients(run, [x, w, shortcut], grad, [dx, dw, ds])


@pytest.mark.parametrize(
    ("arrays", "grads", "result"), [("f", "d", "d"), ("d", "f", "d"), ("f", "e", "f"), ("e", "f", "f")]
)
def test_a_gradient_of_another_type_is_computed_in_the_common_one(rng, arrays, grads, result):
    x, w, b = (rng.standard_normal(shape).astype(arrays) for shape in ((2, 6, 3), (3, 3, 6), (6,)))
    grad = rng.standard_normal((2, 6, 3)).astype(grads)
    found = backward(grad, x, w, b)
    expected = backward(*(each.astype(result) for each in (grad, x, w, b)))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype.char == result
        np.testing.assert_array_equal(ours, theirs)


def stack(rng, channels=3):
    normal = rng.standard_normal
    return [
        kx.conv.GatedLayer(normal((3, channels, 4)), normal(4), 2, shortcut=(normal((channels, 2)), normal(2))),
        kx.conv.GatedLayer(normal((2, 2, 4)), None, 1, gate="first"),
        kx.conv.GatedLayer(normal((3, 2, 4)), normal(4), 4, "add", norm=(normal(2), normal(2), 0.3)),
    ]


def test_stack_is_its_layers_one_after_another(rng):
    x, *_, mask = problem(rng)
    y = x
    for layer in (layers := stack(rng)):
        fields = {name: getattr(layer, name) for name in ("dilation", "skip", "gate", "shortcut", "norm")}
        y = conv(y, layer.weight, layer.bias, mask=mask, **fields)
    np.testing.assert_array_equal(kx.conv.dgcnn(x, layers, mask=mask), y)


def test_stack_gradients(rng):
    x, *_, mask = problem(rng)
    layers = stack(rng)
    grad = rng.standard_normal((2, 6, 2))
    dx, gradients = kx.conv.dgcnn_backward(grad, x, layers, mask, drop_gate=0.2, seed=3)
    assert [len(each) for each in gradients] == [3, 2, 3]

    def run(x, *weights):
        changed = [kx.conv.GatedLayer(**{**vars(a), "weight": w}) for a, w in zip(layers, weights, strict=True)]
        return kx.conv.dgcnn(x, changed, mask=mask, drop_gate=0.2, seed=3)

    assert_gradients(run, [x, *(layer.weight for layer in layers)], grad, [dx, *(each[0] for each in gradients)])
