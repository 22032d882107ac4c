"""Weights files: whole or not at all, and never another model's."""

import os

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.saving import safetensors
from convkit.saving.weights import load_weights, save_weights
from models.conftest import blobs, classifier


def test_round_trip(tmp_path):
    x, _ = blobs(8)
    a, b = classifier(), classifier()
    path = save_weights(a, tmp_path / "weights")
    assert path == tmp_path / "weights.npz" and os.listdir(tmp_path) == ["weights.npz"]
    load_weights(b, path)
    assert np.array_equal(a.predict(x, verbose=0), b.predict(x, verbose=0))


def broken(tmp_path, **arrays):
    path = tmp_path / "broken.npz"
    np.savez(path, **arrays)
    return path


def test_other_names_and_shapes_are_refused(tmp_path):
    model = classifier()
    before = model.get_weights()
    good = {p.path: p.numpy() for p in model.parameters}
    with pytest.raises(ValueError, match=r"lacks out\.kernel"):
        load_weights(
            model, broken(tmp_path, **{k: v for k, v in good.items() if k != "out.kernel"})
        )
    with pytest.raises(ValueError, match="has also more"):
        load_weights(model, broken(tmp_path, **good, more=np.zeros(3)))
    with pytest.raises(ValueError, match=r"out\.bias is float32 \(4,\)"):
        load_weights(model, broken(tmp_path, **{**good, "out.bias": np.zeros(4, "float32")}))
    with pytest.raises(ValueError, match="bytes"):
        load_weights(model, broken(tmp_path, **{**good, "out.bias": np.zeros(10**5)}))
    with pytest.raises(ValueError, match="pickle"):
        load_weights(model, broken(tmp_path, **{**good, "out.bias": np.array([{}] * 3)}))
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match="not a weights file"):
        load_weights(model, tmp_path / "text.npz")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    model = classifier()
    path = save_weights(model, tmp_path / "w.npz")
    old = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        save_weights(model, path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["w.npz"]


def unnamed(units=5):
    return ck.Sequential(
        [
            ck.Input((4,)), layers.Dense(units, "relu"), layers.BatchNormalization(),
            layers.Dense(5, "relu"), layers.Dense(2, "softmax"),
        ]
    )  # fmt: skip


def test_a_second_copy_without_names_takes_the_weights_in_order(tmp_path):
    a, b, other = unnamed(), unnamed(), unnamed(units=6)
    assert [p.path for p in a.parameters] != [p.path for p in b.parameters]
    path = a.save_weights(tmp_path / "w.npz")
    b.load_weights(path)
    for one, two in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"lacks .*; layers are found by their names or, where"):
        other.load_weights(path)
    assert all(np.array_equal(p, q) for p, q in zip(before, other.get_weights(), strict=True))


def test_names_go_before_the_order(tmp_path):
    def twins(*names):
        return ck.Sequential([ck.Input((3,)), *(layers.Dense(3, name=name) for name in names)])

    a, b = twins("one", "two"), twins("two", "one")
    b.load_weights(a.save_weights(tmp_path / "w.npz"))
    for name in ("one", "two"):
        kernel = a.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(b.get_layer(name).get_weights()[0], kernel)


def test_other_names_within_layers_are_not_taken_in_order(tmp_path):
    model = ck.Sequential([ck.Input((3,)), layers.Dense(3, name="d"), layers.Dense(3, name="e")])
    arrays = [p.numpy() for p in model.parameters]
    for names in (["a.kernel", "a.shift", "b.kernel", "b.bias"],
                  ["a.kernel", "b.bias", "b.kernel", "a.bias"]):  # fmt: skip
        with pytest.raises(ValueError, match="is not of model"):
            model.load_weights(broken(tmp_path, **dict(zip(names, arrays, strict=True))))


@pytest.mark.parametrize("wrap", [lambda layer: layer, layers.Bidirectional])
def test_carried_states_are_no_part_of_a_file(wrap, tmp_path):
    def network(batch):
        stateful = batch is not None
        return ck.Sequential(
            [ck.Input((5, 2), batch_size=batch), wrap(layers.LSTM(3, stateful=stateful))]
        )

    x = np.random.default_rng(0).standard_normal((4, 5, 2)).astype("f4")
    two, four, free = network(2), network(4), network(None)
    path = two.save_weights(tmp_path / "w.npz")
    with np.load(path) as file:
        assert not [name for name in file.files if "state" in name]
    four.load_weights(path)
    free.load_weights(path)
    y = four.predict(x, batch_size=4, verbose=0)
    np.testing.assert_array_equal(y, free.predict(x, verbose=0))
    assert not np.array_equal(y, four.predict(x, batch_size=4, verbose=0))  # it carries a state
    two.load_weights(free.save_weights(tmp_path / "free.npz"))
    np.testing.assert_array_equal(two.predict(x[:2], batch_size=2, verbose=0), y[:2])
    # A file that holds states, of any batch size.
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    states = {f"{name.rpartition('.')[0]}.state_h": np.ones((7, 3), "f4") for name in arrays}
    free.load_weights(broken(tmp_path, **arrays, **states))
    np.testing.assert_array_equal(free.predict(x, verbose=0), y)


def test_one_path_for_both(tmp_path):
    a, b = classifier(), classifier()
    a.save_weights(tmp_path / "weights")
    b.load_weights(tmp_path / "weights")
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])
    (tmp_path / "weights.npz").rename(tmp_path / "plain")
    b.load_weights(tmp_path / "plain")
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*none\.npz"):
        b.load_weights(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere$"):
        a.save_weights(tmp_path / "nowhere" / "a.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.npz is a folder"):
        a.save_weights(tmp_path / "folder")


def test_safetensors_round_trip_by_name_and_in_order(tmp_path):
    a, b, c, other = unnamed(), unnamed(), classifier(), unnamed(units=6)
    path = a.save_weights(tmp_path / "w.safetensors")
    assert path.read_bytes()[8:9] == b"{" and os.listdir(tmp_path) == ["w.safetensors"]
    b.load_weights(path)
    for one, two in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    for model, message in ((c, r"lacks hidden\.bias.*has also"), (other, "lacks")):
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"w\.safetensors is not of model.*" + message):
            model.load_weights(path)
        assert all(np.array_equal(p, q) for p, q in zip(before, model.get_weights(), strict=True))


def test_safetensors_of_other_shapes_and_dtypes(tmp_path):
    model = classifier()
    arrays = {p.path: p.numpy() for p in model.parameters}
    path = tmp_path / "w.safetensors"

    def write(**changes):
        with open(path, "wb") as file:
            safetensors.write(file, {**arrays, **changes})

    for dtype in ("float64", "float16"):
        write(**{k: (v + 1).astype(dtype) for k, v in arrays.items()})
        model.load_weights(path)
        for p in model.parameters:
            expected = (arrays[p.path] + 1).astype(dtype).astype("float32")
            np.testing.assert_array_equal(p.numpy(), expected)
    for bias in (np.zeros(4, "float32"), np.zeros(3, "int32")):
        write(**{"out.bias": bias})
        with pytest.raises(ValueError, match=rf"out\.bias is {bias.dtype} \({bias.size},\), the"):
            model.load_weights(path)


def test_places_and_suffixes_of_weights(tmp_path):
    model = classifier()
    with pytest.raises(ValueError, match="for the whole model call save"):
        model.save_weights(tmp_path / "w.convkit")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.save_weights(tmp_path / "none" / "w.npz")
    path = model.save_weights(tmp_path / "w.weights.h5")  # Keras's name; .npz inside
    model.load_weights(path)
    with pytest.raises(FileExistsError):
        model.save_weights(path, overwrite=False)
    with pytest.raises(FileNotFoundError, match="there is no weights file"):
        model.load_weights(tmp_path / "other.safetensors")


def test_a_weights_file_is_no_model(tmp_path):
    path = classifier().save_weights(tmp_path / "w.npz")
    with pytest.raises(ValueError, match=r"holds weights alone: .* load_weights"):
        ck.load_model(path)
