"""Wrong calls of the stem conv: (call, error, words of its message)."""

import numpy as np

import kxfast as kx

c = kx.conv
conv = c.dilated_gated_conv1d
X, W, B = np.ones((2, 5, 4)), np.ones((3, 4, 8)), np.ones(8)
WIDE = np.ones((2, 5, 128))
LAYER = c.GatedLayer(W, B)
NORM = (np.ones(4), np.zeros(4), 1.0)

CALLS = [
    (
        lambda: conv(WIDE, np.ones((3, 64, 256))),
        ValueError,
        "weight must have shape (K, 128, 2*F) to match x's 128 channels; got (3, 64, 256)",
    ),
    (
        lambda: conv(X, np.ones((3, 4, 7))),
        ValueError,
        "weight must have shape (K, 4, 2*F) to match x's 4 channels; got (3, 4, 7)",
    ),
    (
        lambda: conv(X, np.ones((0, 4, 8))),
        ValueError,
        "weight must have shape (K, 4, 2*F) to match x's 4 channels; got (0, 4, 8)",
    ),
    (lambda: conv(X, np.ones((3, 8))), ValueError, "weight must have 3 dimensions; got shape (3, 8)"),
    (lambda: conv(X[0], W), ValueError, "x must have 3 dimensions; got shape (5, 4)"),
    (lambda: conv("x", W), TypeError, "x must be an array of numbers; got str"),
    (lambda: conv(X + 1j, W), TypeError, "x must be float32, float64, float16 or bfloat16; got complex128"),
    (lambda: conv(X, None), TypeError, "weight must be an array of numbers; got NoneType"),
    (
        lambda: conv(X, W, np.ones(4)),
        ValueError,
        "bias must have shape (8,) to match weight's 8 channels out; got (4,)",
    ),
    (lambda: conv(X, W, dilation=0), ValueError, "dilation must be at least 1; got 0"),
    (lambda: conv(X, W, dilation=1.5), TypeError, "dilation must be an int; got float 1.5"),
    (
        lambda: conv(X, W, mask=np.ones((5, 2))),
        ValueError,
        "mask must have shape (2, 5) to match x's batch and length; got (5, 2)",
    ),
    (
        lambda: conv(X, W, mask=np.full((2, 5), 0.5)),
        TypeError,
        "mask must be booleans or 0/1; got float64 with fractions",
    ),
    (lambda: conv(X, W, skip="residual"), ValueError, "skip must be one of 'gated', 'none', 'add'; got str 'residual'"),
    (lambda: conv(X, W, skip=None), TypeError, "skip must be one of 'gated', 'none', 'add'; got NoneType"),
    (lambda: conv(X, W, gate="left"), ValueError, "gate must be one of 'last', 'first'; got str 'left'"),
    (lambda: conv(X, W, padding="valid"), ValueError, "padding must be one of 'same', 'causal'; got str 'valid'"),
    (lambda: conv(X, W, mask_input=1), TypeError, "mask_input must be True or False; got int 1"),
    (lambda: conv(X, W, mask_input=True), ValueError, "mask_input must be None or False without a mask; got True"),
    (lambda: conv(X, W[..., :6]), ValueError, "shortcut must be given for skip='gated' from 4 to 3 channels; got None"),
    (lambda: conv(X, W, skip="none", shortcut=(np.eye(4), None)), ValueError, "shortcut must be None with skip='none'"),
    (lambda: conv(X, W, shortcut=np.eye(4)), TypeError, "shortcut must be a pair (weight, bias or None); got ndarray"),
    (
        lambda: conv(X, W, shortcut=(np.eye(3), None)),
        ValueError,
        "shortcut[0] must have shape (4, 4) to match the channels in and out; got (3, 3)",
    ),
    (
        lambda: conv(X, W, shortcut=(np.eye(4), B)),
        ValueError,
        "shortcut[1] must have shape (4,) to match the channels out; got (8,)",
    ),
    (lambda: conv(X, W, norm=NORM), ValueError, "norm must be None unless skip='add' (variant D); got skip='gated'"),
    (lambda: conv(X, W, skip="add", norm=NORM[:2]), TypeError, "norm must be a triple (gamma, beta, alpha); got tuple"),
    (
        lambda: conv(X, W, skip="add", norm=(B, B, 1)),
        ValueError,
        "norm[0] must have shape (4,) to match the channels out; got (8,)",
    ),
    (lambda: conv(X, W, skip="add", norm=(*NORM[:2], np.nan)), ValueError, "norm[2] must be finite; got nan"),
    (lambda: conv(X, W, drop_gate=1), ValueError, "drop_gate must be below 1; got 1"),
    (lambda: conv(X, W, drop_gate=-0.1), ValueError, "drop_gate must be at least 0; got -0.1"),
    (lambda: conv(X, W, drop_gate=0.1, seed="a"), TypeError, "seed must be an int; got str 'a'"),
    (lambda: conv(X, W, out=[1]), TypeError, "out must be a NumPy array; got list"),
    (
        lambda: conv(X, W, out=np.empty((2, 5, 3))),
        ValueError,
        "out must be float64 of shape (2, 5, 4); got float64 of shape (2, 5, 3)",
    ),
    (lambda: conv(X, W, out=X), ValueError, "out must not share memory with x"),
    (lambda: conv(X, W, out=np.empty((2, 5, 8))[..., ::2]), ValueError, "out must be writable, C-contiguous, aligned"),
    (
        lambda: conv(X, W, backend="fast"),
        ValueError,
        "backend must be one of native, numba, cuda, reference; got 'fast'",
    ),
    (lambda: conv(X, W, backend="cuda"), kx.BackendError, "backend 'cuda' cannot serve conv.dilated_gated_conv1d"),
    (
        lambda: c.dilated_gated_conv1d_backward(X[:1], X, W),
        ValueError,
        "grad must have shape (2, 5, 4) to match the result; got (1, 5, 4)",
    ),
    (
        lambda: c.dilated_gated_conv1d_backward(X, X, W, drop_gate=0.1),
        TypeError,
        "seed must be the int or SeedSequence of the forward call; got NoneType",
    ),
    (lambda: c.dilated_conv1d(X, W, activation=""), ValueError, "activation must be one of"),
    (lambda: c.dilated_conv1d(X, W, pool=0), ValueError, "pool must be at least 1; got 0"),
    (lambda: c.dilated_conv1d(X, W, pool=2.5), TypeError, "pool must be"),
    (
        lambda: c.dilated_conv1d(X, W, activation="tanh"),
        ValueError,
        "activation must be one of 'relu', 'relu_pair_sum', None; got str 'tanh'",
    ),
    (
        lambda: c.dilated_conv1d(X, W[..., :7], activation="relu_pair_sum"),
        ValueError,
        "weight must have shape (K, 4, 2*F)",
    ),
    (
        lambda: c.dilated_conv1d(X, W[:, :3]),
        ValueError,
        "weight must have shape (K, 4, F) to match x's 4 channels; got (3, 3, 8)",
    ),
    (
        lambda: c.dilated_gated_conv1d_backward(X, X, W, B, parts=X),
        ValueError,
        "parts must have shape (2, 5, 8) as the forward call returned it; got (2, 5, 4)",
    ),
    (lambda: conv(X, W, return_parts=1), TypeError, "return_parts must be True or False; got int 1"),
    (
        lambda: c.dgcnn_backward(X, X, [LAYER], kept=X),
        TypeError,
        "kept must be what dgcnn returned for return_kept=True; got ndarray",
    ),
    (
        lambda: c.dgcnn_backward(X, X, [LAYER] * 2, kept=c.dgcnn(X, [LAYER], return_kept=True)[1]),
        ValueError,
        "kept must be of a call with the same 2 layers; got 1 of them",
    ),
    (
        lambda: c.dgcnn_backward(X, X, [LAYER], kept=c.dgcnn(X[:1], [LAYER], return_kept=True)[1]),
        ValueError,
        "kept.inputs[0] must have shape (2, 5, 4) as the forward call returned it; got (1, 5, 4)",
    ),
    (
        lambda: c.dgcnn(X, [c.GatedLayer(np.ones((3, 4, 12)), skip="none"), LAYER]),
        ValueError,
        "layers[1].weight must have shape (K, 6, 2*F) to match its input's 6 channels; got (3, 4, 8)",
    ),
    (lambda: c.dgcnn(X, []), ValueError, "layers must hold at least one layer; got none"),
    (lambda: c.dgcnn(X, LAYER), TypeError, "layers must be a sequence of GatedLayer; got GatedLayer"),
    (lambda: c.dgcnn(X, [W]), TypeError, "layers[0] must be a GatedLayer; got ndarray"),
    (
        lambda: c.dgcnn(X, [LAYER, c.GatedLayer(W[:, :3])]),
        ValueError,
        "layers[1].weight must have shape (K, 4, 2*F) to match its input's 4 channels; got (3, 3, 8)",
    ),
    (
        lambda: c.dgcnn(X, [c.GatedLayer(W, B[:3])]),
        ValueError,
        "layers[0].bias must have shape (8,) to match layers[0].weight's 8 channels out; got (3,)",
    ),
    (
        lambda: c.dgcnn_backward(X[:, :3], X, [LAYER]),
        ValueError,
        "grad must have shape (2, 5, 4) to match the result; got (2, 3, 4)",
    ),
    (
        lambda: c.attention_pooling(X, np.ones((3, 2)), np.ones(2)),
        ValueError,
        "hidden must have shape (4, H) to match x's 4 channels; got (3, 2)",
    ),
    (
        lambda: c.attention_pooling(X, np.ones((4, 2)), np.ones(3)),
        ValueError,
        "output must have shape (2,) to match hidden's 2 columns; got (3,)",
    ),
    (
        lambda: c.attention_pooling(X, np.ones((4, 2)), np.ones(2), activation="relu"),
        ValueError,
        "activation must be one of 'tanh', 'swish'; got str 'relu'",
    ),
    (lambda: c.masked_max_pooling(X, keepdims=1), TypeError, "keepdims must be True or False; got int 1"),
    (lambda: c.masked_mean_pooling(X, mask=np.ones(5)), ValueError, "mask must have shape (2, 5)"),
    (
        lambda: c.seq_and_vec(X, np.ones((3, 2))),
        ValueError,
        "vector must have shape (2, Dv) to match x's batch of 2; got (3, 2)",
    ),
    (
        lambda: c.extract_span([0.5], [0.5], "ab"),
        ValueError,
        "start must have shape (L,) with L at least 2 tokens; got (1,)",
    ),
    (lambda: c.extract_span([0.5], [0.5], 3), TypeError, "passage must be a str or a sequence of tokens; got int"),
    (lambda: c.extract_span([0.5], [0.5], "a", max_length=0), ValueError, "max_length must be at least 1; got 0"),
    (lambda: c.vote({"a": 1.0}), TypeError, "passages must be an iterable of mappings; got dict"),
    (lambda: c.vote([{"a": -1.0}]), ValueError, "passages[0]['a'] must be at least 0; got -1"),
    (lambda: c.vote(["a"]), TypeError, "passages[0] must be a mapping from spans to scores; got str"),
    (lambda: kx.conv.match_features("", "ab"), ValueError, "question must have at least 1 token; got 0"),
    (lambda: kx.conv.match_features("ab", 5), TypeError, "passage must be a str or a sequence of tokens; got int"),
]
