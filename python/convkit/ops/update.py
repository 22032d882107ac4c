"""update: one optimiser step. Contract in csrc/ops/update/update.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convkit.ops import update_formulas as formulas
from convkit.ops.registry import Op, Params, Pass, Spec, define
from convkit.ops.update_formulas import RULES, bound_of

__all__ = ["OP", "STATE", "update_params"]

# The state that each rule keeps, between gradient and weights.
STATE: dict[str, tuple[str, ...]] = {
    "sgd": ("v?",),
    "adagrad": ("a",),
    "adadelta": ("a", "d"),
    "rmsprop": ("a", "mean?", "v?"),
    "adam": ("m", "v", "largest?"),
    "nadam": ("m", "v"),
    "adamax": ("m", "u"),
    "lion": ("m",),
}


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    given = [spec for spec in specs if spec is not None]
    if any(spec != given[0] for spec in given):
        shapes = ", ".join(f"{spec.dtype}{spec.shape}" for spec in given)
        raise ValueError(
            f"[update] gradient, state and weight differ: {shapes}; they must be alike"
        )
    return []


def _infer_velocity(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    if params.get("momentum") and specs[-2] is None:
        raise ValueError("[update] momentum needs a velocity")
    return _infer(params, specs)


def _infer_norm(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dtypes = {spec.dtype for spec in specs if spec is not None}
    if len(dtypes) != 1:
        raise ValueError(f"[update] a norm needs gradients of one dtype, got {sorted(dtypes)}")
    return [Spec((1,), *dtypes)]


OP = define(
    Op(
        "update",
        (
            *(
                Pass(
                    name,
                    ("g",),
                    (),
                    rule,
                    bound_of(rule),
                    updates=(*STATE[name], "w"),
                    infer=_infer_velocity if "v?" in STATE[name] else _infer,
                )
                for name, rule in RULES.items()
            ),
            Pass(
                "global_norm",
                ("g*",),
                ("norm",),
                formulas.global_norm,
                formulas.global_norm_bound,
                infer=_infer_norm,
            ),
            Pass(
                "clip_norm",
                ("norm",),
                (),
                formulas.clip_norm,
                formulas.clip_norm_bound,
                updates=("g",),
                infer=lambda params, specs: [],
            ),
        ),
    )
)


def update_params(
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    beta1: float = 0.9,
    beta2: float = 0.999,
    rho: float = 0.9,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    lr_scale: float = 1.0,
    max_norm: float = float("inf"),
) -> dict[str, int | float | str]:
    """Parameters of the op, checked: all passes take all of them.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"[update] momentum is {momentum}, expected 0 to 1")
    for name, value in (("beta1", beta1), ("beta2", beta2), ("rho", rho)):
        if not 0 <= value < 1:
            raise ValueError(f"[update] {name} is {value}, expected 0 <= {name} < 1")
    numbers = (("epsilon", epsilon), ("weight_decay", weight_decay), ("lr_scale", lr_scale))
    for name, value in numbers:
        if not 0 <= value < np.inf:
            raise ValueError(f"[update] {name} is {value}, expected a number >= 0")
    for name, value in (("clip_value", clip_value), ("max_norm", max_norm)):
        if not value > 0:
            raise ValueError(f"[update] {name} is {value}, expected a number > 0")
    params: dict[str, Any] = {
        "momentum": float(momentum),
        "nesterov": int(nesterov),
        "beta1": float(beta1),
        "beta2": float(beta2),
        "rho": float(rho),
        "epsilon": float(epsilon),
        "weight_decay": float(weight_decay),
        "decoupled": int(decoupled),
        "maximize": int(maximize),
        "clip_value": float(clip_value),
        "lr_scale": float(lr_scale),
        "max_norm": float(max_norm),
    }
    return params
