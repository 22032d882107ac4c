"""Batches made in the background: the same training, errors in their place, no thread left."""

import signal
import threading
import time
import traceback

import numpy as np
import pytest

import convkit as ck
from models.conftest import blobs, classifier


@pytest.fixture(autouse=True)
def no_threads_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


X, Y = blobs(60)
BATCHES = [(X[i : i + 7], Y[i : i + 7]) for i in range(0, 60, 7)]


class Again:
    """What can be iterated again; `threads` are those that made batches."""

    def __init__(self, change=lambda n, batch: batch):
        self.change = change
        self.threads = []

    def __iter__(self):
        for n, batch in enumerate(BATCHES):
            self.threads.append(threading.current_thread().name)
            yield self.change(n, batch)


class Numbered:
    """Batches by number, without a base."""

    def __init__(self, batches=BATCHES):
        self.batches = batches
        self.taken = []

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, n):
        self.taken.append(n)
        return self.batches[n]


class Slow(ck.data.PyDataset):
    """Batches that take their time, the first ones the longest; hooks are counted."""

    def __init__(self, **options):
        super().__init__(**options)
        self.begun = self.ended = 0
        self.threads = set()

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, n):
        self.threads.add(threading.current_thread().name)
        time.sleep(0.002 * (len(BATCHES) - n))
        return BATCHES[n]

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


def generator(change=lambda n, batch: batch):
    return iter(Again(change))


def trained(data, **options):
    ck.set_seed(5)
    model = classifier()
    h = model.fit(data, **{"epochs": 3, "verbose": 0, **options})
    return [*model.get_weights(), np.array(list(h.history.values()))]


def assert_same(a, b):
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("steps", [None, 4, 20])
def test_reading_ahead_changes_nothing(steps):
    options = {"steps_per_epoch": steps}
    plain = trained(ck.data.prefetch(Again(), 0), **options)
    for data in (Again(), ck.data.prefetch(Again(), 1), ck.data.prefetch(Again(), 50)):
        assert_same(trained(data, **options), plain)
    assert_same(trained(Numbered(), shuffle=False, **options), plain)
    in_memory = trained(ck.data.prefetch(Again(), 0))
    ck.set_seed(5)
    model = classifier()
    model.fit(X, Y, batch_size=7, epochs=3, shuffle=False, verbose=0)
    assert_same(in_memory[:-1], model.get_weights())


def test_who_makes_the_batches():
    again, once, asked, plain = Again(), Again(), Again(), Again()
    classifier().fit(again, verbose=0)
    classifier().fit(iter(once), verbose=0)
    classifier().fit(ck.data.prefetch(iter(asked)), verbose=0)
    classifier().fit(ck.data.prefetch(plain, 0), verbose=0)
    main = threading.current_thread().name
    assert again.threads[0] == main  # a look at the first batch
    assert all(name.startswith("convkit-data") for name in again.threads[1:])
    assert set(once.threads) == set(plain.threads) == {main}
    assert asked.threads[0] == main
    assert all(name.startswith("convkit-data") for name in asked.threads[1:])


def test_reading_ahead_overlaps_with_training():
    def slow(n, batch):
        time.sleep(0.02)
        return batch

    made = []

    class Watched(Again):
        def __iter__(self):
            for batch in super().__iter__():
                made.append(len(made))
                yield batch

    ahead = []
    hook = ck.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (time.sleep(0.05), ahead.append(len(made)))
    )
    classifier().fit(Watched(slow), callbacks=[hook], verbose=0)
    assert ahead[0] >= 3  # one peeked at, one trained on, and at least one more


@pytest.mark.parametrize("kind", [Again, generator, lambda c: ck.data.prefetch(generator(c))])
def test_exceptions_come_out_in_their_turn(kind):
    def fail(n, batch):
        if n == 4:
            raise ZeroDivisionError("of the fifth batch")
        return batch

    model = classifier()
    with pytest.raises(ZeroDivisionError, match="of the fifth batch") as error:
        model.fit(kind(fail), verbose=0)
    assert model.optimizer.iterations == 4
    assert any(frame.name == "fail" for frame in traceback.extract_tb(error.value.__traceback__))
    other = classifier()
    other.set_weights(model.get_weights())
    other.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        ((X[:5, :3], Y[:5]), ValueError, r"\[fit\] batch 4: input 'points' expects .* \(5, 3\)"),
        ((X[:5], Y[:4]), ValueError, r"\[fit\] batch 4: data cardinality .* x has 5, y has 4"),
        ((X[:5], Y[:5] + 7), ValueError, r"\[fit\] batch 4: label \d+ at index 0"),
        ((X[:5].astype("f2"), Y[:5]), TypeError, r"\[fit\] batch 4: x has dtype float16"),
        ((X[:5], Y[:5], None, None), ValueError, "batch 4: an iterable .* a tuple of 4"),
        ((X[:5],), ValueError, r"\[fit\] batch 4: y is missing"),
        (None, TypeError, "batch 4"),
    ],
)
@pytest.mark.parametrize("source", [Again, generator, "numbered"])
def test_a_wrong_batch_is_named(bad, kind, words, source):
    batches = [bad if n == 3 else batch for n, batch in enumerate(BATCHES)]
    if source == "numbered":
        data = Numbered(batches)
    else:
        data = source(lambda n, batch: batches[n])
    ck.set_seed(5)
    model = classifier()
    with pytest.raises(kind, match=words):
        model.fit(data, shuffle=False, verbose=0)
    assert_same(model.get_weights(), trained(iter(BATCHES[:3]), epochs=1)[:-1])


def test_dtype_and_size_may_change_on_the_way():
    def change(n, batch):
        x, y = batch
        return x[: 7 - n % 3].astype(["f4", "f8", "f4"][n % 3]), y[: 7 - n % 3]

    plain = trained(ck.data.prefetch(Again(change), 0))
    assert_same(trained(Again(change)), plain)
    assert np.isfinite(plain[-1]).all()


def test_generators_are_read_in_step():
    batches = generator()
    model = classifier()
    model.fit(batches, steps_per_epoch=2, epochs=2, verbose=0)
    assert np.array_equal(next(batches)[0], BATCHES[4][0])


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_what_was_read_ahead_is_kept(depth):
    batches = ck.data.prefetch(generator(), depth)
    ck.set_seed(5)
    model = classifier()
    for steps in (1, 3, 2):
        model.fit(batches, steps_per_epoch=steps, verbose=0)
    model.fit(batches, verbose=0)
    assert model.optimizer.iterations == len(BATCHES)
    assert_same(model.get_weights(), trained(generator(), epochs=1)[:-1])


@pytest.mark.parametrize(
    "data", [Again, Numbered, generator, lambda: ck.data.prefetch(generator(), 20)]
)
def test_stopping_early(data):
    model = classifier()

    def stop(batch, logs):
        model.stop_training = batch == 2

    hook = ck.callbacks.LambdaCallback(on_train_batch_end=stop)
    model.fit(data(), epochs=1, callbacks=[hook], verbose=0)
    assert model.optimizer.iterations == 3


def test_interrupted_while_a_batch_is_made():
    def interrupt(n, batch):
        if n == 5:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)
        return batch

    model = classifier()
    with pytest.raises(KeyboardInterrupt):
        model.fit(Again(interrupt), verbose=0)
    assert model.optimizer.iterations <= 5
    model.fit(Again(), verbose=0)


def test_batches_by_number_are_shuffled_by_the_seed():
    orders = []
    for seed in (1, 1, 2):
        ck.set_seed(seed)
        data = Numbered()
        classifier().fit(data, epochs=2, verbose=0)
        assert data.taken[0] == 0  # a look at the first one
        orders.append(data.taken[1:])
    n = len(BATCHES)
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][:n] != orders[0][n:]
    assert sorted(orders[0][:n]) == sorted(orders[0][n:]) == list(range(n))
    data = Numbered()
    classifier().fit(data, shuffle=False, verbose=0)
    assert data.taken[1:] == list(range(n))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_bits(workers):
    data = Slow(workers=workers, max_queue_size=4)
    assert_same(trained(data), trained(Slow()))
    assert data.begun == data.ended == 3
    made = {name for name in data.threads if name.startswith("convkit-data")}
    assert 1 <= len(made) <= workers


def test_evaluate_and_predict_by_number():
    model = classifier()
    want = model.evaluate(X, Y, batch_size=7, verbose=0)
    assert model.evaluate(Numbered(), verbose=0) == want
    assert model.evaluate(Slow(workers=3), verbose=0) == want
    assert np.array_equal(
        model.predict(Numbered([x for x, _ in BATCHES]), verbose=0), model.predict(X, verbose=0)
    )
    assert model.evaluate(Numbered(), steps=2, verbose=0) == model.evaluate(
        X[:14], Y[:14], batch_size=7, verbose=0
    )
    h = model.fit(X, Y, validation_data=Numbered(), verbose=0)
    assert h.history["val_loss"] == [model.evaluate(X, Y, batch_size=7, verbose=0)[0]]


def test_steps_of_batches_by_number_go_on():
    data = Numbered()
    h = classifier().fit(data, shuffle=False, steps_per_epoch=4, epochs=3, verbose=0)
    assert data.taken[1:] == [*range(9), 0, 1, 2] and h.params["steps"] == 4


def test_no_batches():
    with pytest.raises(ValueError, match=r"\[fit\] x is empty: Numbered has 0 batches"):
        classifier().fit(Numbered([]), verbose=0)
    with pytest.raises(ValueError, match="empty"):
        classifier().fit(ck.data.prefetch(iter([])), verbose=0)
    with pytest.raises(ValueError, match="empty"):
        classifier().predict(ck.data.prefetch([]), verbose=0)


def test_batches_by_number_come_alone():
    with pytest.raises(ValueError, match="leave them out"):
        classifier().fit(Numbered(), Y, verbose=0)
    with pytest.raises(ValueError, match="batch_size=3 belongs to the generator"):
        classifier().fit(Numbered(), batch_size=3, verbose=0)


def test_states_and_shuffled_batches_are_warned_of():
    model = ck.Sequential([ck.layers.GRU(2, stateful=True, batch_input_shape=(3, 5, 4))])
    model.compile("sgd", "mse")
    data = Numbered([(np.ones((3, 5, 4)), np.ones((3, 2)))] * 2)
    with pytest.warns(UserWarning, match="carries its state") as caught:
        model.fit(data, verbose=0)
    assert caught[0].filename == __file__
    model.fit(data, shuffle=False, verbose=0)
