"""Wrong calls of the stem attention: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

a = kx.attention
attend, back = a.scaled_dot_product_attention, a.scaled_dot_product_attention_backward
Q, K, V = np.ones((2, 4, 3, 8)), np.ones((2, 2, 5, 8)), np.ones((2, 2, 5, 6))
OUT, LSE = np.ones((2, 4, 3, 6)), np.ones((2, 4, 3))
CACHE = a.KVCache(2, 2, 8, 6)
ONE = np.ones((2, 2, 1, 8)), np.ones((2, 2, 1, 6))
step = lambda ids, rows: np.ones((len(ids), 3)) / 3
search = lambda step=step, **keywords: a.beam_search(step, **{"end_id": 0, "max_length": 3, **keywords})
draw = lambda **keywords: a.sample(step, **{"end_id": 0, "max_length": 3, **keywords})

CALLS = [
    (lambda: attend(Q[0], K, V), ValueError, "q must have 4 dimensions; got shape (4, 3, 8)"),
    (lambda: attend("q", K, V), TypeError, "q must be an array of numbers; got str"),
    (lambda: attend(Q + 1j, K, V), TypeError, "q must be float32, float64, float16 or bfloat16; got complex128"),
    (
        lambda: attend(Q, K[..., :4], V),
        ValueError,
        "k must have shape (2, Hkv, Lk, 8) to match q's batch and head size; got (2, 2, 5, 4)",
    ),
    (lambda: attend(Q, K[:1], V), ValueError, "k must have shape (2, Hkv, Lk, 8) to match q's batch and head size"),
    (lambda: attend(Q, K, V[:, :, :4]), ValueError, "v must have shape (2, 2, 5, Dv) to match k; got (2, 2, 4, 6)"),
    (lambda: attend(Q[:, :3], K, V), ValueError, "q must have a multiple of k's 2 heads; got 3"),
    (lambda: attend(Q, K[:, :0], V[:, :0]), ValueError, "q must have a multiple of k's 0 heads; got 4"),
    (
        lambda: attend(Q, K, V, mask=np.ones((3, 4))),
        ValueError,
        "mask must broadcast to (B, H, Lq, Lk) = (2, 4, 3, 5); got shape (3, 4)",
    ),
    (
        lambda: attend(Q, K, V, mask=np.ones((2, 5))),
        ValueError,
        "got shape (2, 5); insert axes for heads (and queries): mask[:, None, None]",
    ),
    (
        lambda: attend(Q, K, V, mask=np.ones((2, 3, 5))),
        ValueError,
        "got shape (2, 3, 5); insert axes for heads (and queries): mask[:, None]",
    ),
    (lambda: attend(Q, K, V, mask=np.full(5, 0.5)), TypeError, "mask must be booleans or 0/1; got float64"),
    (lambda: attend(Q, K, V, mask="causal"), TypeError, "mask must be an array of numbers; got str"),
    (lambda: attend(Q, K, V, mask=kx.masks.padding([1, 2, 3])), ValueError, "lengths must have shape (2,) to match"),
    (lambda: attend(Q, K, V, bias=np.ones((3, 3, 5))), ValueError, "bias must broadcast to (B, H, Lq, Lk)"),
    (lambda: attend(Q, K, V, bias="x"), TypeError, "bias must be an array of numbers; got str"),
    (lambda: attend(Q, K, V, scale="x"), TypeError, "scale must be a number; got str 'x'"),
    (lambda: attend(Q, K, V, scale=np.inf), ValueError, "scale must be finite; got inf"),
    (lambda: attend(Q, K, V, return_lse=1), TypeError, "return_lse must be True or False; got int 1"),
    (lambda: attend(Q, K, V, out=Q), ValueError, "out must be float64 of shape (2, 4, 3, 6); got float64 of shape"),
    (lambda: attend(Q, K, V, out=OUT.astype("f")), ValueError, "out must be float64 of shape (2, 4, 3, 6)"),
    (lambda: attend(Q, K, V, backend="gpu"), ValueError, "backend must be one of native, numba, cuda, reference"),
    (lambda: back(Q, Q, K, V, OUT, LSE), ValueError, "grad must have shape (2, 4, 3, 6) (B, H, Lq, Dv) to match q and"),
    (lambda: back(OUT, Q, K, V, OUT, LSE[0]), ValueError, "lse must have 3 dimensions; got shape (4, 3)"),
    (lambda: back(OUT, Q, K, V, None, LSE), TypeError, "out must be an array of numbers; got NoneType"),
    (lambda: back(OUT, Q, K, V, OUT, LSE, need_dbias=True), ValueError, "need_dbias must be False without a bias"),
    (lambda: a.rotary(np.ones((2, 3))), ValueError, "x's last axis must be even; got 3"),
    (lambda: a.rotary(np.ones(4)), ValueError, "x must have at least 2 dimensions (..., L, D); got shape (4,)"),
    (lambda: a.rotary(Q, [0, 1]), ValueError, "positions must broadcast to (2, 4, 3), x's shape without the last axis"),
    (lambda: a.rotary(Q, base=0), ValueError, "base must be above 0; got 0"),
    (lambda: a.sinusoidal(3, 5), ValueError, "dim must be even; got 5"),
    (lambda: a.sinusoidal(-1, 4), ValueError, "positions must be at least 0; got -1"),
    (lambda: a.sinusoidal(3, 4, layout="tf"), ValueError, "layout must be one of 'interleaved', 'blocks'; got str"),
    (lambda: a.KVCache(2, -1, 4), ValueError, "heads must be at least 0; got -1"),
    (lambda: a.KVCache(2, 1, 4, dtype="int64"), TypeError, "dtype must be float32, float64, float16 or bfloat16"),
    (lambda: CACHE.append(K, K), ValueError, "v must have shape (2, 2, n, 6) to match the cache; got (2, 2, 5, 8)"),
    (lambda: CACHE.append(K, V[:, :, :2]), ValueError, "v must have shape (..., 5, Dv) to match k; got (2, 2, 2, 6)"),
    (lambda: CACHE.truncate(9), ValueError, "length must be from 0 to 0; got 9"),
    (lambda: CACHE.select([0, 2]), ValueError, "rows must be below 2, the cache's batch; got 2"),
    (lambda: a.decode(Q, *ONE, {}), TypeError, "cache must be a KVCache; got dict"),
    (lambda: a.decode(Q, *ONE, CACHE), ValueError, "q must have shape (B, H, 1, D) to match k's 1 new tokens"),
    (lambda: a.Trie("ab"), TypeError, "passages must be an iterable of token sequences; got str"),
    (lambda: a.Trie([[0.5]]), TypeError, "passages[0] must be integers; got float64 with fractions"),
    (lambda: search(step=3), TypeError, "step must be a callable (ids, rows) -> probabilities; got int"),
    (lambda: search(beam=0), ValueError, "beam must be at least 1; got 0"),
    (lambda: search(end_id=3), ValueError, "step's result must have shape (1, V) with V above end_id = 3; got (1, 3)"),
    (lambda: search(max_length=0), ValueError, "max_length must be at least 1; got 0"),
    (lambda: search(start=[[1]]), ValueError, "start must have 1 dimensions; got shape (1, 1)"),
    (lambda: search(trie=[[1]]), TypeError, "trie must be a kxfast.attention.Trie; got list"),
    (lambda: search(step=lambda i, r: step(i, r) - 1), ValueError, "step's result must be probabilities of at least 0"),
    (lambda: search(step=lambda i, r: step(i, r) * np.nan), ValueError, "step's result must be finite; got nan"),
    (lambda: draw(n=0), ValueError, "n must be at least 1; got 0"),
    (lambda: draw(top_k=0), ValueError, "top_k must be at least 1; got 0"),
    (lambda: draw(top_p=0), ValueError, "top_p must be above 0; got 0"),
    (lambda: draw(temperature=0), ValueError, "temperature must be above 0; got 0"),
    (lambda: draw(seed=-1), ValueError, "seed must be at least 0; got -1"),
]
