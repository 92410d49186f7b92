"""Steps of usual arguments are served at once, with the same bits; all others as before, errors too."""

import numpy as np
import pytest

import kxfast as kx
from kxfast import dispatch, settings

core = settings.native()
pytestmark = pytest.mark.skipif(core is None, reason="the compiled module is not built")

normalize = kx.lipschitz.spectral_normalize
NAME = "kxfast.lipschitz.training.at_once"


def layers(kind=np.float32):
    rng = np.random.default_rng(3)
    shapes = (40, 30), (7, 7), (1, 90), (64, 16)
    normal = lambda *shape: rng.standard_normal(shape).astype(kind)
    return [[normal(*s) for s in shapes], [normal(s[0]) for s in shapes], [normal(s[1]) for s in shapes]]


def copies(lists):
    return [[each.copy() for each in one] for one in lists]


def bits(nest):
    if isinstance(nest, (list, tuple)):
        return [type(nest), *map(bits, nest)]
    return nest.dtype, nest.shape, nest.tobytes()


@pytest.fixture
def slowly(monkeypatch):
    """Call a function as if nothing were served at once."""

    def call(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(NAME, lambda *_: lambda *_: None)
            return normalize(*args, **options)

    return call


@pytest.fixture
def counted(monkeypatch):
    """Count the calls that are served at once."""
    served = []

    def at_once(*which):
        def call(*args):
            found = dispatch.at_once(*which)(*args)
            served.append(found is not None)
            return found

        return call

    monkeypatch.setattr(NAME, at_once)
    return served


@pytest.mark.parametrize("mode", ["soft", "hard", "scale_only"])
@pytest.mark.parametrize("n_iter", [0, 1, 5])
@pytest.mark.parametrize("out", [None, "new", "in place"])
@pytest.mark.parametrize("coeff", [0.7, 100.0])
def test_the_same_bits(slowly, counted, mode, n_iter, out, coeff):
    given = layers()
    results = []
    for run in normalize, slowly:
        w, u, v = copies(given)
        target = {None: None, "new": [np.zeros_like(each) for each in w], "in place": w}[out]
        found = run(w, u, v, coeff=coeff, n_iter=n_iter, mode=mode, out=target)
        if target is not None and mode != "scale_only":
            assert all(a is b for a, b in zip(found[0], target, strict=True))
            assert found[0] is not target
        results.append(bits([found, w, u, v, target or []]))
    assert results[0] == results[1]
    assert counted == [True]


UNUSUAL = {
    "tuples": lambda w, u, v: ((tuple(w), u, v), {}),
    "doubles": lambda w, u, v: (layers(np.float64), {}),
    "a number that is whole": lambda w, u, v: ((w, u, v), {"coeff": 1}),
    "NumPy's number": lambda w, u, v: ((w, u, v), {"n_iter": np.int64(2)}),
    "a kernel": lambda w, u, v: (([w[0].reshape(40, 5, 6), *w[1:]], u, v), {}),
    "rows apart": lambda w, u, v: (([np.hstack([w[0], w[0]])[:, :30], *w[1:]], u, v), {}),
    "no layers": lambda w, u, v: (([], [], []), {}),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_other_arguments_are_served_as_before(counted, name):
    args, options = UNUSUAL[name](*layers())
    wanted = normalize(*copies(args), **options, backend="reference")
    found = normalize(*args, **options)
    assert not any(counted)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)
    for a, b in zip(found[0], wanted[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * abs(b).max())


WRONG = {
    "coeff": ({"coeff": 0.0}, ValueError),
    "an infinite coeff": ({"coeff": float("inf")}, ValueError),
    "a coeff that is none": ({"coeff": float("nan")}, ValueError),
    "n_iter": ({"n_iter": -1}, ValueError),
    "true": ({"n_iter": 1.0}, TypeError),
    "mode": ({"mode": "softly"}, ValueError),
    "backend": ({"backend": "fast"}, ValueError),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_those_of_before(slowly, name):
    options, error = WRONG[name]
    with pytest.raises(error) as found:
        normalize(*layers(), **options)
    with pytest.raises(error) as wanted:
        slowly(*layers(), **options)
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("where", range(3))
def test_what_is_not_finite_changes_nothing(where):
    given = layers()
    given[where][2][..., 0] = np.nan
    before = bits(given)
    out = [np.full_like(each, 3) for each in given[0]]
    with pytest.raises(ValueError, match=rf"{('weights', 'us', 'vs')[where]}\[2\] must be finite; got nan"):
        normalize(*given, n_iter=0, out=out)
    assert bits(given) == before


@pytest.mark.parametrize("shorter", range(3))
def test_lists_of_other_lengths_and_shapes_are_errors(shorter):
    given = layers()
    given[shorter].pop()
    with pytest.raises(ValueError, match="entries to match"):
        normalize(*given)
    given = layers()
    given[shorter][0] = np.ones((4, 4) if shorter == 0 else 4, np.float32)
    with pytest.raises(ValueError, match="must"):
        normalize(*given)


def test_a_backend_that_is_asked_for_serves(counted):
    with kx.use_backend("reference"):
        normalize(*layers())
    normalize(*layers(), backend="native")
    assert counted == [False, True]
