"""PyTorch's contenders in races compute what convkit's do, and a race runs with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from convkit import _core
from convkit.bench.peers.layer_pass import PASSES, LayerPass
from convkit.bench.peers.workload import Workload
from convkit.bench.racing import disagreement

pytest.importorskip("torch")
pytestmark = pytest.mark.peer

ADAM: dict[str, Any] = {"optimizer": "adam", "rate": 0.001}
WORKLOADS = [
    Workload("lenet5", 8),
    Workload("lenet5", 1, mode="predict"),
    Workload("mlp", 8, {"sizes": [20, 30, 5], "dropout": 0.5}, **ADAM),
    Workload("alexnet", 2, {"variant": "cifar"}, rate=0.001, compared=2, samples=4),
    *(Workload("rnn_classifier", 4, {"cell": c}, **ADAM) for c in ("simple", "lstm", "gru")),
    Workload(
        "char_rnn", 4, {"cell": "lstm", "units": 24, "layers": 2, "steps": 12}, samples=8, **ADAM
    ),
    Workload(
        "char_rnn", 4, {"cell": "gru", "units": 24, "embedding": 9, "steps": 30}, samples=8, **ADAM
    ),
]
LAYERS: dict[str, dict[str, Any]] = {
    "convolution": {"x": (2, 11, 12, 3), "w": (3, 3, 3, 8), "padding": 1},
    "stride and groups": {"x": (2, 13, 13, 4), "w": (5, 5, 2, 6), "stride": 2, "groups": 2},
    "dense": {"x": (7, 30), "w": (30, 11)},
}


@pytest.mark.parametrize("options", [{}, {"fused": True, "channels_last": True}])
@pytest.mark.parametrize("work", WORKLOADS, ids=lambda w: f"{w.network} {w.mode} {w.options}")
def test_steps(work: Workload, options: dict[str, bool]) -> None:
    from convkit.bench.peers import convkit_models, torch_models

    ours = convkit_models.Steps(asdict(work), _core.num_threads())
    theirs = torch_models.Steps(asdict(work), 1, **options)
    expected, found = ours.outputs(), theirs.outputs()
    worst, wrong = disagreement(expected, found, 1e-3)
    assert wrong == "" and worst >= 0
    assert len(found) == (1 if work.mode == "predict" else 2 + len(ours.model.trainable_weights))
    theirs.run(2)  # with dropout
    ours.run(2)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, channels_last: bool) -> None:
    from convkit.bench.peers import convkit_layers, torch_layers

    for which in PASSES:
        layer = asdict(LayerPass(which, **LAYERS[name]))
        ours = convkit_layers.Layer(layer, _core.num_threads())
        theirs = torch_layers.Layer(layer, 1, channels_last)
        expected, found = ours.outputs(), theirs.outputs()
        assert disagreement(expected, found, 1e-5)[1] == "", which
        shifted = asdict(LayerPass(which, **{**LAYERS[name], "x": (1, *LAYERS[name]["x"][1:])}))
        if which != "update":  # whose operands are the weights
            other = torch_layers.Layer(shifted, 1, channels_last).outputs()
            assert disagreement(expected, other, 1e-2)[1] != ""
        theirs.run(2)


def test_a_race_with_compiled_steps_or_the_reason_why_not() -> None:
    from convkit.bench import Contender, race

    work = asdict(Workload("mlp", 8, {"sizes": [20, 30, 5]}, **ADAM))
    ours = Contender("convkit", "convkit.bench.peers.convkit_models:Steps", {"workload": work})
    arguments = {"workload": work, "fused": True, "compiled": True}
    theirs = Contender("compiled", "convkit.bench.peers.torch_models:Steps", arguments, True)
    result = race("a small mlp", [ours, theirs], rounds=1, sample_seconds=0.001, threads=1)
    assert result.names == ("convkit", "compiled") or "compiled" in result.left_out
