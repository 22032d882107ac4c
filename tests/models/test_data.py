"""What fit accepts as data, and that it does not change the result."""

import warnings

import numpy as np
import pytest

import convkit as ck
from convkit.models.data import as_source
from models.conftest import blobs, classifier, convnet, images

INTEGERS = ["bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "uint8"]


def other_layouts(x):
    yield "fortran", np.asfortranarray(x)
    yield "sliced", np.repeat(x, 2, axis=0)[::2]
    yield "reversed", x[::-1].copy()[::-1]
    yield "big-endian", x.astype(x.dtype.newbyteorder(">"))
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = x.view(np.uint8).reshape(-1) if x.flags.c_contiguous else 0
    shifted = raw[1:].view(np.uint8)
    yield "misaligned", np.ndarray(x.shape, x.dtype, shifted.data)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def test_memory_layouts_give_the_same_bits():
    x, _ = blobs(16)
    model = classifier()
    want = model.predict(x, verbose=0)
    for name, view in other_layouts(x):
        assert np.array_equal(model.predict(view, verbose=0), want), name


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_gathered_dtypes_are_not_copied(dtype):
    x = np.zeros((4, 4), dtype)
    assert as_source(x, "x") is x


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_taken_as_numbers(dtype):
    x = np.array([[0, 1, 1, 0], [1, 0, 0, 1]], dtype)
    model = classifier()
    want = model.predict(x.astype("float32"), verbose=0)
    assert np.array_equal(model.predict(x, verbose=0), want)


@pytest.mark.parametrize(
    ("x", "way"),
    [
        (np.zeros((2, 4), "float16"), "astype"),
        (np.zeros((2, 4), "complex64"), "real"),
        (np.array([[1, None, 2, 3]], object), "np.stack"),
        (np.array([["a", "b", "c", "d"]]), "text"),
        ([[1.0, 2.0], [3.0]], "different shapes$"),
        ([(np.zeros((2, 4)), np.zeros(2))], "prefetch"),
        ([(np.zeros((2, 4)), np.zeros(2))] * 2, "prefetch"),
    ],
)
def test_refused_dtypes_name_the_way_out(x, way):
    with pytest.raises(TypeError, match=way):
        classifier().predict(x, verbose=0)


def test_lists_and_array_likes():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 4), "float32")

    model = classifier()
    want = model.predict(np.ones((2, 4)), verbose=0)
    assert np.array_equal(model.predict([[1, 1, 1, 1], [1, 1, 1, 1]], verbose=0), want)
    assert np.array_equal(model.predict(Frame(), verbose=0), want)
    assert np.array_equal(model.predict([np.ones((2, 4))], verbose=0), want)
    assert np.array_equal(model.predict({"points": np.ones((2, 4))}, verbose=0), want)


def test_grey_images_need_no_channel_axis():
    x, y = images()
    model = convnet()
    want = model.predict(x, verbose=0)
    assert np.array_equal(model.predict(x[..., 0], verbose=0), want)
    model.fit(x[..., 0], y, verbose=0)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((5, 3, 8, 8), ["pixels", "(N, 8, 8, 3)", "(5, 3, 8, 8)", "channels-first", "transpose"]),
        ((8, 8, 3), ["(8, 8, 3)", "batch axis"]),
        ((5, 9, 8, 3), ["(5, 9, 8, 3)"]),
        ((5,), ["(5,)"]),
        ((), ["()"]),
    ],
)
def test_wrong_shapes(shape, words):
    model = convnet(channels=3)
    with pytest.raises(ValueError) as error:
        model.predict(np.zeros(shape, "float32"), verbose=0)
    for word in words:
        assert word in str(error.value)


def test_labels_in_many_forms():
    x, y = blobs(12)
    model = classifier()
    want = model.evaluate(x, y, verbose=0)
    for form in (
        y.astype("uint8"), y.astype("int64"), y[:, None], y.astype("float32"), list(y),
        y.astype(">i4"), np.repeat(y, 2)[::2],
    ):  # fmt: skip
        assert model.evaluate(x, form, verbose=0) == want
    other = classifier(loss="categorical_crossentropy")
    other.set_weights(model.get_weights())
    for form in (np.eye(3)[y], np.eye(3, dtype="float32")[y], np.eye(3, dtype="uint8")[y]):
        got = other.evaluate(x, form, verbose=0)
        assert got == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: np.where(np.arange(12) == 3, 11, y), "label 11 at index 3 is outside 0..2"),
        (lambda y: np.where(np.arange(12) == 5, -1, y), "label -1 at index 5 is outside 0..2"),
        (lambda y: y + 0.5, "is not an integer"),
        (lambda y: np.where(y == 0, np.nan, y), "is not an integer"),
        (lambda y: np.eye(3)[y], "categorical_crossentropy"),
        (lambda y: y[:10], "x has 12, y has 10"),
    ],
)
def test_wrong_labels(change, words):
    x, y = blobs(12)
    model = classifier()
    before = model.get_weights()
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        model.fit(x, change(y), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_labels_from_one_are_explained():
    x, y = blobs(30)
    with pytest.raises(ValueError, match="labels start at 0"):
        classifier().fit(x, y + 1, verbose=0)


def test_integer_labels_for_a_loss_on_values():
    x, y = blobs(12)
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy"):
        classifier(loss="categorical_crossentropy").fit(x, y, verbose=0)


def test_one_output():
    x, y = blobs(20, classes=2)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(1, "sigmoid")])
    model.compile("adam", "bce", metrics=["accuracy"])
    want = model.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y[:, None].astype("float64"), verbose=0) == want
    p = model.predict(x, verbose=0)[:, 0]
    assert want[0] == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-5)
    assert want[1] == pytest.approx(((p > 0.5) == y).mean())
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="binary_crossentropy"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones((12, 2)), "sample_weight has shape"),
        (np.full(12, np.nan), "finite"),
        (-np.ones(12), "not negative"),
        (np.ones(11), "sample_weight has 11"),
    ],
)
def test_wrong_weights(weight, words):
    x, y = blobs(12)
    with pytest.raises(ValueError, match=words):
        classifier().fit(x, y, sample_weight=weight, verbose=0)


def test_wrong_class_weights():
    x, y = blobs(12)
    with pytest.raises(ValueError, match="class 3"):
        classifier().fit(x, y, class_weight={3: 1.0}, verbose=0)
    with pytest.raises(TypeError, match="dict"):
        classifier().fit(x, y, class_weight=[1.0, 2.0], verbose=0)


def test_generator_equals_arrays():
    x, y = blobs(40)
    weight = np.linspace(0.5, 1, 40).astype("float32")
    a, b, c = classifier(), classifier(), classifier()
    for model in (b, c):
        model.set_weights(a.get_weights())
    a.fit(x, y, batch_size=16, sample_weight=weight, epochs=2, shuffle=False, verbose=0)

    def batches():
        for begin in range(0, 40, 16):
            rows = slice(begin, begin + 16)
            yield x[rows], y[rows], weight[rows]

    class Again:
        def __iter__(self):
            return batches()

    b.fit(Again(), epochs=2, verbose=0)
    for _ in range(2):
        c.fit(batches(), verbose=0)
    for p, q, r in zip(a.get_weights(), b.get_weights(), c.get_weights(), strict=True):
        assert np.array_equal(p, q) and np.array_equal(p, r)
    want = a.evaluate(x, y, sample_weight=weight, verbose=0)
    assert a.evaluate(batches(), verbose=0) == pytest.approx(want)
    assert np.array_equal(a.predict(iter([x[:30], x[30:]]), verbose=0), a.predict(x, verbose=0))


def test_endless_generator_and_validation():
    x, y = blobs(16)

    def endless():
        while True:
            yield x, y

    h = classifier().fit(
        endless(), epochs=3, steps_per_epoch=4, validation_data=endless(), validation_steps=2,
        verbose=0,
    )  # fmt: skip
    assert len(h.history["val_loss"]) == 3 and h.params["steps"] == 4


def test_generator_that_ends_too_soon():
    x, y = blobs(16)
    with pytest.warns(UserWarning, match="ran out"):
        h = classifier().fit(iter([(x, y)] * 5), epochs=3, steps_per_epoch=4, verbose=0)
    assert h.epoch == [0, 1]


def test_generators_come_alone():
    x, y = blobs(16)
    with pytest.raises(ValueError, match="leave them out"):
        classifier().fit(iter([(x, y)]), y, verbose=0)
    with pytest.raises(ValueError, match="validation_split"):
        classifier().fit(iter([(x, y)]), validation_split=0.5, verbose=0)
    with pytest.raises(ValueError, match="empty"):
        classifier().fit(iter([]), verbose=0)


def test_a_batch_size_belongs_to_the_generator():
    x, y = blobs(8)
    model = classifier()
    before = model.get_weights()
    told = r"\] batch_size=3 belongs to the generator: x is an iterable"
    taken = []

    def batches():
        taken.append(1)
        yield x, y

    for run in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=rf"{run.__name__}{told}"):
            run(batches(), batch_size=3)
    with pytest.raises(ValueError, match=r"validation_batch_size=3 belongs .* validation_data is"):
        model.fit(x, y, validation_data=batches(), validation_batch_size=3, verbose=0)
    assert not taken
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.fit(batches(), validation_data=(x, y), validation_batch_size=3, verbose=0)
    model.fit(x, y, batch_size=4, validation_data=batches(), verbose=0)
    assert taken == [1, 1]


def test_empty_data():
    model = classifier()
    none = np.zeros((0, 4), "float32"), np.zeros(0, int)
    with pytest.raises(ValueError, match="empty"):
        model.fit(*none, verbose=0)
    with pytest.raises(ValueError, match="empty"):
        model.evaluate(*none, verbose=0)


@pytest.mark.parametrize("split", [-0.1, 1.0, 1.5, 0.99])
def test_wrong_splits(split):
    x, y = blobs(10)
    with pytest.raises(ValueError, match="validation_split"):
        classifier().fit(x, y, validation_split=split, verbose=0)


def flat(*before, activation="sigmoid"):
    model = ck.Sequential(
        [ck.Input((8, 8, 1)), *before, ck.layers.Flatten(), ck.layers.Dense(4, activation),
         ck.layers.Dense(4, "softmax")]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_raw_pixels_into_sigmoid_warn_once_per_fit():
    x, y = images()
    with pytest.warns(UserWarning, match="x / 255") as caught:
        flat().fit(x, y, epochs=2, verbose=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat().fit(x / 255, y, verbose=0)
        flat(ck.layers.Rescaling(1 / 255)).fit(x, y, verbose=0)
        flat(activation="relu").fit(x, y, verbose=0)


@pytest.mark.parametrize("verb", ["predict", "evaluate", "validation"])
@pytest.mark.parametrize("kind", ["arrays", "iterable"])
def test_too_many_steps_end_with_the_data(verb, kind):
    x, y = blobs(10)
    model = classifier()
    batches = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    data = (x, y) if kind == "arrays" else (batches,)
    seen = []
    hook = "on_predict_batch_end" if verb == "predict" else "on_test_batch_end"
    callback = ck.callbacks.LambdaCallback(**{hook: lambda batch, logs: seen.append(batch)})
    more = {"callbacks": [callback], "verbose": 0}
    if verb == "validation":
        given = (x, y) if kind == "arrays" else iter_again(batches)
        with pytest.warns(UserWarning, match=r"ran out after 3 of 9 steps.*validation_steps="):
            model.fit(
                x, y, epochs=2, validation_data=given, validation_steps=9, **more,
                validation_batch_size=4 if kind == "arrays" else None,
            )  # fmt: skip
        assert seen == [0, 1, 2, 0, 1, 2]
        return
    size = {"batch_size": 4} if kind == "arrays" else {}
    data = data[:1] if verb == "predict" and kind == "arrays" else data
    data = (iter_again(data[0]),) if kind == "iterable" else data
    with pytest.warns(UserWarning, match=rf"\[{verb}\] the data ran out after 3 of 9 steps"):
        result = getattr(model, verb)(*data, steps=9, **size, **more)
    assert seen == [0, 1, 2]
    whole = model.predict(x, verbose=0) if verb == "predict" else model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(result, whole, rtol=1e-6)


class iter_again:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_validation_steps_take_the_same_samples_each_time():
    x, y = blobs(12)
    model = classifier(optimizer=ck.optimizers.SGD(0.0))
    h = model.fit(
        x, y, epochs=3, validation_data=(x, y), validation_batch_size=4, validation_steps=1,
        verbose=0,
    )  # fmt: skip
    assert len(set(h.history["val_loss"])) == 1


def test_a_finite_generator_ends_training_with_a_warning():
    x, y = blobs(8)
    with pytest.warns(UserWarning, match="ran out in epoch 1 of 5"):
        h = classifier().fit(((x, y) for _ in range(3)), epochs=5, verbose=0)
    assert len(h.epoch) == 1


@pytest.mark.parametrize("name", ["validation_data", "test_data"])
def test_a_generator_that_is_used_up_leaves_epochs_without_values_and_says_so(name):
    x, y = blobs(8)
    with pytest.warns(UserWarning, match=f"{name} has no batches left"):
        h = classifier().fit(x, y, epochs=3, verbose=0, **{name: iter([(x, y)])})
    assert len(h.history["loss"]) == 3
    assert len(h.history["val_loss" if name == "validation_data" else "test_loss"]) == 1
