from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

class NetworkFloat32:
    """
    Layers, packed; arrays are (batch, pixels * channels), channels last.
    """
    def __init__(self, layers: list[typing.Any], filtered: bool, forward: bool) -> None: ...
    def forward(self, x: numpy.typing.NDArray[numpy.float32]) -> numpy.typing.NDArray[numpy.float32]:
        """
        The output of each sample.
        """
    def jacobian(self, x: numpy.typing.NDArray[numpy.float32]) -> numpy.typing.NDArray[numpy.float32]:
        """
        (batch, outputs, inputs).
        """
    def jvp(
        self, x: numpy.typing.NDArray[numpy.float32], tangent: numpy.typing.NDArray[numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        J t at x.
        """
    def neumann(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        probe: numpy.typing.NDArray[numpy.float32],
        terms: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        e' sum_k (-J)^k.
        """
    def series(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        probes: numpy.typing.NDArray[numpy.float32],
        factors: numpy.typing.NDArray[numpy.float64],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        sum_k (-1)^(k+1) factors[probe, k] / k e'J^k e, (probes, batch).
        """
    def trace(
        self,
        x: numpy.typing.NDArray[numpy.float32],
        tangent: numpy.typing.NDArray[numpy.float32],
        to_value: numpy.typing.NDArray[numpy.float32],
        to_tangent: numpy.typing.NDArray[numpy.float32],
    ) -> tuple[typing.Any, ...]:
        """
        Gradients for x, and what each weight met: (value, tangent, to_value, to_tangent).
        """
    def vjp(
        self, x: numpy.typing.NDArray[numpy.float32], cotangent: numpy.typing.NDArray[numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        J'g at x.
        """

class NetworkFloat64:
    """
    Layers, packed; arrays are (batch, pixels * channels), channels last.
    """
    def __init__(self, layers: list[typing.Any], filtered: bool, forward: bool) -> None: ...
    def forward(self, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        The output of each sample.
        """
    def jacobian(self, x: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """
        (batch, outputs, inputs).
        """
    def jvp(
        self, x: numpy.typing.NDArray[numpy.float64], tangent: numpy.typing.NDArray[numpy.float64]
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        J t at x.
        """
    def neumann(
        self,
        x: numpy.typing.NDArray[numpy.float64],
        probe: numpy.typing.NDArray[numpy.float64],
        terms: typing.SupportsInt | typing.SupportsIndex,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        e' sum_k (-J)^k.
        """
    def residual_inverse(
        self,
        coarse: NetworkFloat32,
        y: numpy.typing.NDArray[numpy.float64],
        lipschitz: typing.SupportsFloat | typing.SupportsIndex,
        tol: typing.SupportsFloat | typing.SupportsIndex,
        max_steps: typing.SupportsInt | typing.SupportsIndex,
        window: typing.SupportsInt | typing.SupportsIndex,
    ) -> tuple[typing.Any, ...]:
        """
        x, steps, error bounds and flags; lipschitz < 0: not known.
        """
    def series(
        self,
        x: numpy.typing.NDArray[numpy.float64],
        probes: numpy.typing.NDArray[numpy.float64],
        factors: numpy.typing.NDArray[numpy.float64],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        sum_k (-1)^(k+1) factors[probe, k] / k e'J^k e, (probes, batch).
        """
    def trace(
        self,
        x: numpy.typing.NDArray[numpy.float64],
        tangent: numpy.typing.NDArray[numpy.float64],
        to_value: numpy.typing.NDArray[numpy.float64],
        to_tangent: numpy.typing.NDArray[numpy.float64],
    ) -> tuple[typing.Any, ...]:
        """
        Gradients for x, and what each weight met: (value, tangent, to_value, to_tangent).
        """
    def vjp(
        self, x: numpy.typing.NDArray[numpy.float64], cotangent: numpy.typing.NDArray[numpy.float64]
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        J'g at x.
        """

def circular_norm(
    matrices: numpy.typing.NDArray[numpy.float64],
    places: numpy.typing.NDArray[numpy.int64],
    sides: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    twist: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
    value: typing.SupportsFloat | typing.SupportsIndex,
    tol: typing.SupportsFloat | typing.SupportsIndex,
    rise: typing.SupportsFloat | typing.SupportsIndex,
    limit: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Proven upper end; frequency, group and vector of the largest norm seen.
    """

def circular_values(
    matrices: numpy.typing.NDArray[numpy.float64],
    places: numpy.typing.NDArray[numpy.int64],
    sides: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"],
) -> numpy.typing.NDArray[numpy.float64]:
    """
    All singular values, descending.
    """

def conv_ends(
    weight: numpy.typing.NDArray[numpy.float64],
    geometry: tuple[typing.Any, ...],
    top: typing.SupportsFloat | typing.SupportsIndex,
    margin: typing.SupportsFloat | typing.SupportsIndex,
    v: numpy.typing.NDArray[numpy.float64],
) -> tuple[typing.Any, ...]:
    """
    Lower and upper end at a vector, and u and v.
    """

def conv_lanczos(
    weight: numpy.typing.NDArray[numpy.float64],
    geometry: tuple[typing.Any, ...],
    tol: typing.SupportsFloat | typing.SupportsIndex,
    upper: typing.SupportsInt | typing.SupportsIndex,
    delta: typing.SupportsFloat | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Ritz value, random upper end, steps and vector.
    """

@typing.overload
def conv_power_iteration(
    weight: numpy.typing.NDArray[numpy.float32],
    geometry: tuple[typing.Any, ...],
    u: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Power iteration with a convolution; vectors have channels last.
    """

@typing.overload
def conv_power_iteration(
    weight: numpy.typing.NDArray[numpy.float64],
    geometry: tuple[typing.Any, ...],
    u: numpy.typing.NDArray[numpy.float64],
    v: numpy.typing.NDArray[numpy.float64],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Power iteration with a convolution; vectors have channels last.
    """

@typing.overload
def digit_gram(
    a: numpy.typing.NDArray[numpy.float32],
    exponent: typing.SupportsInt | typing.SupportsIndex,
    largest: typing.SupportsFloat | typing.SupportsIndex,
    digits: typing.SupportsInt | typing.SupportsIndex,
    stages: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    For tests: the upper triangle of the Gram matrix in digits, what is apart and what is wrong.
    """

@typing.overload
def digit_gram(
    a: numpy.typing.NDArray[numpy.float64],
    exponent: typing.SupportsInt | typing.SupportsIndex,
    largest: typing.SupportsFloat | typing.SupportsIndex,
    digits: typing.SupportsInt | typing.SupportsIndex,
    stages: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    For tests: the upper triangle of the Gram matrix in digits, what is apart and what is wrong.
    """

@typing.overload
def power_iteration(
    weight: numpy.typing.NDArray[numpy.float32],
    u: numpy.typing.NDArray[numpy.float32],
    v: numpy.typing.NDArray[numpy.float32],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).
    """

@typing.overload
def power_iteration(
    weight: numpy.typing.NDArray[numpy.float64],
    u: numpy.typing.NDArray[numpy.float64],
    v: numpy.typing.NDArray[numpy.float64],
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    eps: typing.SupportsFloat | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    n_iter steps v = normalize(W'u), u = normalize(W v); returns (u'Wv, u, v).
    """

@typing.overload
def spectral_norm(
    a: numpy.typing.NDArray[numpy.float32],
    tol: typing.SupportsFloat | typing.SupportsIndex,
    upper: typing.SupportsInt | typing.SupportsIndex,
    delta: typing.SupportsFloat | typing.SupportsIndex,
    start: numpy.typing.NDArray[numpy.float64] | None,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Lower and upper ends, steps, u and v of each of a stack; upper: 0 none, 1 proof, 2 random.
    """

@typing.overload
def spectral_norm(
    a: numpy.typing.NDArray[numpy.float64],
    tol: typing.SupportsFloat | typing.SupportsIndex,
    upper: typing.SupportsInt | typing.SupportsIndex,
    delta: typing.SupportsFloat | typing.SupportsIndex,
    start: numpy.typing.NDArray[numpy.float64] | None,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[typing.Any, ...]:
    """
    Lower and upper ends, steps, u and v of each of a stack; upper: 0 none, 1 proof, 2 random.
    """

def spectral_normalize(
    weights: list[typing.Any],
    us: typing.Any,
    vs: typing.Any,
    coeff: typing.SupportsFloat | typing.SupportsIndex,
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    hard: bool,
    scaled: bool,
    outs: typing.Any,
) -> typing.Any:
    """
    Factors, sigmas and new arrays; lists of arrays are updated if all sigmas are finite. None: convert them.
    """

def spectral_normalize_at_once(
    weights: typing.Any,
    us: typing.Any,
    vs: typing.Any,
    coeff: typing.Any,
    n_iter: typing.Any,
    mode: typing.Any,
    out: typing.Any,
) -> typing.Any:
    """
    What the public function of that name returns, for usual arguments; None for others and for errors.
    """

def spectral_normalize_backward(
    grads: typing.Any,
    weights: list[typing.Any],
    us: typing.Any,
    vs: typing.Any,
    sigmas: numpy.typing.NDArray[numpy.float64],
    coeff: typing.SupportsFloat | typing.SupportsIndex,
    hard: bool,
    extra: typing.SupportsFloat | typing.SupportsIndex,
) -> typing.Any:
    """
    Gradients for the weights, and the inner products of each with its gradient. None: convert the lists.
    """

def spectral_normalize_gradients_of(
    capsule: typing.Any,
    wide: bool,
    grads: typing.Any,
    weights: typing.Any,
    outs: typing.Any,
    sigmas: numpy.typing.NDArray[numpy.float64],
    shapes: numpy.typing.NDArray[numpy.int64],
    vectors: typing.Any,
    coeff: typing.SupportsFloat | typing.SupportsIndex,
    hard: bool,
) -> bool:
    """
    Whether `outs` are set, and all products of a weight and its gradient finite.
    """

def spectral_normalize_of(
    capsule: typing.Any,
    wide: bool,
    weights: typing.Any,
    us: typing.Any,
    vs: typing.Any,
    outs: typing.Any,
    coeff: typing.SupportsFloat | typing.SupportsIndex,
    n_iter: typing.SupportsInt | typing.SupportsIndex,
    hard: bool,
) -> typing.Any:
    """
    Sigmas, shapes (layers, 2), and u and v of each layer after the step; None, nothing done: see the file.
    """

def state_step(
    weights: list[typing.Any],
    blocks: list[typing.Any],
    tol: typing.SupportsFloat | typing.SupportsIndex,
    upper: typing.SupportsInt | typing.SupportsIndex,
    seed: typing.SupportsInt | typing.SupportsIndex,
) -> list[typing.Any]:
    """
    For each layer ((lower, upper, steps), (new block, its best output, u, v)); blocks (rank, n).
    """

def usual_layers(weights: typing.Any, us: typing.Any, vs: typing.Any, like: typing.Any) -> bool:
    """
    Whether these are lists of float32 arrays, in one piece and writeable, of shapes that match.
    """
