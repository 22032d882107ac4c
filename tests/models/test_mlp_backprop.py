"""Multilayer perceptrons against what is derived by hand, in float64."""

import numpy as np
import pytest

import convkit as ck
from convkit.run.executor import make_executor
from convkit.testing.probe import probe
from program.graphs import randomise

EXECUTORS = ["reference", "native"]
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0], np.float32)


def one_step(model, x, t, executor):
    """Loss, gradients and new weights of one step in float64, by the weights' paths."""
    job = probe(model, x, t, dtype="float64")
    before = {p.path: job.store.view(p).copy() for p in job.store.members}
    sums = np.zeros(1)
    make_executor(executor, job.program, job.store).run(job.data, 1, job.step, None, sums)
    gradients = {p.path: job.store.gradient(p).copy() for p in job.store.members}
    after = {p.path: job.store.view(p).copy() for p in job.store.members}
    return float(sums[0]) * job.loss_scale, before, gradients, after


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_formulas_of_back_propagation(executor):
    # Rumelhart, Hinton and Williams 1986, neuron by neuron: units i feed j, units j feed k,
    # E = 1/2 sum (t - a)^2. MSE over n samples of 2 outputs is E / n, so eps = rate / n.
    n, inputs, hidden, outputs, rate = 5, 3, 4, 2, 0.25
    model = ck.models.mlp([inputs, hidden, outputs], "sigmoid", "sigmoid")
    randomise(model, 3)
    model.compile(ck.optimizers.SGD(rate), "mse")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, inputs))
    t = rng.random((n, outputs))
    loss, before, gradients, after = one_step(model, x, t, executor)
    w1, b1, w2, b2 = (before[p] for p in gradients)
    eps = rate / n
    energy, change = 0.0, [np.zeros_like(w) for w in (w1, b1, w2, b2)]
    for sample, target in zip(x, t):
        a_j = [logistic(b1[j] + sum(w1[i, j] * sample[i] for i in range(inputs)))
               for j in range(hidden)]  # fmt: skip
        a_k = [logistic(b2[k] + sum(w2[j, k] * a_j[j] for j in range(hidden)))
               for k in range(outputs)]  # fmt: skip
        energy += sum((target[k] - a_k[k]) ** 2 for k in range(outputs)) / 2
        delta_k = [(target[k] - a_k[k]) * a_k[k] * (1 - a_k[k]) for k in range(outputs)]
        delta_j = [sum(delta_k[k] * w2[j, k] for k in range(outputs)) * a_j[j] * (1 - a_j[j])
                   for j in range(hidden)]  # fmt: skip
        for j in range(hidden):
            for k in range(outputs):
                change[2][j, k] += eps * delta_k[k] * a_j[j]
            for i in range(inputs):
                change[0][i, j] += eps * delta_j[j] * sample[i]
        change[1] += eps * np.array(delta_j)
        change[3] += eps * np.array(delta_k)
    assert loss == pytest.approx(energy / n, rel=1e-12)
    for path, dw in zip(gradients, change, strict=True):
        np.testing.assert_allclose(-rate * gradients[path], dw, rtol=0, atol=1e-12)
        np.testing.assert_allclose(after[path] - before[path], dw, rtol=0, atol=1e-12)
        assert np.abs(dw).max() > 1e-4


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_deep_linear_network_is_the_product_of_its_matrices(executor):
    sizes = [5, 7, 2, 6, 3]
    model = ck.models.mlp(sizes, None, None)
    randomise(model, 1)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(2)
    x, t = rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    loss, before, _, _ = one_step(model, x, t, executor)
    weights = list(before.values())
    product, shift = np.eye(5), np.zeros(5)
    for w, b in zip(weights[::2], weights[1::2]):
        product, shift = product @ w, shift @ w + b
    assert loss == pytest.approx(np.mean((x @ product + shift - t) ** 2), rel=1e-12)
    assert np.linalg.matrix_rank(product) == 2  # the narrowest layer
    np.testing.assert_allclose(model.predict(x), x @ product + shift, atol=1e-5)


def test_dense_with_mean_squared_error_finds_the_least_squares_solution():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    t = (x @ [1.5, -2.0, 0.5] + 0.7 + 0.3 * rng.standard_normal(40)).astype(np.float32)
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1)])
    model.compile(ck.optimizers.SGD(0.2), "mse")
    model.fit(x, t, batch_size=len(x), epochs=300, verbose=0)
    design = np.column_stack([x, np.ones(40)]).astype(np.float64)
    solution, rest, _, _ = np.linalg.lstsq(design, t.astype(np.float64), rcond=None)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose([*kernel[:, 0], *bias], solution, atol=2e-6)
    assert model.evaluate(x, t, verbose=0) == pytest.approx(rest[0] / 40, rel=1e-5)


@pytest.mark.parametrize(
    ("batch", "rate", "updates"),
    [(1, 0.5, 4), (2, 0.7, 2), (4, 1.0, 1)],
    ids=["online", "mini-batch", "full-batch"],
)
def test_exclusive_or_by_any_size_of_batch(batch, rate, updates):
    ck.set_seed(3)
    model = ck.models.mlp([2, 4, 1], "tanh", "sigmoid")
    model.compile(ck.optimizers.SGD(rate, momentum=0.9), "mse", metrics=["accuracy"])
    x, y = XOR
    model.fit(x, y, batch_size=batch, epochs=1, verbose=0)
    assert model.optimizer.iterations == updates
    model.fit(x, y, batch_size=batch, epochs=400, verbose=0)
    np.testing.assert_allclose(model.predict(x)[:, 0], y, atol=0.1)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0


def test_no_batch_size_means_32():
    model = ck.models.mlp([2, 1], output_activation=None)
    model.compile("sgd", "mse")
    x = np.zeros((65, 2), np.float32)
    model.fit(x, x[:, 0], epochs=1, verbose=0)
    assert model.optimizer.iterations == 3


def test_a_linear_network_cannot_learn_exclusive_or():
    model = ck.models.mlp([2, 8, 1], None, None)
    model.compile(ck.optimizers.SGD(0.1), "mse")
    x, y = XOR
    model.fit(x, y, batch_size=4, epochs=500, verbose=0)
    np.testing.assert_allclose(model.predict(x), 0.5, atol=1e-2)


def test_a_mini_batch_gradient_is_the_mean_of_its_samples():
    model = ck.models.mlp([3, 5, 2], "tanh", "sigmoid")
    randomise(model, 7)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((6, 3)), rng.random((6, 2))
    whole = one_step(model, x, t, "reference")[2]
    parts = [one_step(model, x[i : i + 1], t[i : i + 1], "reference")[2] for i in range(6)]
    for path, gradient in whole.items():
        mean = np.mean([part[path] for part in parts], axis=0)
        np.testing.assert_allclose(gradient, mean, rtol=0, atol=1e-14)


# ---- a step activation


@pytest.mark.parametrize("separate", [False, True])
def test_training_through_a_step_is_refused(separate):
    parts = [ck.layers.Dense(3, None if separate else "step", name="gates")]
    if separate:
        parts.append(ck.layers.Activation("step", name="limit"))
    model = ck.Sequential([ck.Input((2,)), *parts, ck.layers.Dense(1, name="out")])
    name = "limit" if separate else "gates"
    message = rf"layer '{name}' .*: step has no derivative .* weights of layer 'gates' before it"
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", "mse")
    kernel, bias, out, _ = model.get_weights()  # it still answers
    x = XOR[0]
    np.testing.assert_allclose(model.predict(x), (x @ kernel + bias > 0) @ out, atol=1e-6)


def test_a_step_behind_frozen_layers_is_no_obstacle():
    model = ck.Sequential(
        [
            ck.Input((2,)),
            ck.layers.Dense(2, "step", name="gates", trainable=False),
            ck.layers.Dense(1, name="out"),
        ]
    )
    model.build()
    model.get_layer("gates").set_weights([[[1, 1], [1, 1]], [-0.5, -1.5]])  # OR and AND
    model.compile(ck.optimizers.SGD(0.2), "mse")
    x, y = XOR
    model.fit(x, y, batch_size=4, epochs=500, verbose=0)
    np.testing.assert_allclose(model.predict(x)[:, 0], y, atol=1e-3)
    np.testing.assert_allclose(model.get_layer("out").get_weights()[0], [[1], [-1]], atol=2e-3)
