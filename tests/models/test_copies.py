"""Copies of models: by pickle, by copy.deepcopy, through files."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import convkit as ck
from models.conftest import blobs, classifier, convnet, images

X, Y = blobs(40)
WAYS = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "deepcopy": copy.deepcopy}
way = pytest.mark.parametrize("way", WAYS)


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


@way
@pytest.mark.parametrize(
    "optimizer", [ck.optimizers.Adam, lambda: ck.optimizers.SGD(0.1, momentum=0.9)]
)
def test_training_goes_on_in_the_copy_as_in_the_model(way, optimizer):
    a = classifier(optimizer=optimizer())
    a.fit(X, Y, epochs=2, verbose=0)
    b = WAYS[way](a)
    assert same(a, b) and b.optimizer is not a.optimizer
    assert b.optimizer.iterations == a.optimizer.iterations == 4
    before = a.get_weights()
    hb = b.fit(X, Y, epochs=2, verbose=0)
    assert all(np.array_equal(p, q) for p, q in zip(before, a.get_weights(), strict=True))
    ha = a.fit(X, Y, epochs=2, verbose=0)
    assert same(a, b) and ha.history == hb.history
    assert a.optimizer.iterations == 8


@way
def test_models_that_are_not_built_or_compiled(way):
    bare = WAYS[way](ck.Sequential([ck.layers.Dense(3)]))
    assert not bare.inputs and bare.predict(X, verbose=0).shape == (40, 3)
    a = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3)])
    b = WAYS[way](a)
    assert same(a, b) and b.output_shape == (None, 3)
    b.add(ck.layers.Dense(2))
    assert a.output_shape == (None, 3) and b.output_shape == (None, 2)


@way
def test_graphs_and_deep_models(way):
    x = ck.Input((4,))
    shared = ck.layers.Dense(4, "tanh")
    a = ck.Model(x, [ck.layers.add([shared(x), shared(shared(x))]), ck.layers.Dense(2)(x)])
    b = WAYS[way](a)
    for p, q in zip(a.predict(X, verbose=0), b.predict(X, verbose=0), strict=True):
        assert np.array_equal(p, q)
    deep = ck.Sequential([ck.Input((4,)), *(ck.layers.Dense(4) for _ in range(400))])
    assert len(WAYS[way](deep).layers) == 400


@way
def test_frozen_layers_and_images(way):
    x, y = images()
    a = convnet()
    a.get_layer("conv").trainable = False
    a.fit(x, y, verbose=0)
    b = WAYS[way](a)
    a.fit(x, y, verbose=0)
    b.fit(x, y, verbose=0)
    assert same(a, b) and not b.get_layer("conv").trainable


def test_a_copied_layer_keeps_its_weights():
    a = classifier()
    layer = copy.deepcopy(a.get_layer("out"))
    want = a.get_layer("out").get_weights()
    model = ck.Sequential([ck.Input((8,)), layer])
    assert np.array_equal(model.get_weights()[0], want[0])


def test_copy_copy_is_refused():
    with pytest.raises(TypeError, match="deepcopy"):
        copy.copy(classifier())


def test_in_another_process(tmp_path):
    model = classifier()
    (tmp_path / "m.pickle").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", X)
    code = (
        "import pickle, numpy as np; m = pickle.load(open('m.pickle', 'rb'));"
        "np.save('p.npy', m.predict(np.load('x.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), model.predict(X, verbose=0))


def test_weights_files(tmp_path):
    a, b = classifier(), classifier()
    a.fit(X, Y, verbose=0)
    path = a.save_weights(tmp_path / "w.npz")
    assert not same(a, b) and os.listdir(tmp_path) == ["w.npz"]
    b.load_weights(path)
    assert same(a, b)
    with pytest.raises(ValueError, match="is not of model"):
        convnet().load_weights(path)
