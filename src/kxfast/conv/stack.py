"""A whole stack of dilated gated convolutions in one call, and its layers, which can keep their weights packed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kxfast import checks, devices
from kxfast.conv.arguments import Layer, dropout, gated_layer, gradient, kept_parts, sequence, unify, usual_layer
from kxfast.dispatch import implementation


@dataclass(frozen=True, eq=False)
class GatedLayer:
    """One layer of a stack; every field as the argument of that name of `dilated_gated_conv1d`.

    Kernels read weights in an order of their own. A call packs them anew, so that arrays may be changed in place
    between calls. Where weights stay as they are, `repack` packs them once and keeps the panels for all later calls.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> layer = kx.conv.GatedLayer(np.zeros((3, 4, 8)), dilation=2).repack()
    >>> layer.skip, layer.gate, layer.padding
    ('gated', 'last', 'same')

    """

    weight: Any
    bias: Any = None
    dilation: int = 1
    skip: str = "gated"
    gate: str = "last"
    padding: str = "same"
    mask_input: bool | None = None
    shortcut: Any = None
    norm: Any = None
    _packed: Any = field(default=None, init=False, repr=False)

    def repack(self) -> GatedLayer:
        """Pack `weight` as it is now, forward and backward, and keep the panels for `dgcnn` and `dgcnn_backward`.

        From then on a change of the array `weight` in place is **not seen** until `repack` is called again; biases and
        the arrays of `shortcut` and `norm` are read at each call. Any number of threads may use a layer while another
        repacks it: a call has the panels of before or of after. They take up to five times the memory of the weight,
        serve calls in the weight's own type, and are left behind when a layer is copied or pickled. The reference
        backend keeps nothing and reads `weight`.

        Returns
        -------
        GatedLayer
            This one.

        Raises
        ------
        TypeError, ValueError
            If a field has the wrong type, shape or range.

        Examples
        --------
        >>> import numpy as np, kxfast as kx
        >>> layers = [kx.conv.GatedLayer(np.zeros((3, 2, 4)), dilation=r).repack() for r in (1, 2)]
        >>> kx.conv.dgcnn(np.ones((1, 5, 2)), layers)[0, 0].tolist()
        [0.25, 0.25]

        """
        weight = checks.floating("weight", self.weight, ndim=3, half=True)
        _, (layer,) = unify([], [gated_layer("", weight.shape[1], True, self)])
        object.__setattr__(self, "_packed", implementation("conv", "packed", None, layer.weight.dtype.char)(layer))
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave the panels behind: they are of this process and of this instruction set."""
        return {**self.__dict__, "_packed": None}

    @property
    def packed(self) -> Any:
        """What a backend keeps of the weight."""
        return self._packed


@dataclass(frozen=True, eq=False)
class Kept:
    """What `dgcnn` keeps of a forward pass for `dgcnn_backward`: memory of 3 results a layer in place of time.

    Attributes
    ----------
    inputs : tuple of arrays, shapes (B, L, D)
        The input of each layer.
    parts : tuple of arrays, shapes (B, L, 2F)
        Candidates and their shares, as `dilated_gated_conv1d` returns them.

    """

    inputs: tuple[Any, ...]
    parts: tuple[Any, ...]


def _same_layers(kept: Any, count: int) -> None:
    if not isinstance(kept, Kept):
        raise TypeError(f"kept must be what dgcnn returned for return_kept=True; got {type(kept).__name__}")
    if not len(kept.inputs) == len(kept.parts) == count:
        raise ValueError(f"kept must be of a call with the same {count} layers; got {len(kept.parts)} of them")


def _given(kept: Any, layers: list[Layer], x: checks.Array) -> list[tuple[checks.Array, checks.Array]] | None:
    """Return what a forward call has kept as backends receive it."""
    if kept is None:
        return None
    _same_layers(kept, len(layers))
    place, given = x.shape[:2], []
    for i, layer in enumerate(layers):
        shapes = (*place, layer.weight.shape[1]), (*place, 2 * layer.channels)
        first = kept_parts(f"kept.inputs[{i}]", kept.inputs[i], shapes[0], x.dtype)
        given.append((first, kept_parts(f"kept.parts[{i}]", kept.parts[i], shapes[1], x.dtype)))
    return given


def _places(layers: Any) -> list[tuple[str, GatedLayer]]:
    """Return layers, each with what stands before its arguments' names in messages."""
    if isinstance(layers, GatedLayer) or not isinstance(layers, Iterable):
        raise TypeError(f"layers must be a sequence of GatedLayer; got {type(layers).__name__}")
    found = []
    for i, layer in enumerate(layers):
        if not isinstance(layer, GatedLayer):
            raise TypeError(f"layers[{i}] must be a GatedLayer; got {type(layer).__name__}")
        found.append((f"layers[{i}].", layer))
    if not found:
        raise ValueError("layers must hold at least one layer; got none")
    return found


def _checked(layers: Any, x: checks.Array, has_mask: bool) -> list[Layer]:
    checked: list[Layer] = []
    channels = x.shape[2]
    for place, layer in _places(layers):
        found = None
        if channels == x.shape[2] and layer.shortcut is None and layer.norm is None:
            options = layer.dilation, layer.skip, layer.gate, layer.padding, layer.mask_input
            found = usual_layer(x, has_mask, layer.weight, layer.bias, options, layer.packed)
        checked.append(found or gated_layer(place, channels, has_mask, layer))
        channels = checked[-1].channels
    return checked


def dgcnn(
    x: Any,
    layers: Iterable[GatedLayer],
    *,
    mask: Any = None,
    drop_gate: float = 0.0,
    seed: Any = None,
    return_kept: bool = False,
    backend: str | None = None,
    out: Any = None,
) -> Any:
    """Apply layers of dilated gated convolution one after another.

    Parameters
    ----------
    x : array, shape (B, L, D)
    layers : sequence of GatedLayer
        At least one. Layer 0 has D channels in, each other layer as many as the one before has out.
    mask : array, shape (B, L) or (B, L, 1), optional
        Booleans or 0/1, 1 for real positions; the same for all layers.
    drop_gate : float
        Training: as in `dilated_gated_conv1d`, in every layer; layer i uses the key of `seed` plus i.
    seed : int, SeedSequence or Generator, optional
        Of the dropped gates.
    return_kept : bool
        Also return what `dgcnn_backward` needs so as not to compute the layers again.
    backend : str, optional
        See `kxfast.use_backend`.
    out : array, shape (B, L, F) of the last layer, optional
        Where to put the result.

    Returns
    -------
    y : array, shape (B, L, F)
        Half types are computed in float32 through all layers and rounded once, at the end.
    kept : Kept, only if `return_kept`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    With kernel size 3 and dilations r a position sees 1 + 2 sum(r) positions. Without `return_kept` a large batch
    passes through all layers piece by piece, so that the memory needed beside `x` and the result does not grow with
    the batch; a long sequence is cut where that is small beside a piece of it, and its results then depend on the cut
    within the rounding of the type. Source: articles 5409 and 6906 of kexue.fm.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> rng = np.random.default_rng(0)
    >>> layers = [kx.conv.GatedLayer(rng.standard_normal((3, 4, 8)), dilation=r) for r in (1, 2, 4)]
    >>> kx.conv.dgcnn(rng.standard_normal((2, 9, 4)), layers).shape
    (2, 9, 4)

    """
    if devices.wanted((x,), backend):
        from kxfast.conv.device import stack_there

        result, parts = stack_there(x, _places(layers), mask, drop_gate, seed, return_kept, out)
        return result if parts is None else (result, Kept(*parts))
    array, m = sequence(x, mask)
    checked = _checked(layers, array, m is not None)
    rate, key = dropout(drop_gate, seed)
    (array,), checked = unify([array], checked)
    inputs = {f"layers[{i}].weight": layer.weight for i, layer in enumerate(checked)}
    target = checks.output(out, (*array.shape[:2], checked[-1].channels), array.dtype, x=array, **inputs)
    kept: list[Any] | None = [] if checks.boolean("return_kept", return_kept) else None
    result = implementation("conv", "dgcnn", backend, array.dtype.char)(array, checked, m, rate, key, target, kept)
    result = result if out is not None else checks.like(result, x)
    return result if kept is None else (result, Kept(*map(tuple, zip(*kept, strict=True))))


def dgcnn_backward(
    grad: Any,
    x: Any,
    layers: Iterable[GatedLayer],
    mask: Any = None,
    *,
    drop_gate: float = 0.0,
    seed: Any = None,
    kept: Kept | None = None,
    backend: str | None = None,
) -> tuple[Any, list[tuple[Any, ...]]]:
    """Return the gradients of ``sum(grad * dgcnn(x, layers, mask=mask))``.

    Parameters
    ----------
    grad : array, shape (B, L, F) of the last layer
        Gradient of the result.
    x, layers, mask, drop_gate, backend
        As in `dgcnn`.
    seed : int or SeedSequence
        The one of the forward call; needed if `drop_gate` is above 0.
    kept : Kept, optional
        What `dgcnn` with the same arguments returned for ``return_kept=True``. Without it the inputs, candidates and
        gates of all layers are computed again.

    Returns
    -------
    dx : array, shape (B, L, D)
    gradients : list of tuples, one for each layer
        ``(dweight, dbias)`` and what else that layer has, as in `dilated_gated_conv1d_backward`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.

    Notes
    -----
    Source: as for `dgcnn`.

    Examples
    --------
    >>> import numpy as np, kxfast as kx
    >>> layers = [kx.conv.GatedLayer(np.zeros((3, 2, 4)), np.zeros(4))] * 2
    >>> dx, gradients = kx.conv.dgcnn_backward(np.ones((1, 5, 2)), np.ones((1, 5, 2)), layers)
    >>> float(dx[0, 0, 0]), len(gradients)  # each layer halves
    (0.25, 2)

    """
    if devices.wanted((x,), backend):
        from kxfast.conv.device import stack_back_there

        places = _places(layers)
        if kept is not None:
            _same_layers(kept, len(places))
        return stack_back_there(grad, x, places, mask, drop_gate, seed, kept)
    array, m = sequence(x, mask)
    checked = _checked(layers, array, m is not None)
    rate, key = dropout(drop_gate, seed, backward=True)
    dy = gradient(grad, (*array.shape[:2], checked[-1].channels))
    (array, dy), checked = unify([array, dy], checked)
    dx, gradients = implementation("conv", "dgcnn_backward", backend, array.dtype.char)(
        dy, array, checked, m, rate, key, _given(kept, checked, array)
    )
    return checks.like(dx, x), gradients
