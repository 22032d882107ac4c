"""Feature extraction, new heads and freezing: which weights are whose, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models
from convkit.saving.files import read_archive, write_archive

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 8, 8, 1)).astype(np.float32)
Y = np.arange(40) % 3


def network() -> ck.Sequential:
    ck.set_seed(1)
    layers.reset_names()
    model = ck.Sequential(
        [
            ck.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(6, "tanh", name="hidden"),
            layers.Dense(3, name="classes"),
            layers.Softmax(),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (None, (None, 6)),
        ("hidden", (None, 6)),
        ("conv", (None, 6, 6, 4)),
        (1, (None, 144)),
        (-1, (None, 3)),
    ],
)
def test_a_feature_extractor_ends_where_it_should(layer: Any, shape: Any) -> None:
    assert models.feature_extractor(network(), layer).output_shape == shape


def test_an_input_may_be_the_end() -> None:
    model = network()
    functional = ck.Model(model.input, model.output)
    assert models.feature_extractor(functional, 0).output_shape == (None, 8, 8, 1)


def test_a_feature_extractor_shares_the_weights() -> None:
    model = network()
    base = models.feature_extractor(model)
    before = base.predict(X, verbose=0)
    kernel, bias = model.get_layer("classes").get_weights()
    logits = before @ kernel + bias
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = exp / exp.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-5)
    model.fit(X, Y, epochs=2, verbose=0)
    assert np.abs(base.predict(X, verbose=0) - before).max() > 1e-3


def test_mistakes_are_named() -> None:
    model = network()
    with pytest.raises(ValueError, match="no layer 'hiden'; did you mean 'hidden'"):
        models.feature_extractor(model, "hiden")
    with pytest.raises(ValueError, match=r"'other' \(Dense\) is no part of it"):
        models.feature_extractor(model, layers.Dense(3, name="other"))
    with pytest.raises(ValueError, match="is no node of model"):
        models.feature_extractor(model, ck.Input((8, 8, 1)))
    with pytest.raises(ValueError, match="no layer with weights; name a layer"):
        models.feature_extractor(ck.Sequential([ck.Input((3,)), layers.ReLU()]))
    with pytest.raises(ValueError, match="does not know its input's shape"):
        models.feature_extractor(ck.Sequential([layers.Dense(3)]))
    twice, x = layers.Dense(4, name="twice"), ck.Input((4,))
    shared = ck.Model(x, layers.Dense(2)(twice(twice(x))))
    with pytest.raises(ValueError, match="has several outputs; give one of its nodes"):
        models.feature_extractor(shared, "twice")
    assert models.feature_extractor(shared, shared.calls[0].outputs[0]).output_shape == (None, 4)


def test_features_are_computed_once(tmp_path: Path) -> None:
    base = models.feature_extractor(network())
    path = tmp_path / "features"
    expected = base.predict(X, verbose=0)
    np.testing.assert_array_equal(models.extract_features(base, X, path), expected)
    members = read_archive(path)
    members["features.safetensors"]["features"] += 1  # seen only if it is read
    write_archive(path, members)
    np.testing.assert_array_equal(models.extract_features(base, X, path), expected + 1)
    np.testing.assert_array_equal(models.extract_features(base, X[:9], path), expected[:9])
    assert same(models.extract_features(base, X), expected)


def test_features_of_other_weights_or_data_are_computed_anew(tmp_path: Path) -> None:
    model = network()
    base = models.feature_extractor(model)
    path = tmp_path / "features"
    first = models.extract_features(base, X, path)
    changed = X.copy()
    changed[7, 3, 3, 0] += 1
    again = models.extract_features(base, changed, path)
    assert np.flatnonzero((first != again).any(axis=1)).tolist() == [7]
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(
        models.extract_features(base, changed, path), base.predict(changed, verbose=0)
    )
    other = models.feature_extractor(model, "conv")  # the same weights at its beginning
    assert models.extract_features(other, changed, path).shape == (40, 6, 6, 4)


def test_another_activation_is_another_base(tmp_path: Path) -> None:
    path, found = tmp_path / "features", []
    for kind in ("relu", "tanh"):
        ck.set_seed(1)
        base = ck.Sequential([ck.Input((8, 8, 1)), layers.Flatten(), layers.Dense(5, kind)])
        found.append(models.extract_features(base, X, path))
    assert not np.array_equal(*found)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    model = network()
    for name, write in (
        ("weights.npz", model.save_weights),
        ("notes.npz", lambda path: path.write_text("mine")),
    ):
        path = tmp_path / name
        write(path)
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"is no file of features .*left as it is"):
            models.extract_features(models.feature_extractor(model), X, path)
        assert path.read_bytes() == before


def test_python_in_the_base_is_not_cached(tmp_path: Path) -> None:
    model = ck.Sequential([ck.Input((4,)), layers.Lambda(np.tanh, name="own"), layers.Dense(3)])
    x = X.reshape(-1, 4)
    assert models.extract_features(model, x).shape == (640, 3)
    with pytest.raises(ValueError, match=r"layer 'own' runs in Python, .*leave cache out"):
        models.extract_features(model, x, tmp_path / "f")
    two = ck.Model(model.input, [model.output, model.input])
    with pytest.raises(ValueError, match="has 2 outputs"):
        models.extract_features(two, x)


def test_a_new_head_on_a_copy_leaves_the_model_as_it_is() -> None:
    model = network()
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    new = models.replace_head(model, [layers.Dense(5, "relu"), layers.Dense(2, "softmax")])
    assert new.output_shape == (None, 2)
    assert same(new.get_layer("conv").get_weights(), model.get_layer("conv").get_weights())
    kept = new.get_layer("hidden").get_weights()
    new.compile("adam", "sparse_categorical_crossentropy")
    new.fit(X, Y % 2, epochs=2, verbose=0)
    assert same(new.get_layer("hidden").get_weights(), kept)  # frozen
    new.trainable = True
    new.compile("adam", "sparse_categorical_crossentropy")
    new.fit(X, Y % 2, epochs=2, verbose=0)
    assert not same(new.get_layer("hidden").get_weights(), kept)
    assert same(model.get_weights(), before)
    assert all(layer.trainable for layer in model.layers)
    model.fit(X, Y, verbose=0)  # still compiled


def test_a_new_head_on_the_same_layers() -> None:
    model = network()
    head = layers.Dense(2, "softmax")
    new = models.replace_head(model, head, "conv", share=True, freeze=False)
    assert new.get_layer("conv") is model.get_layer("conv")
    assert new.output_shape == (None, 6, 6, 2)
    new.compile("sgd", "mse")
    new.fit(X, np.zeros((40, 6, 6, 2)), verbose=0)
    assert same(new.get_layer("conv").get_weights(), model.get_layer("conv").get_weights())


def test_heads_that_do_not_fit() -> None:
    model = network()
    with pytest.raises(TypeError, match="made of layers, got 3"):
        models.replace_head(model, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'classes' \(Dense\) has weights already"):
        models.replace_head(model, model.get_layer("classes"))
    with pytest.raises(ValueError, match="2 layers named 'hidden'"):
        models.replace_head(model, layers.Dense(3, name="hidden"))


def test_the_optimizers_state_of_a_frozen_layer_waits() -> None:
    """It is as it was when the layer is trained again; the count of steps has gone on."""
    model = network()
    adam = ck.optimizers.Adam(0.01)
    model.compile(adam, "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=20, verbose=0)
    conv = model.get_layer("conv")
    offset = conv.parameters[0].offset
    state = model.store.slots[:, offset : offset + 36].copy()
    weights = conv.get_weights()
    assert np.abs(state).max() > 0
    conv.trainable = False
    model.compile(adam, "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=20, verbose=0)
    assert same(conv.get_weights(), weights) and adam.iterations == 4
    np.testing.assert_array_equal(model.store.slots[:, offset : offset + 36], state)
    conv.trainable = True
    model.compile(adam, "sparse_categorical_crossentropy")
    np.testing.assert_array_equal(model.store.slots[:, offset : offset + 36], state)
    model.fit(X, Y, batch_size=20, verbose=0)
    assert not same(conv.get_weights(), weights) and adam.iterations == 6
    model.compile(ck.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=20, verbose=0)
    assert model.optimizer.iterations == 2  # a new one begins anew
