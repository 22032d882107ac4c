"""Optimisers and schedules against torch.optim, where both have the same formula.

They differ in where epsilon stands (csrc/ops/update/update.h), so it is 0 where that matters; in
NAdam's momentum, whose schedule is Keras's with momentum_decay=1; and in SGD's velocity, which
holds the learning rate here and not there, the same while the rate stays. Lion is in neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import schedules

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

STEPS = 100
START = np.random.default_rng(0).standard_normal(77)
CURVATURE = np.random.default_rng(1).uniform(0.1, 3, 77)

CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("sgd", {}, "SGD", {}),
    ("sgd", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"weight_decay": 0.1, "decoupled": False}, "SGD", {"weight_decay": 0.1}),
    ("sgd", {"momentum": 0.5, "maximize": True}, "SGD", {"momentum": 0.5, "maximize": True}),
    ("adagrad", {"epsilon": 0.0}, "Adagrad", {"eps": 0.0, "initial_accumulator_value": 0.1}),
    ("adadelta", {"epsilon": 1e-6}, "Adadelta", {"eps": 1e-6, "rho": 0.95}),
    ("rmsprop", {"epsilon": 0.0}, "RMSprop", {"eps": 0.0, "alpha": 0.9}),
    (
        "rmsprop",
        {"epsilon": 0.0, "momentum": 0.8},
        "RMSprop",
        {"eps": 0.0, "alpha": 0.9, "momentum": 0.8},
    ),
    ("adam", {"epsilon": 0.0}, "Adam", {"eps": 0.0}),
    ("adam", {"epsilon": 0.0, "amsgrad": True}, "Adam", {"eps": 0.0, "amsgrad": True}),
    ("adam", {"epsilon": 0.0, "weight_decay": 0.1}, "AdamW", {"eps": 0.0, "weight_decay": 0.1}),
    (
        "adam",
        {"epsilon": 0.0, "weight_decay": 0.1, "decoupled": False},
        "Adam",
        {"eps": 0.0, "weight_decay": 0.1},
    ),
    ("nadam", {"epsilon": 0.0}, "NAdam", {"eps": 0.0, "momentum_decay": 1.0}),
    ("adamax", {"epsilon": 0.0}, "Adamax", {"eps": 0.0}),
]


@pytest.mark.parametrize(("rule", "options", "theirs", "their_options"), CASES)
def test_a_hundred_steps(
    rule: str, options: dict[str, Any], theirs: str, their_options: dict[str, Any]
) -> None:
    rate = 0.5 if rule == "adadelta" else 0.01
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer = getattr(torch.optim, theirs)([parameter], lr=rate, **their_options)
    step = getattr(ck.ops, rule)
    w, state = START, []
    for t in range(STEPS):
        g = CURVATURE * w + np.sin(3 * w + 0.37 * t)
        parameter.grad = torch.tensor(g)
        optimizer.step()
        numbered = {"step": t} if rule in ("adam", "nadam", "adamax") else {}
        given = [*state[:1], None, *state[1:]] if rule == "rmsprop" else state
        w, *state = step(g, w, *given, learning_rate=rate, **numbered, **options)
        state = [s for s in state if s is not None]
        # PyTorch holds NAdam's product of momenta in float32.
        near = 1e-8 if rule == "nadam" else 1e-12
        np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=near, atol=near)
    assert np.abs(w - START).max() > 0.1


def rates_of(scheduler: Any, optimizer: Any, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_one_cycle(anneal: str) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=101, anneal_strategy=anneal, cycle_momentum=False
    )
    wanted = rates_of(theirs, optimizer, 100)
    np.testing.assert_allclose(
        schedules.OneCycle(0.5, 101, anneal=anneal).rates(0, 100), wanted, rtol=1e-10
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_cosines_with_restarts(factor: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 7, factor)
    wanted = rates_of(theirs, optimizer, 200)
    ours = schedules.CosineDecayRestarts(0.1, 7, t_mul=factor).rates(0, 200)
    np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-15)
