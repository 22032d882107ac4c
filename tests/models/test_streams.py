"""Memory-mapped data trains to the same bits as the same data in memory, and is read bit by bit."""

import os
import threading
from contextlib import closing

import numpy as np
import pytest

import convkit as ck
from convkit.data.files import DESCRIPTORS, FileRows, MappedRows, MemoryRows, is_mapped, rows_of
from convkit.models import streams
from convkit.models.data import check_samples
from convkit.models.feeds import ArrayFeed
from models.conftest import blobs, classifier, convnet, images


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(streams, "LEAST", 1)
    monkeypatch.setattr(streams, "BLOCK", 1000)


@pytest.fixture(autouse=True)
def no_threads_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Numbered:
    """Batches by number."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, n):
        return self.batches[n]


def mapped(path, array, mode="r"):
    np.save(path, array)
    return np.load(path, mmap_mode=mode)


def trained(x, y, model=convnet, **options):
    ck.set_seed(5)
    network = model()
    h = network.fit(x, y, **{"batch_size": 6, "epochs": 3, "verbose": 0, **options})
    return [*network.get_weights(), np.array(list(h.history.values()))]


def assert_same(a, b):
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
@pytest.mark.parametrize(
    "options",
    [{}, {"steps_per_epoch": 5}, {"validation_split": 0.3}, {"split": (0.5, 0.25, 0.25)}],
)
def test_the_same_bits_as_in_memory(tmp_path, shuffle, options):
    x, y = images(40)
    want = trained(x, y, shuffle=shuffle, **options)
    file = mapped(tmp_path / "x.npy", x)
    assert_same(trained(file, y, shuffle=shuffle, **options), want)
    both = mapped(tmp_path / "y.npy", y)
    assert_same(trained(file, both, shuffle=shuffle, **options), want)
    assert_same(trained(x, both, shuffle=shuffle, **options), want)


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
def test_an_epoch_from_the_middle(tmp_path, shuffle):
    x, y = images(40)
    model = convnet()
    file = mapped(tmp_path / "x.npy", x)
    feeds = [
        ArrayFeed(check_samples("fit", model, data, y, loss=model.loss), 6, shuffle)
        for data in (x, file)
    ]
    for skip in range(8):
        taken = []
        for feed in feeds:
            steps = []
            for s in feed.epoch(3, skip=skip):
                rows = np.arange(s.samples.count) if s.order is None else s.order
                for k in range(s.first, s.first + s.steps * s.batch, s.batch):
                    steps.append(s.samples.arrays["x"][rows[k : k + s.batch]].tobytes())
            taken.append(steps)
        assert taken[0] == taken[1] and len(taken[0]) == 7 - min(skip, 7)


def test_orders_differ():
    x, y = images(40)
    first, *others = (trained(x, y, shuffle=s)[0] for s in (True, False, "batch"))
    assert not any(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("executor", ["eager", "reference"])
def test_other_executors(tmp_path, executor):
    x, y = images(20)
    file, results = mapped(tmp_path / "x.npy", x), []
    for data in (x, file):
        ck.set_seed(5)
        model = convnet()
        model.executor = executor
        model.fit(data, y, batch_size=6, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):  # the reference rounds its weights after each run
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 if executor == "reference" else 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float64", ">f4", ">i2"])
def test_dtypes(tmp_path, dtype):
    x, y = blobs(40)
    x = np.abs(3 * x).astype(dtype)
    assert_same(trained(mapped(tmp_path / "x.npy", x), y, classifier), trained(x, y, classifier))


def test_weights_and_classes(tmp_path):
    x, y = blobs(40)
    weight = np.linspace(0, 1, 40)
    options = {"sample_weight": weight, "class_weight": {0: 3.0}, "validation_split": 0.2}
    want = trained(x, y, classifier, **options)
    x, label = mapped(tmp_path / "x.npy", x), mapped(tmp_path / "y.npy", y)
    assert_same(trained(x, y, classifier, **options), want)
    options["sample_weight"] = mapped(tmp_path / "w.npy", weight)
    assert_same(trained(x, label, classifier, **options), want)


def test_evaluate_predict_and_validation(tmp_path):
    x, y = images(41)
    file, label = mapped(tmp_path / "x.npy", x), mapped(tmp_path / "y.npy", y)
    model = convnet()
    want = model.evaluate(x, y, batch_size=7, verbose=0)
    assert model.evaluate(file, y, batch_size=7, verbose=0) == want
    assert model.evaluate(file, label, batch_size=7, verbose=0) == want
    assert model.evaluate(file, y, batch_size=7, steps=2, verbose=0) == model.evaluate(
        x[:14], y[:14], batch_size=7, verbose=0
    )
    assert np.array_equal(model.predict(file, verbose=0), model.predict(x, verbose=0))
    assert_same(trained(x, y, validation_data=(file, label)), trained(x, y, validation_data=(x, y)))


def test_several_inputs(tmp_path):
    a, b = ck.Input((4,), name="a"), ck.Input((4,), name="b")
    out = ck.layers.Dense(3, "softmax")(ck.layers.Concatenate()([a, b]))

    def two():
        model = ck.Model([a, b], out)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.set_weights([np.full(w.shape, 0.1) for w in model.get_weights()])
        return model

    x, y = blobs(40)
    file = mapped(tmp_path / "x.npy", x)
    want = trained([x, -x], y, two)
    assert_same(trained([file, -x], y, two), want)
    assert_same(trained({"a": file, "b": mapped(tmp_path / "b.npy", -x)}, y, two), want)


def test_images_as_targets(tmp_path):
    def coder():
        model = ck.Sequential([ck.Input((8, 8, 1)), ck.layers.Conv2D(1, 3, padding="same")])
        model.compile(ck.optimizers.SGD(1e-7), "mse")
        return model

    x = images(40)[0]
    file = mapped(tmp_path / "x.npy", x)
    assert_same(trained(file, file, coder), trained(x, x, coder))


def test_only_what_is_needed_is_read(tmp_path, monkeypatch):
    x, y = images(40)
    file, most = mapped(tmp_path / "x.npy", x), []
    take = streams.StreamedSamples.take

    def counted(self, sources, rows, memory=None):
        most.append(len(rows))
        return take(self, sources, rows, memory)

    monkeypatch.setattr(streams.StreamedSamples, "take", counted)
    convnet().fit(file, y, batch_size=6, verbose=0)
    assert most == [1, 12, 12, 12, 4]  # the probe, then what fits into a block


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a, lambda a: a[3:], lambda a: a[::2], lambda a: a[::-1], lambda a: a[..., None],
        lambda a: a[5:9, 2:, 1:], lambda a: a.reshape(20, -1), lambda a: np.asarray(a[2:])[3:],
        lambda a: a.transpose(2, 0, 1),
    ],
)  # fmt: skip
def test_rows_of_views(tmp_path, mode, view):
    array = np.arange(20 * 7 * 5, dtype=np.int32).reshape(20, 7, 5)
    part, want = view(mapped(tmp_path / "a.npy", array, mode)), view(array)
    n, rng = len(want), np.random.default_rng(0)
    with closing(rows_of(part)) as source:
        through_map = mode == "c" or not want[:1].flags.c_contiguous
        assert isinstance(source, MappedRows if through_map else FileRows)
        for rows in (np.arange(n), rng.permutation(n), rng.integers(0, n, 50)):
            out = np.empty((len(rows), *want.shape[1:]), np.int32)
            source.read(rows, out)
            assert np.array_equal(out, want[rows])


def test_private_changes_are_seen(tmp_path):
    x, y = blobs(40)
    private, changed = mapped(tmp_path / "x.npy", x, "c"), x.copy()
    private[7:9] = changed[7:9] = 3
    for _ in range(2):
        assert_same(trained(private, y, classifier), trained(changed, y, classifier))
    assert np.array_equal(np.load(tmp_path / "x.npy"), x)


def test_written_maps_are_seen(tmp_path):
    x, y = blobs(40)
    file = mapped(tmp_path / "x.npy", x, "r+")
    file[4] = 1
    x[4] = 1
    assert_same(trained(file, y, classifier), trained(x, y, classifier))


def test_another_file_of_the_same_name_is_not_read(tmp_path):
    x, y = blobs(40)
    file = mapped(tmp_path / "x.npy", x)
    np.save(tmp_path / "new.npy", np.zeros_like(x))
    os.replace(tmp_path / "new.npy", tmp_path / "x.npy")
    with closing(rows_of(file)) as source:
        assert isinstance(source, FileRows if os.path.isdir(DESCRIPTORS) else MappedRows)
    assert_same(trained(file, y, classifier), trained(x, y, classifier))
    os.remove(tmp_path / "x.npy")
    assert_same(trained(file, y, classifier), trained(x, y, classifier))


def test_arrays_in_memory_are_not_mapped(tmp_path):
    file = mapped(tmp_path / "x.npy", np.ones((4, 4)))
    assert is_mapped(file) and is_mapped(file[1:]) and is_mapped(np.asarray(file))
    assert not is_mapped(file + 1) and not is_mapped(np.array(file)) and not is_mapped([1])
    assert isinstance(rows_of(file + 1), MemoryRows)


def test_small_files_go_to_the_kernels_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "LEAST", 1 << 20)
    x, y = blobs(12)
    model = classifier()
    assert not isinstance(
        check_samples("fit", model, mapped(tmp_path / "x.npy", x), y, loss=model.loss),
        streams.StreamedSamples,
    )


@pytest.mark.parametrize(
    ("x", "y", "kind", "words"),
    [
        (np.zeros((12, 5), "f4"), np.zeros(12, int), ValueError, "expects an array of shape"),
        (np.zeros((12, 4), "f2"), np.zeros(12, int), TypeError, r"x.astype\('float32'\)"),
        (np.zeros((12, 4), "c8"), np.zeros(12, int), TypeError, "real"),
        (np.zeros((12, 4), "f4"), np.zeros(11, int), ValueError, "x has 12, y has 11"),
        (np.zeros((12, 4), "f4"), np.zeros((12, 2)), ValueError, "expected integer labels y"),
        (np.zeros((12, 4), "f4"), np.full(12, 3), ValueError, "label 3 at index 0"),
        (np.zeros((12, 4), "f4"), None, ValueError, "y is missing"),
    ],
)
@pytest.mark.parametrize("mapped_y", [False, True])
def test_refused_before_the_first_step(tmp_path, x, y, kind, words, mapped_y):
    model = classifier()
    before = model.get_weights()
    if mapped_y and y is not None:
        y = mapped(tmp_path / "y.npy", y)
    with pytest.raises(kind, match=words):
        model.fit(mapped(tmp_path / "x.npy", x), y, verbose=0)
    assert_same(before, model.get_weights())


def test_a_wrong_label_in_a_file_is_named(tmp_path):
    x, y = blobs(300)
    y[200] = 9
    file, label = mapped(tmp_path / "x.npy", x), mapped(tmp_path / "y.npy", y)
    with pytest.raises(ValueError, match=r"label 9 .* in sample 200 of the memory-mapped data"):
        classifier().fit(file, label, batch_size=8, verbose=0)
    model, seen = classifier(), []
    hook = ck.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    with pytest.raises(ValueError, match="sample 200"):
        model.fit(file, label, batch_size=8, shuffle=False, callbacks=[hook], verbose=0)
    blocks = 1000 // (8 * (x[0].nbytes + y[0].nbytes))
    assert len(seen) == 200 // (8 * blocks) * blocks and model.optimizer.iterations == len(seen)


def test_a_sample_that_is_not_finite_is_named(tmp_path):
    x, y = blobs(40)
    x[23, 1] = np.nan
    for shuffle in (True, False):
        with pytest.raises(ck.NonFiniteError, match=r"x\[23\] holds NaN"):
            classifier().fit(
                mapped(tmp_path / "x.npy", x), y, batch_size=5, shuffle=shuffle, verbose=0
            )


@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_is_cut_off(tmp_path, named):
    x, y = blobs(4000)
    file, path = mapped(tmp_path / "x.npy", x), tmp_path / "x.npy"
    if not named:
        if not os.path.isdir(DESCRIPTORS):
            pytest.skip("read through the map, where this may kill the process")
        os.rename(path, tmp_path / "other.npy")
        path = tmp_path / "other.npy"
    model = classifier()

    def cut(batch, logs):
        if batch == 3:
            os.truncate(path, 2000)

    hook = ck.callbacks.LambdaCallback(on_train_batch_end=cut)
    with pytest.raises(OSError, match="was cut"):
        model.fit(file, y, batch_size=8, callbacks=[hook], verbose=0)
    assert 4 <= model.optimizer.iterations < 100
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_a_map_that_is_cut_off_between_reads(tmp_path):
    file = mapped(tmp_path / "x.npy", np.ones((1000, 4, 4)))[:, :, :2]
    source, out = rows_of(file), np.zeros((3, 4, 2))
    source.read(np.arange(3), out)
    assert isinstance(source, MappedRows) and (out == 1).all()
    os.truncate(tmp_path / "x.npy", 5000)
    with pytest.raises(OSError, match=r"was cut from 128128 to 5000 bytes"):
        source.read(np.arange(3), out)


def test_stopping_in_an_epoch_leaves_no_thread(tmp_path):
    x, y = blobs(400)
    model = classifier()

    def stop(batch, logs):
        model.stop_training = batch == 2

    hook = ck.callbacks.LambdaCallback(on_train_batch_end=stop)
    model.fit(mapped(tmp_path / "x.npy", x), y, batch_size=4, callbacks=[hook], verbose=0)
    assert model.optimizer.iterations == 3


def test_an_interrupted_callback_leaves_no_thread(tmp_path):
    x, y = blobs(400)

    def stop(batch, logs):
        raise KeyboardInterrupt

    hook = ck.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(
            mapped(tmp_path / "x.npy", x), y, batch_size=4, callbacks=[hook], verbose=0
        )
    assert not [t for t in threading.enumerate() if t.name.startswith("convkit-data")]


def test_full_batch_training(tmp_path):
    def model():
        return classifier(optimizer="lbfgs")

    x, y = blobs(40)
    file, label = mapped(tmp_path / "x.npy", x), mapped(tmp_path / "y.npy", y)
    want = trained(x, y, model)
    assert_same(trained(file, label, model), want)


@pytest.mark.parametrize("kind", ["mapped", "by number"])
def test_resumed_in_the_middle_of_an_epoch(tmp_path, kind):
    """Augmented images from a file, or batches by number: the same bits as without a break."""
    x, y = images(40)
    file = mapped(tmp_path / "x.npy", x)
    data = {"x": file, "y": y, "batch_size": 6}
    if kind == "by number":
        data = {"x": Numbered([(x[i : i + 6], y[i : i + 6]) for i in range(0, 40, 6)])}

    def network():
        ck.set_seed(5)
        model = ck.Sequential(
            [ck.Input((8, 8, 1)), ck.layers.RandomTranslation(0.2, 0.2),
             ck.layers.RandomFlip("horizontal"), ck.layers.Flatten(),
             ck.layers.Dense(4, "softmax")]
        )  # fmt: skip
        model.compile(ck.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
        return model

    def saving():
        return [
            ck.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}-{batch}.convkit"), save_freq=5)
        ]

    model = network()
    model.fit(**data, epochs=3, callbacks=saving(), verbose=0)
    files = sorted(tmp_path.glob("*.convkit"))
    assert len(files) == 4
    for path in files:
        again = network()
        again.fit(**data, epochs=3, resume=path, callbacks=saving(), verbose=0)
        assert_same(again.get_weights(), model.get_weights())
