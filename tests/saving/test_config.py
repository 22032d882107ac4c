"""Objects remember how they were made, and are made again, also through JSON."""

import json

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.saving import files
from convkit.saving.classes import Pieces, table
from convkit.saving.config import Configured
from convkit.saving.packing import DEEPEST, pack, unpack

# Arguments of what cannot be made without any, and others of interest.
MADE = {
    "activations.ActivationFunction": [("relu",), ("leaky_relu", 0.3)],
    "initializers.Constant": [(np.arange(3.0),)],
    "initializers.RandomUniform": [(-1, 1, 5)],
    "losses.CategoricalCrossentropy": [{"from_logits": True, "label_smoothing": 0.1}],
    "losses.Loss": [("mine",)],
    "metrics.LossAsMetric": [("mine", ck.losses.MeanSquaredError())],
    "metrics.Metric": [("mine",)],
    "models.ContinuousHopfield": [(np.ones((3, 3)) - np.eye(3),)],
    "models.Hopfield": [(5, "storkey")],
    "models.ThresholdNeuron": [([1.0, 2.0], 0.5)],
    "optimizers.Adam": [{"clipnorm": 2.0}, {"exclude_from_weight_decay": ["bias"]}],
    "optimizers.SGD": [(ck.schedules.ExponentialDecay(0.1, 3, 0.5), 0.9), (np.float32(0.5),)],
    "schedules.CosineDecay": [(0.1, 9)],
    "schedules.CosineDecayRestarts": [(0.1, 9)],
    "schedules.ExponentialDecay": [(0.1, 9, 0.5)],
    "schedules.InverseTimeDecay": [(0.1, 9, 0.5)],
    "schedules.OneCycle": [(0.1, 9)],
    "schedules.PiecewiseConstantDecay": [([3, 6], [0.3, 0.2, 0.1])],
    "schedules.PolynomialDecay": [(0.1, 9)],
    "schedules.StepDecay": [(0.1, 9)],
    "schedules.Warmup": [(ck.schedules.CosineDecay(0.1, 9), 3)],
}
# Bases, and what takes functions; see test_models.
BASES = {
    "activations.CustomActivation", "losses.CustomLoss", "optimizers.Descent",
    "optimizers.FullBatch", "optimizers.Optimizer",
}  # fmt: skip
OTHERS = [name for name in table() if not name.startswith("layers.") and name not in BASES]


def through_json(value):
    arrays = {}
    text = files.to_json({"it": pack(value, "it", arrays)}, "it")
    return unpack(files.from_json(text, "it")["it"], Pieces(), arrays)


def plain(made):
    items = vars(made).items()
    return {k: v for k, v in items if k[0] != "_" and isinstance(v, int | float | str)}


@pytest.mark.parametrize("name", OTHERS)
def test_every_class_is_made_again(name):
    kind = table()[name]
    for given in MADE.get(name, [()]):
        made = kind(**given) if isinstance(given, dict) else kind(*given)
        config = made.get_config()
        for again in (kind.from_config(config), through_json(made)):
            if isinstance(again, str):  # an activation with a name
                again = ck.activations.get(again)
            assert (type(again) is kind and again is not made) or again == made
            np.testing.assert_equal(again.get_config(), config)
            one, other = vars(made), vars(again)
            np.testing.assert_equal(
                {k: v for k, v in one.items() if k[0] != "_" and isinstance(v, int | float | str)},
                {
                    k: v
                    for k, v in other.items()
                    if k[0] != "_" and isinstance(v, int | float | str)
                },
            )


@pytest.mark.parametrize("kind", [ck.schedules.CosineDecay, ck.schedules.OneCycle])
def test_schedules_made_again_give_the_same_rates(kind):
    made = kind(0.1, 9)
    again = through_json(made)
    np.testing.assert_array_equal(made.rates(0, 12), again.rates(0, 12))


def test_the_table_is_that_of_public_classes():
    assert table()["layers.Dense"] is layers.Dense
    assert table()["losses.MeanSquaredError"] is not table()["metrics.MeanSquaredError"]
    assert all(issubclass(kind, Configured) for kind in table().values())
    assert not any("allback" in name or "dataset" in name for name in table())


def test_nested_values_come_back_as_they_were():
    value = {
        "a": [1, (2.5, None, [True])], "b": np.arange(6, dtype="int16").reshape(2, 3),
        "nan": float("nan"), "inf": (float("inf"), -float("inf")), "f": np.float32(2),
        "deep": {"x": {"y": (ck.initializers.HeNormal(seed=3),)}},
    }  # fmt: skip
    found = through_json(value)
    assert found["a"] == [1, (2.5, None, [True])] and type(found["a"][1]) is tuple
    np.testing.assert_array_equal(found["b"], value["b"])
    assert np.isnan(found["nan"]) and found["inf"] == value["inf"] and found["f"] == 2
    assert found["deep"]["x"]["y"][0].seed == 3


def test_what_cannot_be_packed_is_named():
    for value, message in (
        ({"a": [object()]}, r"it\.a\.0 cannot be saved: it is object"),
        ({"a": lambda: 0}, r"it\.a cannot be saved: it is a function without a name"),
        ({1: 2}, "it cannot be saved"),
        ({"$x": 2}, "it cannot be saved"),
        (1j, "it is complex"),
        (np.array([["a"]]), "it is ndarray"),
        (layers.base.Layer, None),
    ):
        if message is None:
            assert pack(value, "it") == {"$custom": "Layer"}
            continue
        with pytest.raises(TypeError, match=message):
            pack(value, "it", {})


def test_what_means_nothing_is_refused():
    deep = 0
    for _ in range(DEEPEST + 2):
        deep = [deep]
    for value in (
        {"$": 1}, {"$tuple": 3}, {"$float": "x"}, {"$float": ["nan"]}, {"$array": "none"},
        {"$layer": 0}, {"$class": 3, "config": {}}, {"$class": "layers.Dense"}, deep,
        {"$tuple": [], "more": 1}, {"$custom": "os.system"}, {"$class": "os.system", "config": {}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"means nothing|not part of|no class|too deeply"):
            unpack(value, Pieces(), {})


def test_configurations_of_layers_inside_of_layers():
    own = layers.TimeDistributed([layers.Dense(3, name="a"), layers.Dense(2, name="b")], name="t")
    config = own.get_config()
    assert config["layer"][0]["$class"] == "layers.Dense"
    again = layers.TimeDistributed.from_config(config)
    assert [part.name for part in again.chain] == ["a", "b"] and again.chain[0] is not own.chain[0]


def test_configurations_as_in_keras():
    config = layers.Dense(3, "relu", kernel_initializer=ck.initializers.HeNormal(1)).get_config()
    assert config["units"] == 3 and config["activation"] == "relu" and config["use_bias"] is True
    assert config["kernel_initializer"] == {
        "$class": "initializers.HeNormal", "config": {"seed": 1},
    }  # fmt: skip
    assert layers.Dense.from_config({**config, "units": 5, "name": "other"}).units == 5
    json.dumps(config)


def test_a_class_of_ones_own_inside_of_another_is_passed_in():
    class Mine(ck.initializers.Initializer):
        def draw(self, shape, rng):
            return np.ones(shape, "float32")

    config = layers.Dense(2, kernel_initializer=Mine()).get_config()
    made = layers.Dense.from_config(config, {"Mine": Mine})
    assert type(made.kernel_initializer) is Mine
    with pytest.raises(ValueError, match="needs the class 'Mine'"):
        layers.Dense.from_config(config)


def test_objects_that_cannot_tell_how_they_were_made():
    class Several(ck.initializers.Initializer):
        def __init__(self, *values):
            super().__init__()

    with pytest.raises(TypeError, match="takes any number of arguments"):
        Several(1, 2).get_config()
    with pytest.raises(TypeError, match=r"not known .*define get_config"):
        layers.Dense.__new__(layers.Dense)._arguments()


def test_attributes_that_were_set_since_count():
    optimizer = ck.optimizers.SGD(0.1, momentum=0.5)
    optimizer.learning_rate, optimizer.momentum, optimizer.clipnorm = 0.2, 0.8, 3.0
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    again = ck.optimizers.SGD.from_config(optimizer.get_config())
    assert (again.learning_rate, again.momentum, again.clipnorm) == (0.2, 0.8, 3.0)
    assert again._excluded == ["bias"]
    layer = layers.Dense(3)
    layer.trainable, layer.lr_multiplier = False, 2.0
    again = layers.Dense.from_config(layer.get_config())
    assert not again.trainable and again.lr_multiplier == 2
    metric = ck.metrics.get("acc")
    assert type(metric).from_config(metric.get_config()).name == "acc"


def test_recording_is_cheap():
    """In calls rather than in time: an object without lists costs no copies."""
    layer = layers.Dense(3, "relu")
    assert layer._arguments_given == ((3, "relu"), {})
