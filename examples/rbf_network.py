"""Radial basis function networks: all samples as centres, a few chosen ones, or k-means centres.

Run as ``python examples/rbf_network.py``.
"""

import numpy as np

import convkit as ck
from convkit.models import RBFNetwork


def interpolation() -> dict[str, float]:
    """As MATLAB's newrbe: no error on the samples, whatever they are."""
    x, t = [[1.0], [2.0], [3.0]], [2.0, 4.1, 5.9]
    network = RBFNetwork.exact(x, t, spread=1.0)
    y = network.predict(x)
    print("exact:", y, "between:", network.predict([[1.5], [2.5]]).round(3))
    return {"largest error": float(np.abs(y - t).max())}


def growth() -> dict[str, float]:
    """As MATLAB's newrb: one centre more at a time, until the error is small enough."""
    rng = np.random.default_rng(0)
    x = np.linspace(-4, 4, 120)[:, None]
    t = np.sinc(x[:, 0]) + 0.02 * rng.standard_normal(120)
    last = {}
    for rule in ("worst_error", "ols"):
        network = RBFNetwork.grow(x, t, goal=5e-4, spread=0.8, rule=rule)
        errors = " ".join(f"{e:.4f}" for e in network.errors_)
        print(f"{rule}: {len(network.centers_)} units, mean squared error {errors}")
        last[rule] = float(network.errors_[-1])
    return last


def digits() -> dict[str, float]:
    """k-means centres and one column of targets per class."""
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = (a.reshape(len(a), -1) / a.max() for a in (x, x_test))
    t = ck.utils.to_categorical(y)
    accuracies = {}
    for units in (20, 100, 300):
        network = RBFNetwork(units, width="common", ridge=1e-3, seed=0).fit(x, t)
        accuracy = float(np.mean(network.predict(x_test).argmax(1) == y_test))
        accuracies[f"{units} units"] = accuracy
        print(f"digits, {units} units: {accuracy:.1%} of the test images")
    return accuracies


def main() -> dict[str, float]:
    """Print all three.

    Returns
    -------
    dict of str to float
        Errors of the first two, accuracies of the third.
    """
    return {**interpolation(), **growth(), **digits()}


if __name__ == "__main__":
    main()
