"""A model through a file, and what has to be the same afterwards."""

import numpy as np

import convkit as ck
from convkit import layers


def summary(model):
    lines = []
    model.summary(print_fn=lines.append)
    return lines


def data(model, n=4):
    rng = np.random.default_rng(1)
    found = []
    for node in model.inputs:
        shape = (node.layer.batch_size or n, *node.shape[1:])
        first = next(c.layer for c in model.calls if node in c.inputs)
        whole = isinstance(first, layers.Embedding | layers.CategoryEncoding)
        found.append(rng.integers(0, 3, shape) if whole else rng.standard_normal(shape, "float32"))
    return found if len(found) > 1 else found[0]


def outputs(model, x):
    model.reset_states()
    y = model.predict(x, verbose=0)
    return y if isinstance(y, list) else [y]


def through_a_file(model, tmp_path, **options):
    return ck.load_model(model.save(tmp_path / "model.convkit"), **options)


def check(model, tmp_path, **options):
    x = data(model)
    expected = outputs(model, x)
    model.reset_states()
    made = through_a_file(model, tmp_path, **options)
    assert type(made) is type(model) and made.name == model.name
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers]
    assert [type(layer) for layer in made.layers] == [type(layer) for layer in model.layers]
    assert [p.path for p in made.parameters] == [p.path for p in model.parameters]
    assert [p.trainable for p in made.parameters] == [p.trainable for p in model.parameters]
    assert summary(made) == summary(model)
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(expected, outputs(made, x), strict=True):
        np.testing.assert_array_equal(a, b)
    configs = [layer.get_config() for layer in made.layers]
    np.testing.assert_equal(configs, [layer.get_config() for layer in model.layers])
    return made
