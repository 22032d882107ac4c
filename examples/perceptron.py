"""A neuron with given weights is a logic gate; a perceptron finds weights from examples.

Run as ``python examples/perceptron.py``.
"""

import numpy as np

from convkit.models import Perceptron, ThresholdNeuron

INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]


def gates() -> None:
    """McCulloch and Pitts, 1943: weights and threshold are set beforehand."""
    for name in ("AND", "OR", "NAND", "NOR"):
        neuron = ThresholdNeuron.gate(name)
        print(f"{name:4} {neuron.predict(INPUTS)}  {neuron!r}")
    print(f"NOT  {ThresholdNeuron.gate('NOT').predict([[0], [1]])}")


def learning() -> dict[str, float]:
    """Rosenblatt, 1958: the weights change at each mistake, until there is none."""
    scores = {}
    for name, labels in {"NAND": [1, 1, 1, 0], "XOR": [0, 1, 1, 0]}.items():
        model = Perceptron().fit(INPUTS, labels)
        scores[name] = model.score(INPUTS, labels)
        print(
            f"{name:4} separable: {model.separable_}, {model.n_updates_} updates in "
            f"{len(model.mistakes_)} epochs, {scores[name]:.0%} right"
        )
    return scores


def bound() -> dict[str, float]:
    """Novikoff, 1962: a margin gamma within a radius R takes at most (R / gamma)^2 updates."""
    rng = np.random.default_rng(0)
    separator = np.array([0.6, 0.8, 0.0])  # of norm 1; the last coordinate is the bias
    x = rng.uniform(-1, 1, (2000, 2))
    side = np.column_stack([x, np.ones(len(x))]) @ separator
    shares = {}
    for margin in (0.2, 0.05, 0.01):
        keep = np.abs(side) >= margin
        model = Perceptron().fit(x[keep], side[keep] > 0)
        radius = np.sqrt(np.square(x[keep]).sum(1).max() + 1)
        most = (radius / margin) ** 2
        print(f"margin {margin}: {model.n_updates_} updates <= {most:.0f}")
        shares[f"margin {margin}"] = float(model.n_updates_ / most)
    return shares


def main() -> dict[str, float]:
    """Print all three.

    Returns
    -------
    dict of str to float
        Shares of a gate's inputs that are right, and updates in units of the bound.
    """
    gates()
    return {**learning(), **bound()}


if __name__ == "__main__":
    main()
