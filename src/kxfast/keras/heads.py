"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kxfast.keras.inputs import fast_path, sequence_shape
from kxfast.masks import Mask


@keras.saving.register_keras_serializable("kxfast")
class MaskedMultiHeadAttention(keras.layers.Layer):
    """Multi-head attention under a mask of `kxfast.masks`, or a boolean array that broadcasts to (B, H, Lq, Lk).

    Called with x (B, L, D), or with [query, key, value]; ``attention_mask=`` is given to the call. Returns
    (B, Lq, `out_dim`); a query that may attend to nothing gives the output projection of 0.

    Parameters
    ----------
    heads, head_size : int
    out_dim : int, optional
        ``heads * head_size`` by default.
    key_size : int, optional
        Size of queries and keys; `head_size` by default.
    use_bias : bool
    attention_scale : bool
        Whether products are divided by the root of `key_size`.

    Notes
    -----
    Source: bert4keras, ``MultiHeadAttention``; article 6933 of kexue.fm.

    """

    def __init__(
        self,
        heads: int,
        head_size: int,
        out_dim: int | None = None,
        key_size: int | None = None,
        use_bias: bool = True,
        attention_scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.head_size, self.out_dim, self.key_size = heads, head_size, out_dim, key_size
        self.use_bias, self.attention_scale = use_bias, attention_scale
        sizes = (key_size or head_size, key_size or head_size, head_size)
        self.projections = [
            keras.layers.Dense(heads * size, use_bias=use_bias, name=name)
            for name, size in zip(("q_dense", "k_dense", "v_dense"), sizes, strict=True)
        ]
        self.o_dense = keras.layers.Dense(out_dim or heads * head_size, use_bias=use_bias, name="o_dense")

    def build(self, input_shape: Any) -> None:
        several = isinstance(input_shape[0], (list, tuple))
        shapes = list(input_shape) if several else [input_shape] * 3
        for layer, shape in zip(self.projections, shapes, strict=True):
            layer.build(shape)
        self.o_dense.build((*shapes[0][:-1], self.heads * self.head_size))

    def call(self, inputs: Any, attention_mask: Any = None) -> Any:
        several = inputs if isinstance(inputs, (list, tuple)) else [inputs] * 3
        projected = (layer(x) for layer, x in zip(self.projections, several, strict=True))
        q, k, v = (ops.transpose(ops.reshape(x, self._heads(x)), (0, 2, 1, 3)) for x in projected)
        scale = q.shape[-1] ** -0.5 if self.attention_scale else 1.0
        fast = fast_path(q)
        if fast is not None:
            out = fast.scaled_dot_product_attention(q, k, v, mask=attention_mask, scale=scale)
        else:
            out = self._attend(q, k, v, attention_mask, scale)
        out = ops.transpose(out, (0, 2, 1, 3))
        return self.o_dense(ops.reshape(out, (*ops.shape(out)[:2], self.heads * self.head_size)))

    def _heads(self, x: Any) -> tuple[Any, ...]:
        return (*ops.shape(x)[:2], self.heads, x.shape[-1] // self.heads)

    @staticmethod
    def _attend(q: Any, k: Any, v: Any, mask: Any, scale: float) -> Any:
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * scale
        if mask is None:
            return ops.matmul(ops.softmax(scores), v)
        if isinstance(mask, Mask):
            mask = mask.pattern(q.shape[0] or 1, q.shape[1], q.shape[2], k.shape[2])
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        weights = ops.softmax(ops.where(mask, scores, -1e30))
        return ops.matmul(ops.where(mask, weights, 0.0), v)  # nothing from rows without a key

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*sequence_shape(input_shape)[:-1], self.out_dim or self.heads * self.head_size)

    def get_config(self) -> dict[str, Any]:
        names = "heads", "head_size", "out_dim", "key_size", "use_bias", "attention_scale"
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
