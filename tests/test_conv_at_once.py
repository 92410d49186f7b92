"""Calls of usual arguments are served at once, with the same bits; all others as before, errors too."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch, settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")

forward, backward = kx.conv.dilated_gated_conv1d, kx.conv.dilated_gated_conv1d_backward


def arrays(kind=np.float32, channels=24, columns=48):
    rng = np.random.default_rng(11)
    normal = lambda *shape: rng.standard_normal(shape).astype(kind)
    x, weight, bias = normal(3, 31, channels), normal(3, channels, columns) / 4, normal(columns)
    return normal(3, 31, columns // 2), x, weight, bias, rng.random((3, 31)) < 0.7


@pytest.fixture
def slowly(monkeypatch):
    """Call a function as if nothing were served at once."""

    def call(function, *args, **options):
        with monkeypatch.context() as patch:
            patch.setattr("kxfast.conv.gated.at_once", lambda *_: lambda *_: None)
            return function(*args, **options)

    return call


@pytest.fixture
def counted(monkeypatch):
    """Count the calls that are served at once."""
    served = []

    def at_once(stem, name, backend=None):
        run = dispatch.at_once(stem, name, backend)

        def call(*args):
            found = run(*args)
            served.append(found is not None)
            return found

        return call

    monkeypatch.setattr("kxfast.conv.gated.at_once", at_once)
    return served


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert type(a) is type(b)
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("skip", ["gated", "add", "none"])
@pytest.mark.parametrize(("gate", "padding"), [("last", "same"), ("first", "same"), ("last", "causal")])
def test_the_same_bits(slowly, counted, kind, masked, biased, skip, gate, padding):
    grad, x, weight, bias, mask = arrays(kind, columns=48 if skip != "none" else 20)
    given = x, weight, bias if biased else None
    options = {"mask": mask if masked else None, "skip": skip, "gate": gate, "padding": padding, "dilation": 3}
    y, parts = found = forward(*given, return_parts=True, **options)
    same((*found, forward(*given, **options)), (*found, y))
    gradients = backward(grad, *given, parts=parts, **options), backward(grad, *given, **options)
    assert counted == [True] * 4
    same(found, slowly(forward, *given, return_parts=True, **options))
    for each, kept in zip(gradients, (parts, None), strict=True):
        assert type(each) is tuple
        same(each, slowly(backward, grad, *given, parts=kept, **options))


class Named(np.ndarray):
    """An array of somebody else's class."""


class Word(str):
    """A string of somebody else's class."""


UNUSUAL = {
    "a subclass": lambda g, x, w, b, m: ((g, x.view(Named), w, b), {}),
    "rows apart": lambda g, x, w, b, m: ((g, np.concatenate([x, x], 2)[..., :24], w, b), {}),
    "a weight in Fortran's order": lambda g, x, w, b, m: ((g, x, np.asfortranarray(w), b), {}),
    "two types": lambda g, x, w, b, m: ((g, x, w.astype(np.float64), b), {}),
    "half a type": lambda g, x, w, b, m: ((g.astype("e"), x.astype("e"), w.astype("e"), b.astype("e")), {}),
    "the other byte order": lambda g, x, w, b, m: ((g, x.astype(">f4"), w, b), {}),
    "a list": lambda g, x, w, b, m: ((g, x, w.tolist(), b), {}),
    "a bias of another type": lambda g, x, w, b, m: ((g, x, w, b.astype(np.float64)), {}),
    "a mask of numbers": lambda g, x, w, b, m: ((g, x, w, b), {"mask": m.astype(int)}),
    "a mask with an axis more": lambda g, x, w, b, m: ((g, x, w, b), {"mask": m[..., None]}),
    "NumPy's number": lambda g, x, w, b, m: ((g, x, w, b), {"dilation": np.int64(2)}),
    "a large dilation": lambda g, x, w, b, m: ((g, x, w, b), {"dilation": 10**30}),
    "a word of another class": lambda g, x, w, b, m: ((g, x, w, b), {"skip": Word("add")}),
    "a mask for inputs": lambda g, x, w, b, m: ((g, x, w, b), {"mask": m, "mask_input": False}),
    "dropped gates": lambda g, x, w, b, m: ((g, x, w, b), {"drop_gate": 0.5, "seed": 3}),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_other_arguments_are_served_as_before(counted, name):
    args, options = UNUSUAL[name](*arrays())
    y = forward(*args[1:], **options)
    gradients = backward(*args, **options)
    assert not any(counted)
    wanted = forward(*args[1:], **options, backend="reference")
    tolerance = 1e-2 if name == "half a type" else 1e-5
    np.testing.assert_allclose(
        y.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=tolerance * abs(wanted).max()
    )
    for a, b in zip(gradients, backward(*args, **options, backend="reference"), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype("d"), b.astype("d"), rtol=0, atol=5 * tolerance * abs(b).max())


WRONG = {
    "x": ({"x": np.ones((3, 4), "f")}, ValueError),
    "weight": ({"weight": np.ones((3, 23, 48), "f")}, ValueError),
    "an odd weight": ({"weight": np.ones((3, 24, 47), "f")}, ValueError),
    "no taps": ({"weight": np.ones((0, 24, 48), "f")}, ValueError),
    "shortcut": ({"weight": np.ones((3, 24, 20), "f"), "bias": None}, ValueError),
    "bias": ({"bias": np.ones(47, "f")}, ValueError),
    "mask": ({"mask": np.ones((3, 30), bool)}, ValueError),
    "dilation": ({"dilation": 0}, ValueError),
    "negative": ({"dilation": -1}, ValueError),
    "true": ({"dilation": 1.5}, TypeError),
    "skip": ({"skip": "gate"}, ValueError),
    "gate": ({"gate": "middle"}, ValueError),
    "padding": ({"padding": "valid"}, ValueError),
    "backend": ({"backend": "fast"}, ValueError),
    "no backend": ({"backend": ["native"]}, TypeError),
    "return_parts": ({"return_parts": 2}, TypeError),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_those_of_before(slowly, name):
    change, error = WRONG[name]
    grad, x, weight, bias, _ = arrays()
    given = {"x": x, "weight": weight, "bias": bias, **change}
    with pytest.raises(error) as found:
        forward(**given)
    with pytest.raises(error) as wanted:
        slowly(forward, **given)
    assert str(found.value) == str(wanted.value)
    given.pop("return_parts", None)
    if name != "return_parts":
        with pytest.raises(error):
            backward(grad, **given)


@pytest.mark.parametrize(("name", "wrong"), [("grad", (3, 31, 23)), ("parts", (3, 31, 47)), ("parts", (3, 30, 48))])
def test_a_wrong_gradient_is_an_error(name, wrong):
    grad, x, weight, bias, _ = arrays()
    given = {"grad": grad, "parts": None, name: np.ones(wrong, "f")}
    with pytest.raises(ValueError, match=f"^{name} must"):
        backward(given["grad"], x, weight, bias, parts=given["parts"])


def test_a_backend_that_is_asked_for_serves(counted):
    grad, x, weight, bias, _ = arrays()
    with kx.use_backend("reference"):
        y = forward(x, weight, bias)
        backward(grad, x, weight, bias)
    assert counted == [False, False]
    assert y.tobytes() == forward(x, weight, bias, backend="reference").tobytes()
    forward(x, weight, bias, backend="native")
    assert counted == [False, False, False, True]


def test_read_only_arrays_and_empty_batches(counted):
    grad, x, weight, bias, _ = arrays()
    for each in (grad, x, weight, bias):
        each.flags.writeable = False
    forward(x, weight, bias)
    backward(grad, x, weight, bias)
    assert forward(x[:0], weight, bias).shape == (0, 31, 24)
    assert forward(x[:, :0].copy(), weight, bias).shape == (3, 0, 24)
    dx, dweight, dbias = backward(grad[:0], x[:0], weight, bias)
    assert dx.shape == (0, 31, 24)
    assert not dweight.any()
    assert not dbias.any()
    assert all(counted)
