"""Parameters of an instruction, as a listing shows them."""

from __future__ import annotations

from convkit.ops.registry import Params

__all__ = ["listed", "words"]

# Parameters that go without saying where they have these values.
_USUAL = {
    "activation": "linear", "alpha": 0.0, "through_alpha": 0.0, "groups": 1, "scale": 1.0,
    "offset": 0.0,
    "label_smoothing": 0.0, "divisor": 0.0, "gamma": 0.0, "balanced": 0, "delta": 1.0,
    "count_include_pad": 0, "stream": 0, "threshold": 0.5,
    "stride": "1", "padding": "0", "pool_padding": "0", "dilation": "1", "window": "",
    "weight_decay": 0.0, "momentum": 0.0, "nesterov": 0, "decoupled": 1, "lr_scale": 1.0,
    "max_norm": float("inf"), "value": 0.0, "mean": 0, "ramp": 0.0,
    "go_backwards": 0, "processing_order": 0, "reset_after": 0, "truncate": 0,
    "beta1": 0.9, "beta2": 0.999, "rho": 0.9, "epsilon": 1e-7, "maximize": 0,
    "clip_value": float("inf"), "top_k": 0, "column": -1, "per_class": 0,
}  # fmt: skip
_GROUPS = {
    "window": ("window_h", "window_w"),
    "stride": ("stride_h", "stride_w"),
    "padding": ("pad_top", "pad_bottom", "pad_left", "pad_right"),
    "dilation": ("dilation_h", "dilation_w"),
    "pool_stride": ("pool_stride_h", "pool_stride_w"),
    "pool_padding": ("pool_pad_top", "pool_pad_bottom", "pool_pad_left", "pool_pad_right"),
    "size": ("size_h", "size_w"),
    "axes": tuple(f"axis{k}" for k in range(6)),
}


def words(params: Params) -> dict[str, object]:
    """The parameters that say something, the sides of a window in one word."""
    left = dict(params)
    found: dict[str, object] = {}
    for word, names in _GROUPS.items():
        if all(name in left for name in names):
            sides = [str(left.pop(name)) for name in names]
            found[word] = sides[0] if len(set(sides)) == 1 else "x".join(sides)
    found |= left
    if found.get("through") == "linear":
        del found["through"]
        found.pop("through_alpha", None)
    return {k: v for k, v in found.items() if _USUAL.get(k) != v}


def listed(op: str, pass_name: str, params: Params) -> str:
    """The `words` of a listing, where the activation stands beside the row's name."""
    told = words(params)
    told.pop("through", None)
    told.pop("through_alpha", None)
    if op != "activation":  # backward passes ignore it
        told.pop("activation", None)
        if op != "loss" or params.get("alpha") == 1.0:
            told.pop("alpha", None)
    return ", ".join(f"{k}={_short(v)}" for k, v in told.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
