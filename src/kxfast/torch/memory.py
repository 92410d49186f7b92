"""Steps of spectral normalisation on tensors as they are: 64 small layers as arrays cost more than the step itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kxfast.dispatch import implementation
from kxfast.torch.arrays import PLAIN, transforms_active

_TABLE = getattr(Tensor, "__dlpack_c_exchange_api__", None)  # DLPack's functions; older versions of torch have none
_OWN = frozenset(PLAIN)


def _plain(xs: Sequence[Tensor]) -> bool:
    """Whether these are tensors of torch's own classes, with the signs that their memory says."""
    return set(map(type, xs)) <= _OWN and not any(map(Tensor.is_neg, xs))


class Step:
    """A step on tensors that need no conversion, and what its gradient needs: copies of the vectors after it."""

    sigmas: Any  # (layers,)
    shapes: Any  # (layers, 2)
    vectors: Any  # u and v of the first layer, of the second and so on

    def __init__(self, wide: bool, coeff: float, mode: str) -> None:
        self.wide, self.coeff, self.hard = wide, coeff, mode == "hard"

    @classmethod
    def run(
        cls, weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor], coeff: float, n_iter: int, mode: str
    ) -> tuple[list[Tensor], Step] | None:
        """Return the scaled weights and the step; None, with nothing done, for what takes another way."""
        usual = _TABLE is not None and mode in ("soft", "hard") and 0 < coeff < float("inf")
        if not usual or type(n_iter) is not int or n_iter < 0 or transforms_active():
            return None
        us, vs = tuple(us), tuple(vs)
        if not (_plain(weights) and _plain(us) and _plain(vs)):
            return None
        step = cls(weights[0].dtype is torch.float64, coeff, mode)
        made = [torch.empty_like(w) for w in weights]
        serve: Any = implementation("lipschitz", "spectral_normalize_of")
        found = serve(_TABLE, step.wide, weights, us, vs, made, coeff, n_iter, step.hard)
        if found is None:
            return None
        step.sigmas, step.shapes, step.vectors = found
        return made, step

    def gradients(self, grads: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor] | None:
        """Return the gradients of the weights, or None for what takes another way."""
        grads = [g.contiguous() for g in grads]
        if not (_plain(grads) and _plain(weights)):
            return None
        made = [torch.empty_like(w) for w in weights]
        serve: Any = implementation("lipschitz", "spectral_normalize_gradients_of")
        kept = self.sigmas, self.shapes, self.vectors
        return made if serve(_TABLE, self.wide, grads, weights, made, *kept, self.coeff, self.hard) else None

    def state(self) -> tuple[list[Any], list[Any]]:
        """Return u and v of each layer as they were after the step."""
        parts = np.split(self.vectors, self.shapes.ravel().cumsum()[:-1])
        return parts[::2], parts[1::2]
