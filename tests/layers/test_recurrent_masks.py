"""Padded sequences: steps that a mask leaves out, from the input to the loss."""

from __future__ import annotations

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from layers import loops
from layers.test_recurrent import THREE, make, options_of, sequences, shake

LENGTHS = np.array([6, 4, 1, 0])


def padded(left=False, c=4):
    """Sequences of these lengths, and their mask."""
    x = sequences(len(LENGTHS), 6, c)
    times = np.arange(6)[::-1] if left else np.arange(6)
    mask = times < LENGTHS[:, None]
    return np.where(mask[..., None], x, 0).astype("float32"), mask


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", THREE)
def test_masked_steps_are_passed_over(name, backwards, left):
    x, mask = padded(left)
    node = ck.Input((6, 4))
    layer = make(name, 5, return_sequences=True, return_state=True, go_backwards=backwards)
    model = ck.Model(node, layer(layers.Masking()(node)))
    shake(model)
    y, *states = model.predict(x)
    expected, finals = loops.run(
        name.split()[0].rstrip(","), x, model.get_weights(), mask=mask, backwards=backwards,
        **options_of(name),
    )  # fmt: skip
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)
    for got, final in zip(states, finals):
        np.testing.assert_allclose(got, final, rtol=2e-5, atol=2e-6)
    # The same as without the padding.
    alone = ck.Sequential([ck.Input((4, 4)), make(name, 5, go_backwards=backwards)])
    alone.set_weights(model.get_weights())
    short = x[1:2, 2:] if left else x[1:2, :4]
    np.testing.assert_allclose(states[0][1:2], alone.predict(short), rtol=1e-6, atol=1e-7)


def test_a_mask_from_a_node():
    _, mask = padded()
    node, marks = ck.Input((6, 4)), ck.Input((6,))
    layer = layers.LSTM(3)
    model = ck.Model([node, marks], [layer(node, mask=marks), layer(node)])
    shake(model)
    masked, whole = model.predict([sequences(4, 6, 4), mask])
    weights = model.get_weights()
    np.testing.assert_allclose(
        masked, loops.run("lstm", sequences(4, 6, 4), weights, mask=mask)[1][0], atol=1e-5
    )
    np.testing.assert_allclose(
        whole, loops.run("lstm", sequences(4, 6, 4), weights)[1][0], atol=1e-5
    )


@pytest.mark.parametrize("wrong", [(5,), (6, 1), (6, 4)])
def test_a_mask_of_another_length_is_refused(wrong):
    with pytest.raises(ValueError, match=r"a mask of shape .* does not fit sequences .*6, 4"):
        layers.LSTM(3)(ck.Input((6, 4)), mask=ck.Input(wrong))
    with pytest.raises(ValueError, match=r"mask has shape \(2, 5\), expected \(2, 6\)"):
        ck.ops.lstm(
            np.zeros((2, 6, 4)), np.zeros((4, 12)), np.zeros((3, 12)), mask=np.ones((2, 5), bool)
        )


def model_of_words(**options):
    model = ck.Sequential(
        [
            ck.Input((6,)),
            layers.Embedding(9, 4, mask_zero=True, name="words"),
            layers.LSTM(5, return_sequences=True),
            layers.Dropout(0.0),
            layers.Bidirectional(layers.GRU(3, return_sequences=True)),
            layers.Dense(7, "softmax"),
        ]
    )
    shake(model)
    options = {"metrics": ["accuracy", "sparse_categorical_crossentropy"], **options}
    model.compile("sgd", "sparse_categorical_crossentropy", **options)
    return model


def words(n=5, seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, n)
    lengths[0] = 6
    mask = np.arange(6) < lengths[:, None]
    return np.where(mask, rng.integers(1, 9, (n, 6)), 0), rng.integers(0, 7, (n, 6)), mask


def test_the_loss_is_the_mean_over_the_steps_that_count():
    model = model_of_words()
    x, y, mask = words()
    p = np.take_along_axis(model.predict(x), y[..., None], -1)[..., 0]
    right = model.predict(x).argmax(-1) == y
    logs = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
    losses = -np.log(p)[mask]
    assert logs["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert logs["sparse_categorical_crossentropy"] == pytest.approx(losses.mean(), rel=1e-5)
    assert logs["accuracy"] == pytest.approx(right[mask].mean(), rel=1e-6)


def test_sample_weights_are_multiplied_in():
    model = model_of_words(weighted_metrics=["accuracy"])
    x, y, mask = words()
    weight = np.random.default_rng(0).random((5, 6)).astype("float32")
    p = np.take_along_axis(model.predict(x), y[..., None], -1)[..., 0]
    right = model.predict(x).argmax(-1) == y
    logs = model.evaluate(x, y, batch_size=5, sample_weight=weight, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx((-np.log(p) * weight)[mask].sum() / mask.sum(), rel=1e-5)
    counted = (weight * mask).sum()
    assert logs["weighted_accuracy"] == pytest.approx((weight * mask * right).sum() / counted)


def test_the_sum_of_losses_is_that_of_the_steps_that_count():
    model = model_of_words()
    x, y, mask = words()
    p = np.take_along_axis(model.predict(x), y[..., None], -1)[..., 0]
    model.compile("sgd", ck.losses.SparseCategoricalCrossentropy(reduction="sum"))
    # The sum of a batch counts as often as it has samples; the rows shown include all steps.
    shown = -np.log(p)[mask].sum() * 5 / (5 * 6)
    assert model.evaluate(x, y, batch_size=5, verbose=0) == pytest.approx(shown, rel=1e-5)


def test_gradients_under_a_mask():
    model = model_of_words()
    x, y, _ = words()
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y, max_entries=40)
    assert report.passed, report
    weight = np.random.default_rng(0).random(5)
    report = ck.testing.check_gradients(model, x, y, sample_weight=weight, max_entries=40)
    assert report.passed, report


def test_what_is_padded_has_no_influence_on_training():
    """Other labels in the padding give the same weights, bit for bit."""
    x, y, mask = words(32)
    results = []
    for labels in (y, np.where(mask, y, 0), np.where(mask, y, 6)):
        model = model_of_words()
        model.fit(x, labels, epochs=2, batch_size=8, shuffle=False, verbose=0)
        results.append([w.tobytes() for w in model.get_weights()])
    assert results[0] == results[1] == results[2]


def test_padding_itself_is_not_trained():
    model = model_of_words()
    x, y, _ = words(32)
    before = model.get_weights()[0]
    model.fit(x, y, verbose=0)
    after = model.get_weights()[0]
    assert (after[0] == before[0]).all()
    assert (after[1:] != before[1:]).any(axis=1).all()


def test_a_reversed_sequence_has_a_reversed_mask():
    """Two layers that go backwards give the order of time back, padding and all."""
    x, mask = padded()
    model = ck.Sequential(
        [
            ck.Input((6, 4)),
            layers.Masking(),
            layers.SimpleRNN(3, return_sequences=True, go_backwards=True),
            layers.GRU(2, return_sequences=True, go_backwards=True),
        ]
    )
    shake(model)
    first, second = model.get_weights()[:3], model.get_weights()[3:]
    h, _ = loops.run("simple", x, first, mask=mask, backwards=True)
    y, _ = loops.run("gru", h, second, mask=mask[:, ::-1], backwards=True)
    np.testing.assert_allclose(model.predict(x), y, rtol=2e-5, atol=2e-6)


def test_masking_with_another_value():
    x = np.full((2, 3, 2), 0.1, "float32")
    x[0, 1, 0] = 5
    model = ck.Sequential([ck.Input((3, 2)), layers.Masking(0.1)])
    assert model.predict(x).tolist() == [
        [[0, 0], [5, np.float32(0.1)], [0, 0]],
        [[0, 0], [0, 0], [0, 0]],
    ]
    with pytest.raises(ValueError, match="mask_value must be finite"):
        layers.Masking(float("nan"))
    with pytest.raises(ValueError, match=r"expects sequences \(N, T, ...\)"):
        layers.Masking()(ck.Input((3,)))


def test_a_weighted_loss_among_the_metrics_is_a_mean_over_the_steps_that_count():
    name = "sparse_categorical_crossentropy"
    model = model_of_words(weighted_metrics=[name], metrics=[name])
    x, y, mask = words()
    weight = np.random.default_rng(0).random((5, 6)).astype("float32")
    losses = -np.log(np.take_along_axis(model.predict(x), y[..., None], -1)[..., 0])
    for batch in (5, 2):
        logs = model.evaluate(
            x, y, batch_size=batch, sample_weight=weight, verbose=0, return_dict=True
        )
        counted = weight * mask
        assert logs[name] == pytest.approx(losses[mask].mean(), rel=1e-5)
        assert logs[f"weighted_{name}"] == pytest.approx(
            (losses * counted).sum() / counted.sum(), rel=1e-5
        )


def counted_loss(outputs, nodes, x, mask):
    """The squared error against 0 and its closed form over the steps that `mask` has."""
    model = ck.Model(nodes, outputs)
    shake(model)
    model.compile("sgd", "mse")
    y = model.predict(x)
    loss = model.evaluate(x, np.zeros_like(y), batch_size=len(y), verbose=0)
    return loss, pytest.approx((y.astype("float64") ** 2).mean(-1)[mask].mean(), rel=1e-5)


@pytest.mark.parametrize("join", [layers.add, layers.concatenate])
def test_merging_layers_keep_the_mask_of_their_inputs(join):
    x, mask = padded()
    node = ck.Input((6, 4))
    masked = layers.Masking()(node)
    loss, expected = counted_loss(
        join([masked, layers.LSTM(4, return_sequences=True)(masked)]), node, x, mask
    )
    assert loss == expected


@pytest.mark.parametrize("join", [layers.add, layers.concatenate])
def test_a_step_counts_that_counts_in_any_input(join):
    (x, first), (z, second) = padded(), padded(left=True)
    nodes = [ck.Input((6, 4)), ck.Input((6, 4)), ck.Input((6, 4))]
    dense = [layers.Dense(3)(layers.Masking()(n)) for n in nodes]
    second[1:] &= np.arange(6) > 3
    z = np.where(second[..., None], z, 0)
    third = np.zeros_like(first)
    third[3, 2] = True
    w = np.where(third[..., None], sequences(4, 6, 4), 0)
    union = first | second | third
    assert 0 < union.sum() < union.size and (union != first).any()
    loss, expected = counted_loss(join(dense), nodes, [x, z, w], union)
    assert loss == expected
    # Without a mask all of an input's steps count.
    plain = [dense[0], layers.Dense(3)(nodes[1])]
    loss, expected = counted_loss(join(plain), nodes[:2], [x, z], np.ones_like(union))
    assert loss == expected


def test_masks_are_joined_in_time():
    x, mask = padded()
    nodes = [ck.Input((6, 4)), ck.Input((6, 4))]
    masked = layers.Masking()(nodes[0])
    both = layers.concatenate([masked, nodes[1], layers.Dense(4)(masked)], axis=1)
    every = np.concatenate([mask, np.ones_like(mask), mask], axis=1)
    loss, expected = counted_loss(both, nodes, [x, sequences(4, 6, 4)], every)
    assert loss == expected


@pytest.mark.parametrize(
    "layer",
    [
        layers.LocalResponseNormalization(3),
        layers.Reshape((6, 4)),
        layers.Reshape((-1, 2, 2)),
        layers.Permute((1, 2)),
        layers.Lambda(lambda a: a[..., ::-1]),
    ],
    ids=lambda layer: layer.name,
)
def test_layers_that_keep_the_steps_keep_the_mask(layer):
    x, mask = padded()
    node = ck.Input((6, 4))
    y = layers.Reshape((6, 4))(layer(layers.Dense(4)(layers.Masking()(node))))
    if layer.differentiable:
        y = layers.Dense(2)(y)
    model = ck.Model(node, y)
    shake(model)
    weight = mask / mask.sum()
    values = model.predict(x).astype("float64")
    if not layer.differentiable:
        model.layers[2].trainable = False
    model.compile("sgd", "mse")
    loss = model.evaluate(x, np.zeros_like(values), batch_size=4, verbose=0)
    assert loss == pytest.approx(((values**2).mean(-1) * weight).sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Lambda(lambda a: a.mean(1)), (4,)),
        (layers.Lambda(lambda a: a[:, ::2]), (3, 4)),
        (layers.Permute((2, 1)), (4, 6)),
        (layers.Reshape((12, 2)), (12, 2)),
        (layers.Flatten(), (24,)),
    ],
)
def test_layers_that_change_the_steps_drop_the_mask(layer, shape):
    x, _ = padded()
    model = ck.Sequential([ck.Input((6, 4)), layers.Masking(), layer, layers.Dense(2)])
    model.compile("sgd", "mse")
    y = model.predict(x).astype("float64")
    assert y.shape == (4, *shape[:-1], 2)
    assert model.evaluate(x, 0 * y, batch_size=4, verbose=0) == pytest.approx((y**2).mean())
    model.fit(x, 0 * y, batch_size=4, verbose=0)
    # Not even where there happen to be as many features as steps.
    square = ck.Sequential([ck.Input((6, 6)), layers.Masking(), layers.Permute((2, 1))])
    square.compile("sgd", "mse")
    x, _ = padded(c=6)
    loss = square.evaluate(x, 0 * x, batch_size=4, verbose=0)
    assert loss == pytest.approx((x.astype("float64") ** 2).mean())


def test_a_mask_that_would_get_lost_is_refused():
    node = ck.Input((6, 4, 3))
    model = ck.Model(node, layers.Conv2D(2, 3, padding="same", name="c")(layers.Masking()(node)))
    with pytest.raises(ValueError, match=r"'c' \(Conv2D\) would lose the mask .*\(4, 6, 4, 2\)"):
        model.predict(np.zeros((4, 6, 4, 3), "float32"))
    steps = layers.Masking()(node)
    inside = layers.TimeDistributed(layers.Reshape((2, 6)))(steps)
    assert ck.Model(node, inside).predict(np.zeros((4, 6, 4, 3), "float32")).shape == (4, 6, 2, 6)
