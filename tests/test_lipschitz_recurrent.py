"""Jacobians of recurrent networks against finite differences of the networks, and the scalar forms of the article."""

from __future__ import annotations

import numpy as np
import pytest

import kxfast as kx

L = kx.lipschitz
T, N = 4, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_differences(step, x, size=1e-6):
    columns = [(step(x + size * e) - step(x - size * e)) / (2 * size) for e in np.eye(len(x))]
    return np.stack(columns, axis=1)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(8)
    return rng.standard_normal((5, T, N)), [rng.standard_normal((N, N)) for _ in range(3)]


def test_simple_network(drawn):
    (inputs, before, *_), (u, *_) = drawn

    def step(t, h):
        return np.tanh(inputs[t] + u @ h)

    found = L.rnn_jacobians(np.stack([step(t, before[t]) for t in range(T)]), u)
    for t in range(T):
        np.testing.assert_allclose(found[t], by_differences(lambda h, t=t: step(t, h), before[t]), atol=1e-8)


def test_lstm_along_its_cells(drawn):
    (a, b, c, cells, outputs), us = drawn
    outputs = sigmoid(outputs)

    def gates(t, cell):
        h = outputs[t] * np.tanh(cell)
        f, i, g = (x[t] + u @ h for x, u in zip((a, b, c), us, strict=True))
        return sigmoid(f), sigmoid(i), np.tanh(g)

    def step(t, cell):
        f, i, g = gates(t, cell)
        return f * cell + i * g

    f, i, g = (np.stack(each) for each in zip(*(gates(t, cells[t]) for t in range(T)), strict=True))
    found = L.lstm_jacobians(cells, outputs, f, i, g, us)
    for t in range(T):
        np.testing.assert_allclose(found[t], by_differences(lambda x, t=t: step(t, x), cells[t]), atol=1e-8)


def test_gru(drawn):
    (a, b, c, before, _), (u_z, u_r, u_h) = drawn

    def gates(t, h):
        z, r = sigmoid(a[t] + u_z @ h), sigmoid(b[t] + u_r @ h)
        return z, r, np.tanh(c[t] + u_h @ (r * h))

    def step(t, h):
        z, _, g = gates(t, h)
        return (1 - z) * h + z * g

    z, r, g = (np.stack(each) for each in zip(*(gates(t, before[t]) for t in range(T)), strict=True))
    found = L.gru_jacobians(before, z, r, g, (u_z, u_r, u_h))
    for t in range(T):
        np.testing.assert_allclose(found[t], by_differences(lambda x, t=t: step(t, x), before[t]), atol=1e-8)


def test_scalar_forms():
    """The formulas of the article, with one unit."""
    h, z, r, g, u_z, u_r, u_h = 0.3, 0.6, 0.7, -0.2, 1.1, -0.4, 0.9
    expected = 1 - z - z * (1 - z) * h * u_z + z * (1 - z) * g * u_z
    expected += z * (1 - g * g) * r * (1 + (1 - r) * h * u_r) * u_h
    one = [np.array([[x]]) for x in (h, z, r, g)]
    assert L.gru_jacobians(*one, [np.array([[u]]) for u in (u_z, u_r, u_h)]).item() == pytest.approx(expected)
    c, o, f, i = 0.8, 0.5, 0.9, 0.35
    slope = o * (1 - np.tanh(c) ** 2)
    expected = f + c * f * (1 - f) * slope * u_z + g * i * (1 - i) * slope * u_r + i * (1 - g * g) * slope * u_h
    one = [np.array([[x]]) for x in (c, o, f, i, g)]
    assert L.lstm_jacobians(*one, [np.array([[u]]) for u in (u_z, u_r, u_h)]).item() == pytest.approx(expected)


def test_no_steps_and_single_precision():
    made = L.rnn_jacobians(np.zeros((0, 2), np.float32), np.eye(2, dtype=np.float32))
    assert (made.shape, made.dtype) == ((0, 2, 2), np.float32)
