"""The perceptron and ridge regression on a Gaussian kernel.

Run as ``python examples/kernel_machines.py``.
"""

import numpy as np

from convkit.models import KernelPerceptron, KernelRidge, Perceptron


def spirals(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two spirals, one inside the other."""
    turn = 3 * np.pi * np.sqrt(rng.random(n))
    y = rng.integers(0, 2, n)
    angle = turn + np.pi * y
    x = np.column_stack([np.cos(angle), np.sin(angle)]) * turn[:, None] / 10
    return x + 0.02 * rng.standard_normal((n, 2)), y


def classes() -> dict[str, float]:
    """Accuracies on two spirals, which no line can part."""
    rng = np.random.default_rng(0)
    (x, y), (x_test, y_test) = spirals(400, rng), spirals(400, rng)
    line = Perceptron(max_epochs=50).fit(x, y)
    accuracies = {"line": line.score(x_test, y_test)}
    print(f"perceptron: {accuracies['line']:.1%} of the spirals")
    for sigma in ("median", 0.1):
        model = KernelPerceptron(sigma=sigma, max_epochs=50).fit(x, y)
        accuracies[f"sigma {sigma}"] = accuracy = model.score(x_test, y_test)
        print(
            f"kernel perceptron, sigma {model.sigma_:.2f}: {accuracy:.1%}, "
            f"{len(model.support_)} support vectors, separable: {model.separable_}"
        )
    return accuracies


def curve() -> dict[str, float]:
    """How much of a curve is found behind noisy samples of it: R^2."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-4, 4, (80, 1))
    t = np.sinc(x[:, 0]) + 0.1 * rng.standard_normal(80)
    grid = np.linspace(-4, 4, 200)[:, None]
    found = {}
    for alpha in (1e-6, 0.1, 100):
        model = KernelRidge(alpha, sigma=0.5).fit(x, t)
        found[f"alpha {alpha:g}"] = r2 = model.score(grid, np.sinc(grid[:, 0]))
        print(
            f"kernel ridge, alpha {alpha:g}: R^2 {model.score(x, t):.3f} on the noisy samples, "
            f"{r2:.3f} on the curve behind them"
        )
    return found


def main() -> dict[str, float]:
    """Print both, and the figures by what they were made with.

    Returns
    -------
    dict of str to float
    """
    return {**classes(), **curve()}


if __name__ == "__main__":
    main()
