"""Weights files: whole or not at all, and never another model's."""

import os

import numpy as np
import pytest

from convkit.models.weights import load_weights, save_weights
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
