"""Levenberg-Marquardt: on functions, and on networks through their Jacobians."""

import numpy as np
import pytest

import convkit as ck
from convkit.program.jacobian import compile_jacobian
from models.conftest import blobs, classifier, objective_of

LM = ck.optimizers.LevenbergMarquardt


def rosenbrock(w):
    """Residuals and Jacobian; the minimum is at (1, ..., 1)."""
    n = len(w) - 1
    jacobian = np.zeros((2 * n, n + 1))
    at = np.arange(n)
    jacobian[at, at], jacobian[at, at + 1], jacobian[n + at, at] = -20 * w[:-1], 10, -1
    return np.concatenate([10 * (w[1:] - w[:-1] ** 2), 1 - w[:-1]]), jacobian


# SciPy 1.17's least_squares(method="lm") takes 21 + 16 and 37 + 27 evaluations of residuals and
# Jacobian; here each step that is taken counts three, for Jacobian, loss and gradient.
@pytest.mark.parametrize(("n", "expected"), [(2, 45), (10, 72)])
def test_rosenbrock(n, expected):
    found = ck.optimizers.minimize(rosenbrock, [-1.2, 1.0] * (n // 2), "lm")
    assert found.weights == pytest.approx(np.ones(n), abs=1e-8)
    assert found.evaluations <= 1.5 * expected
    assert (np.diff(found.losses) < 0).all()


def test_fitting_an_exponential_decay():
    """Curved as Rosenbrock's valley: amplitude and rate make up for each other."""
    t = np.linspace(0, 3, 30)
    y = 5 * np.exp(-1.3 * t)

    def decay(w):
        e = np.exp(-w[1] * t)
        return w[0] * e - y, np.stack([e, -w[0] * t * e], 1)

    found = ck.optimizers.minimize(decay, [1.0, 0.1], "lm")
    assert found.weights == pytest.approx([5, 1.3], abs=1e-9)
    assert found.evaluations <= 45


def test_one_step_is_that_of_the_equation():
    w = np.array([-1.2, 1.0])
    residuals, jacobian = rosenbrock(w)
    matrix, gradient = 2 * jacobian.T @ jacobian, 2 * jacobian.T @ residuals
    mu = 1e-3 * matrix.diagonal().max()
    step = np.linalg.solve(matrix + mu * np.eye(2), -gradient)
    found = ck.optimizers.minimize(rosenbrock, w, LM(damping=1e-3), iterations=1)
    assert found.weights == pytest.approx(w + step, rel=1e-12)


def test_damping_follows_nielsen():
    """It falls to a third where the model is right, and grows 2, 4, 8, ... times where not."""
    method = LM(damping=1.0)
    line = ck.optimizers.line

    class Linear:
        def __call__(self, w):
            return float((w - 1) @ (w - 1)), 2 * (w - 1)

        def gauss_newton(self, w):
            return 2 * np.eye(len(w))

    evaluations = line.Evaluations(Linear())
    point, memory = evaluations.point(np.zeros(2)), {}
    for k in range(3):
        point, memory, logs, _ = method.iterate(evaluations, point, memory)
        assert logs["damping"] == memory["damping"] == pytest.approx(2 / 3 ** (k + 1))

    class Steep(Linear):  # curvature twenty times as large as the matrix says
        def __call__(self, w):
            return float(20 * (w - 1) @ (w - 1)), 40 * (w - 1)

    evaluations = line.Evaluations(Steep())
    _, memory, _, _ = LM(damping=1e-3).iterate(evaluations, evaluations.point(np.zeros(2)), {})
    # mu = 2e-3 * 2 * 4 * 8 * 16 * 32 = 65.5 is the first that lowers the loss.
    h = 40 / (2 + 65.536)
    share = (40 - 40 * (1 - h) ** 2) / (h * (65.536 * h + 40))
    assert memory["damping"] == pytest.approx(65.536 * max(1 / 3, 1 - (2 * share - 1) ** 3))


def regression():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 5))
    y = x @ rng.standard_normal(5) + 0.3 + 0.1 * rng.standard_normal(50)
    a = np.column_stack([x, np.ones(50)])
    return x, y, np.linalg.lstsq(a, y, rcond=None)[0]


def linear(optimizer, **options):
    model = ck.Sequential([ck.Input((5,)), ck.layers.Dense(1)])
    model.compile(optimizer, "mse", **options)
    return model


def test_linear_regression_takes_one_step():
    x, y, solution = regression()
    model = linear(LM(damping=1e-10))
    history = model.fit(x, y, epochs=1, verbose=0)
    assert model.optimizer.weights == pytest.approx(solution, abs=1e-8)
    assert np.concatenate([w.ravel() for w in model.get_weights()]) == pytest.approx(
        solution, abs=1e-6
    )
    residuals = np.column_stack([x, np.ones(50)]) @ solution - y
    assert history.history["loss"] == pytest.approx([(residuals**2).mean()], rel=1e-12)


def test_weighted_and_regularised_regression_is_exact_too():
    x, y, _ = regression()
    weight = np.random.default_rng(1).uniform(0, 2, 50).astype(np.float32)
    a = np.column_stack([x, np.ones(50)])
    ridge = np.diag([0.05] * 5 + [0.0])
    matrix = a.T * weight @ a / 50 + ridge
    solution = np.linalg.solve(matrix, a.T * weight @ y / 50)
    for batch in (7, 50):
        model = linear(LM(damping=1e-10), regularizer=ck.regularizers.L2(0.05))
        history = model.fit(x, y, batch, epochs=2, sample_weight=weight, verbose=0)
        assert model.optimizer.weights == pytest.approx(solution, abs=1e-7)
        assert history.history["loss"][-1] == pytest.approx(
            history.history["error"][-1] + 0.05 * (solution[:5] ** 2).sum(), rel=1e-9
        )


def network(outputs=2):
    ck.set_seed(3)
    model = ck.Sequential(
        [
            ck.Input((6, 2)),
            ck.layers.SimpleRNN(3, return_sequences=True),
            ck.layers.Flatten(),
            ck.layers.Dense(4, "tanh"),
            ck.layers.Dense(outputs),
        ]
    )
    model.compile("lm", "mse")
    return model


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("batch", [3, 11])
def test_jacobian_of_a_network_is_that_of_differences(batch, reduction):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((11, 6, 2)), rng.standard_normal((11, 2))
    weight = rng.uniform(0, 2, 11).astype(np.float32)
    model = network()
    model.compile("lm", ck.losses.MeanSquaredError(reduction=reduction))
    objective = objective_of(model, x, y, batch, weight)
    w = objective.gather(model.store.parameters)
    matrix = objective.gauss_newton(w)

    def residuals(w):
        objective.scatter(w, model.store.parameters)
        p = float64_predictions(model, x)
        factor = weight[:, None] / 2 / (11 if reduction != "sum" else 1)
        return (np.sqrt(factor) * (p - y)).ravel()

    jacobian = np.empty((22, w.size))
    for k in range(w.size):
        h = np.zeros(w.size)
        h[k] = 1e-2  # float32 weights: differences of fourth order with a wide step
        jacobian[:, k] = (
            8 * (residuals(w + h) - residuals(w - h))
            - (residuals(w + 2 * h) - residuals(w - 2 * h))
        ) / 0.12
    expected = 2 * jacobian.T @ jacobian
    assert matrix == pytest.approx(expected, abs=1e-4 * abs(expected).max())
    loss, gradient = objective(w)
    assert loss == pytest.approx((residuals(w) ** 2).sum(), rel=1e-5)
    assert gradient == pytest.approx(2 * jacobian.T @ residuals(w), abs=1e-4 * abs(gradient).max())


def float64_predictions(model, x):
    return np.asarray(model.predict(x, verbose=0), np.float64)


def test_one_to_ten_to_one_fits_a_sine():
    """MSE below 1e-6 within 40 steps; from biases of 0 it takes ten times as many."""
    x = np.linspace(-np.pi, np.pi, 64)[:, None]
    steps, evaluations = [], []
    for seed in range(8):
        ck.set_seed(seed)
        spread = ck.initializers.RandomUniform(-1.0, 1.0)
        model = ck.Sequential(
            [
                ck.Input((1,)),
                ck.layers.Dense(10, "tanh", bias_initializer=spread),
                ck.layers.Dense(1),
            ]
        )
        model.compile("levenberg_marquardt", "mse")
        history = model.fit(x, np.sin(x), epochs=40, verbose=0).history
        loss = np.array(history["loss"])
        assert (np.diff(loss) < 0).all()
        assert loss[-1] < 1e-6
        assert model.evaluate(x, np.sin(x), verbose=0) < 1e-6
        steps.append(int(np.argmax(loss < 1e-6)) + 1)
        evaluations.append(sum(history["evaluations"][: steps[-1]]))
    assert np.median(steps) <= 25 and max(evaluations) <= 120


def test_history_has_the_damping():
    x, y, _ = regression()
    history = linear("lm").fit(x, y, epochs=3, verbose=0).history
    assert list(history) == ["damping", "evaluations", "gradient_norm", "loss"]
    assert history["damping"][1] == pytest.approx(history["damping"][0] / 3)


def test_what_it_is_not_for_is_refused_with_the_way_out():
    x, y = blobs(30)
    model = classifier(optimizer="lm")
    with pytest.raises(
        ValueError, match=r"minimises squared errors.*'sparse_categorical_crossentropy'.*\"lbfgs\""
    ):
        model.fit(x, y, verbose=0)
    x, y, _ = regression()
    model = linear(LM(max_bytes=287))
    with pytest.raises(
        ValueError, match=r"the matrix of 6 weights takes 288 bytes, more than max_bytes=287; use"
    ):
        model.fit(x, y, verbose=0)
    with pytest.raises(TypeError, match="unexpected argument 'learning_rate'"):
        LM(learning_rate=0.1)
    with pytest.raises(TypeError, match="LevenbergMarquardt has no learning_rate"):
        LM().learning_rate = 0.1
    with pytest.raises(ValueError, match="max_evaluations is 0, expected at least 1"):
        LM(max_evaluations=0)
    with pytest.raises(ValueError, match="damping is 0, expected a number above 0"):
        LM(damping=0)
    for layer in (ck.layers.Dropout(0.5), ck.layers.BatchNormalization()):
        model = ck.Sequential([ck.Input((5,)), layer, ck.layers.Dense(1)])
        model.compile("lm", "mse")
        with pytest.raises(ValueError, match="depends on more than its sample"):
            model.fit(x, y, verbose=0)


def test_the_program_of_a_jacobian_is_one_sample():
    model = network()
    inputs = [ck.ops.registry.Spec((6, 2), "float32")]
    program = compile_jacobian(model, inputs=inputs, dtype="float64", indexed=False)
    assert program.batch == 1 and program.commit == len(program.instructions)
    assert program.externals["seed"].spec.shape == (1, 2)
