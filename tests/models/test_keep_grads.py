"""Training with gradients that are not kept: the same bits, whole steps, and clear errors."""

import copy
import mmap
import signal
import sys
import threading

import numpy as np
import pytest

import convkit as ck
from convkit import _core, callbacks, layers, optimizers
from convkit.program import update

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
CROSS_ENTROPY = "sparse_categorical_crossentropy"


@pytest.fixture(autouse=True)
def small_weights_count(monkeypatch):
    monkeypatch.setattr(update, "pays", lambda dw, dy, x: True)


def chain(**options):
    return ck.Sequential(
        [
            ck.Input((6,)),
            layers.Dense(9, "relu", name="a", **options),
            layers.Dense(70, "tanh", name="b"),
            layers.Dense(3, "softmax", name="c"),
        ]
    )


def shared():
    """A layer used twice, and a value that two layers read."""
    x = ck.Input((6,))
    twice, left, right = (layers.Dense(n, "tanh") for n in (6, 4, 4))
    h = twice(twice(x))
    return ck.Model(x, layers.Dense(3, "softmax")(layers.add([left(h), right(h)])))


def images():
    return ck.Sequential(
        [
            ck.Input((6,)),
            layers.Reshape((2, 3, 1)),
            layers.Conv2D(4, 2, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(8, "relu"),
            layers.Dense(3, "softmax"),
        ]
    )


def sequences():
    """A dense layer step by step, behind a mask."""
    return ck.Sequential(
        [
            ck.Input((3, 2)),
            layers.Masking(),
            layers.SimpleRNN(5, return_sequences=True),
            layers.TimeDistributed(layers.Dense(4, "tanh")),
            layers.LSTM(4),
            layers.Dense(3, "softmax"),
        ]
    )


def trained(make, optimizer, keep, *, change=None, executor="native", **compiled):
    """A model after a few steps, the last one of a smaller batch."""
    ck.set_seed(3)
    model = make()
    compiled = {"loss": CROSS_ENTROPY, **compiled}
    model.compile(optimizer(), keep_grads=keep, **compiled)
    model.executor = executor
    if change is not None:
        change(model)
    x = X.reshape(-1, *model.input_shape[1:])
    sparse = model.loss.sparse
    y = Y if sparse else np.eye(3, dtype=np.float32)[Y]
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    program = model.program("train", 16)
    assert bool(program.unkept) == (not keep)
    return model


def assert_same(a, b):
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        assert p.tobytes() == q.tobytes() and np.isfinite(p).all()
    assert a.store.slots.tobytes() == b.store.slots.tobytes()
    assert a.history.history == b.history.history


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "rmsprop": lambda: optimizers.RMSprop(0.01, weight_decay=0.01),
    "rmsprop, centered": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True, clipvalue=0.01),
    "adamw": lambda: optimizers.AdamW(0.01, exclude_from_weight_decay=["a.kernel"]),
    "nadam": lambda: optimizers.Nadam(0.01),
    "adamax": lambda: optimizers.Adamax(0.01),
    "lion": lambda: optimizers.Lion(0.01),
    "maximize": lambda: optimizers.SGD(0.01, maximize=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_bits_do_not_depend_on_it(name):
    assert_same(*(trained(chain, OPTIMIZERS[name], keep) for keep in (True, False)))


@pytest.mark.parametrize("make", [shared, images, sequences])
def test_of_other_networks_neither(make):
    assert_same(*(trained(make, OPTIMIZERS["adam"], keep) for keep in (True, False)))


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy", "hinge", "kl_divergence"])
def test_with_other_losses_neither(loss):
    assert_same(*(trained(chain, OPTIMIZERS["adam"], k, loss=loss) for k in (True, False)))


def freeze(model):
    model.get_layer("b").trainable = False


def scale(model):
    model.get_layer("a").weights[0].lr_multiplier = 0.3
    model.get_layer("c").weights[0].lr_multiplier = 0.0


@pytest.mark.parametrize("change", [freeze, scale])
def test_with_frozen_and_slower_layers_neither(change):
    made = [trained(chain, OPTIMIZERS["momentum"], k, change=change) for k in (True, False)]
    assert_same(*made)


def test_with_penalties_neither():
    def make():
        return chain(kernel_regularizer="l2")

    assert_same(*(trained(make, OPTIMIZERS["adam"], keep) for keep in (True, False)))


def test_native_and_eager_have_the_same_bits():
    assert_same(
        *(trained(chain, OPTIMIZERS["adam"], False, executor=e) for e in ("native", "eager"))
    )


def test_the_reference_differs_by_rounding():
    native, reference = (
        trained(chain, OPTIMIZERS["momentum"], False, executor=e) for e in ("native", "reference")
    )
    for a, b in zip(native.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads):
    ck.set_num_threads(threads)
    many = trained(chain, OPTIMIZERS["adam"], False)
    ck.set_num_threads(1)
    assert_same(trained(chain, OPTIMIZERS["adam"], False), many)


# What is refused changes nothing.


def spoil_input(model, x, bad):
    x[2, 3] = bad


def spoil_weights(model, x, bad):
    """Of the last layer: the loss is NaN, and so is dy."""
    model.get_layer("c").weights[0].value[1, 1] = bad


@pytest.mark.parametrize("executor", ["native", "eager", "reference"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spoil", [spoil_input, spoil_weights])
def test_a_step_that_is_not_finite_changes_nothing(spoil, bad, executor):
    model = trained(chain, OPTIMIZERS["momentum"], False)
    model.executor = executor
    x = X.copy()
    spoil(model, x, bad)
    weights, slots = model.get_weights(), model.store.slots.copy()
    with pytest.raises(ck.NonFiniteError), np.errstate(all="ignore"):
        model.fit(x[:8], Y[:8], batch_size=8, verbose=0)
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(slots, model.store.slots)


def dead_end(scale):
    """Data so large that its gradient overflows, with a loss that is small all the same."""
    model = ck.Sequential([ck.Input((4,)), layers.Dense(2, name="a")])
    model.compile(optimizers.SGD(1e-30), "mse")
    model.set_weights([np.zeros((4, 2), np.float32), np.zeros(2, np.float32)])
    return model, np.full((3, 4), scale, np.float32), np.full((3, 2), 1e18, np.float32)


@pytest.mark.parametrize("executor", ["native", "eager", "reference"])
def test_numbers_whose_products_overflow_are_refused(executor):
    model, x, y = dead_end(3e37)
    model.executor = executor
    with pytest.raises(ck.NonFiniteError, match=r"x has numbers beyond .*keep_grads=True"):
        model.fit(x, y, batch_size=3, verbose=0)
    assert not any(w.any() for w in model.get_weights())
    model, x, y = dead_end(1e17)
    model.executor = executor
    model.fit(x, y, batch_size=3, verbose=0)
    assert all(np.isfinite(w).all() and w.any() for w in model.get_weights())


def test_an_interrupted_run_has_whole_steps():
    class Alarm(Exception):
        pass

    def ring(number, frame):
        raise Alarm

    def run(model, steps=None):
        x, y = np.resize(X, (400_000, 6)), np.resize(Y, 400_000)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, steps_per_epoch=steps)

    ck.set_num_threads(2)
    broken = trained(chain, OPTIMIZERS["adam"], False)
    whole = copy.deepcopy(broken)
    begun = broken.optimizer.iterations
    before = signal.signal(signal.SIGALRM, ring)
    timer = threading.Timer(0.15, signal.raise_signal, (signal.SIGALRM,))
    timer.start()
    try:
        with pytest.raises(Alarm):
            run(broken)
    finally:
        timer.join()
        signal.signal(signal.SIGALRM, before)
    steps = broken.optimizer.iterations - begun
    assert 0 < steps < 50_000
    run(whole, steps)
    for a, b in zip(broken.get_weights(), whole.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    assert broken.store.slots.tobytes() == whole.store.slots.tobytes()


# Whoever reads gradients gets them, or is told how.


def test_a_gradient_that_was_not_kept_says_what_to_do():
    model = trained(chain, OPTIMIZERS["sgd"], False)
    kernel, bias = model.get_layer("b").weights
    for read in (lambda: model.store.gradient(kernel), lambda: model.store.gradients):
        with pytest.raises(RuntimeError, match=r"'(b|c)\.kernel' was not kept.*keep_grads=True"):
            read()
    assert model.store.gradient(bias).any()
    model.compile("sgd", CROSS_ENTROPY, keep_grads=True)
    model.train_on_batch(X, Y)
    assert model.store.gradient(kernel).any() and model.store.gradients.any()


def test_before_the_first_step_there_are_none():
    model = chain()
    model.compile("sgd", CROSS_ENTROPY, keep_grads=True)
    model.build()
    kernel = model.get_layer("b").weights[0]
    with pytest.raises(RuntimeError, match=r"no gradient of 'b\.kernel' yet.*no training step"):
        model.store.gradient(kernel)
    with pytest.raises(RuntimeError, match=r"no gradients yet: no training step.*train_on_batch"):
        _ = model.store.gradients
    model.evaluate(X, Y, verbose=0)
    copied = copy.deepcopy(model)
    for each in (model, copied):
        assert not each.store.has_step
        each.train_on_batch(X, Y)
        assert each.store.gradient(each.get_layer("b").weights[0]).any()


def test_convergence_is_saved_before_there_is_a_gradient():
    stop = callbacks.Convergence(1e9, on="gradient")
    model = chain()
    model.compile("sgd", CROSS_ENTROPY)
    model.build()
    stop.set_model(model)
    state = stop.get_state()
    assert "gradients" not in state
    stop.set_state(state)
    assert not model.store.has_step


def test_a_callback_gets_the_gradients_that_it_asks_for():
    class Norms(callbacks.Callback):
        def __init__(self, needs):
            super().__init__()
            self.needs_gradients = needs
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(float(np.linalg.norm(self.model.store.gradients)))

    model = trained(chain, OPTIMIZERS["sgd"], False)
    with pytest.raises(RuntimeError, match="set needs_gradients = True"):
        model.fit(X, Y, verbose=0, callbacks=[Norms(False)])
    norms = Norms(True)
    model.fit(X, Y, verbose=0, epochs=2, callbacks=[norms])
    assert len(norms.seen) == 2 and min(norms.seen) > 0
    model.fit(X, Y, verbose=0)  # without it they are used up again
    with pytest.raises(RuntimeError, match="was not kept"):
        _ = model.store.gradients


def test_convergence_of_the_gradient_has_it():
    stop = callbacks.Convergence(1e9, on="gradient")
    assert stop.needs_gradients and not callbacks.Convergence(1, on="weights").needs_gradients
    model = trained(chain, OPTIMIZERS["sgd"], False)
    model.fit(X, Y, verbose=0, epochs=5, callbacks=[stop])
    assert stop.change is not None and stop.change > 0
    assert model.history.epoch == [0, 1]


def test_a_full_batch_optimizer_leaves_its_gradient_behind():
    model = trained(chain, OPTIMIZERS["sgd"], False)
    model.compile("steepest_descent", CROSS_ENTROPY)
    model.fit(X, Y, verbose=0)
    assert model.store.gradients.any()


def test_the_flag_is_saved_and_must_be_one(tmp_path):
    for keep in (True, False):
        model = trained(chain, OPTIMIZERS["sgd"], keep)
        model.save(tmp_path / "model.convkit")
        again = ck.load_model(tmp_path / "model.convkit")
        assert bool(again.program("train", 4).unkept) == (not keep)
    with pytest.raises(TypeError, match="keep_grads must be True or False, not 'yes'"):
        chain().compile("sgd", CROSS_ENTROPY, keep_grads="yes")


def test_a_resumed_run_may_keep_what_the_first_did_not(tmp_path):
    path = tmp_path / "run.convkit"

    def run(keep, epochs):
        ck.set_seed(5)
        model = chain()
        model.compile("adam", CROSS_ENTROPY, keep_grads=keep)
        save = callbacks.ModelCheckpoint(path)
        model.fit(X, Y, epochs=epochs, callbacks=[save], resume=path, verbose=0)
        return model.get_weights()

    run(False, 1)
    resumed = run(True, 3)
    path.unlink()
    for a, b in zip(resumed, run(False, 3), strict=True):
        assert a.tobytes() == b.tobytes()


def present(array):
    """The share of an array's pages that are there."""
    page = mmap.PAGESIZE
    first, count = array.ctypes.data // page, array.nbytes // page
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(8 * first)
        entries = np.frombuffer(file.read(8 * count), np.uint64)
    return float((entries >> np.uint64(63)).mean())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc/self/pagemap")
def test_gradients_that_are_not_kept_take_up_no_memory():
    shares = []
    for keep in (True, False):
        model = ck.Sequential([ck.Input((1024,)), layers.Dense(4096), layers.Dense(3, "softmax")])
        model.compile(optimizers.SGD(0.01), CROSS_ENTROPY, keep_grads=keep)
        model.fit(np.resize(X, (4, 1024)), Y[:4], verbose=0)
        assert present(model.store.parameters) == 1
        assert not model.store.gradient_buffer[-1]  # a gap, and reading it writes nothing
        shares.append(present(model.store.gradient_buffer))
    assert shares[0] == 1 and shares[1] < 0.5  # the bias has a huge page of its own


def test_new_memory_is_zero_and_aligned():
    for size in (0, 1, 63, 64, 1 << 20, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9 << 20):
        array = np.asarray(_core.Buffer(size))
        assert array.nbytes == size and not array.any()
        assert array.ctypes.data % (64 if size < 2 << 20 else 2 << 20) == 0 or not size
        array[...] = 255
