"""The kernels as they are shipped: their texts, and the shared memory that their launches ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kxfast.backends.cuda import (
    attention_plan,
    conv_plan,
    cooccurrence,
    gillespie,
    gillespie_tables,
    lipschitz,
    lipschitz_circular,
    lipschitz_power,
    words_order,
)

BOTH, HOPPER = ("sm_90a", "sm_80"), ("sm_90a",)


class Variant(NamedTuple):
    """A text, what it is compiled for, and bytes of shared memory: of all its kernels, or by name."""

    text: str
    targets: tuple[str, ...]
    shared: int | dict[str, int]

    def bytes_of(self, kernel: str) -> int:
        """Return the shared memory that launches of a kernel ask for at most."""
        return self.shared if isinstance(self.shared, int) else self.shared.get(kernel, 0)


def _attention() -> Iterator[tuple[str, Variant]]:
    for kind, d in ("E", 64), ("E", 80), ("E", 128), ("E", 256), ("f", 64), ("f", 128), ("d", 64):
        plan = attention_plan.forward(kind, d, d)
        text = attention_plan.text(kind, d, d, plan, "attention.cuh")
        yield f"attention {kind} {d}", Variant(text, HOPPER, plan.shared)
    for kind, d in ("E", 64), ("E", 128), ("f", 64), ("d", 64):
        plan = attention_plan.split(kind, d, d)
        text = attention_plan.text(kind, d, d, plan, "attention_split.cuh")
        yield (
            f"attention_split {kind} {d}",
            Variant(text, BOTH if kind == "E" else HOPPER, {"attention_split": plan.shared}),
        )
    of_groups = {
        "forward": ("attention_groups.cuh", attention_plan.forward_of_groups, 0),
        "queries": ("attention_groups_queries.cuh", attention_plan.queries_of_groups, 0),
        "keys": ("attention_groups_keys.cuh", attention_plan.keys_of_groups, 3),
    }
    for kind, d in ("E", 64), ("e", 64), ("E", 80), ("E", 128), ("E", 256):
        for name, (file, plan_of, makes) in of_groups.items():
            chosen = plan_of(kind, d, d)
            if chosen is not None:
                text = attention_plan.text(kind, d, d, chosen, file, None, makes)
                yield f"attention_groups {kind} {d} {name}", Variant(text, HOPPER, chosen.shared)
    for kind in "E", "f", "d":
        text = attention_plan.text(kind, 64, 64, None, "attention_shares.cuh")
        yield f"attention_shares {kind}", Variant(text, BOTH if kind == "E" else HOPPER, 0)
    for kind, d in ("E", 64), ("E", 80), ("E", 128), ("E", 256), ("f", 64), ("d", 64):
        targets = BOTH if (kind, d) in (("E", 80), ("E", 128)) else HOPPER
        plans = {"queries": (attention_plan.queries(kind, d, d), 0)}
        plans |= {f"keys {makes}": (plan, makes) for makes, plan in attention_plan.keys(kind, d, d).items()}
        for name, (plan, makes) in plans.items():
            text = attention_plan.text(kind, d, d, plan, "attention_backward.cuh", None, makes)
            shared = {f"attention_{each}": plan.shared for each in ("queries", "keys")}
            yield f"attention_backward {kind} {d} {name}", Variant(text, targets, shared)
        if d == 64:
            plan = attention_plan.bias(kind, d, d)
            text = attention_plan.text(kind, d, d, plan, "attention_bias.cuh")
            yield f"attention_bias {kind} {d}", Variant(text, HOPPER, plan.shared)


def _conv() -> Iterator[tuple[str, Variant]]:
    for kind, columns in ("E", 64), ("E", 32), ("f", 64), ("f", 32), ("d", 32):
        tile = conv_plan.large(kind) if columns == 64 else conv_plan.Tile(kind, 2, 32)
        deep, wide = (tile.rows, tile.deep), (tile.deep, 2 * tile.columns)
        shared = {
            "conv_gated": tile.shared(deep, wide),
            "conv_plain": tile.shared(deep, wide),
            "conv_turned": tile.shared(deep, wide[::-1]),
            "conv_weights": tile.shared(deep[::-1], wide),
            "conv_stack": tile.shared(deep, wide),
            "conv_norm_back": 4 * 32 * (8 if kind == "d" else 4),
            "conv_norm_last": 64,
        }
        files = ["conv", "conv_plain", "conv_backward"] + ["conv_rows"] * (columns == 32)
        files += ["conv_stack"] * ((kind, columns) == ("E", 32))
        for file in files:
            targets = BOTH if (kind, columns) in (("E", 64), ("d", 32)) or file == "conv_stack" else HOPPER
            yield f"{file} {kind} {columns}", Variant(tile.text(f"{file}.cuh"), targets, shared)
    for kind, file in ("E", ""), ("e", ""), ("E", "_plain"), ("E", "_backward"):
        groups = conv_plan.GroupTile(kind)
        shared = dict.fromkeys(("conv_gated", "conv_plain", "conv_turned"), groups.shared)
        shared |= {"conv_weights": groups.ring}
        yield f"conv_groups{file} {kind}", Variant(groups.text(f"conv_groups{file}.cuh"), HOPPER, shared)


def variants() -> dict[str, Variant]:
    """Return all by name; networks of reactions have texts of their own, which their tests compile."""
    normalize = {f"step_{kind}": lipschitz._SHARED[kind] for kind in "fd"}
    circular = {"circular_test": lipschitz_circular._TEST, "circular_raise": lipschitz_circular._RAISE}
    circular |= {f"circular_{name}": lipschitz_circular._SUMS for name in ("squares", "traces")}
    circular |= {f"circular_largest_{kind}": lipschitz_circular._EACH for kind in "fd"}
    circular |= {"circular_products": lipschitz_circular._TILES}
    entropies = {"entropies": words_order._LOGARITHM}
    return {
        "lipschitz": Variant(lipschitz._TEXT, BOTH, normalize),
        "conv_power": Variant(lipschitz_power.TEXT, BOTH, lipschitz_power._SHARED),
        "circular": Variant(lipschitz_circular.TEXT, BOTH, circular),
        "words": Variant(words_order._TEXT, BOTH, entropies),
        "cooccurrence": Variant(cooccurrence._TEXT, BOTH, 0),
        "gillespie_large": Variant(gillespie._LARGE, BOTH, gillespie_tables.MOST_SHARED),
        "attention_classes": Variant('#include "attention_classes.cuh"\n', BOTH, 0),
        **dict(_attention()),
        **dict(_conv()),
    }
