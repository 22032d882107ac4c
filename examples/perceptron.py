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


def learning() -> None:
    """Rosenblatt, 1958: the weights change at each mistake, until there is none."""
    for name, labels in {"NAND": [1, 1, 1, 0], "XOR": [0, 1, 1, 0]}.items():
        model = Perceptron().fit(INPUTS, labels)
        print(
            f"{name:4} separable: {model.separable_}, {model.n_updates_} updates in "
            f"{len(model.mistakes_)} epochs, {model.score(INPUTS, labels):.0%} right"
        )


def bound() -> None:
    """Novikoff, 1962: a margin gamma within a radius R takes at most (R / gamma)^2 updates."""
    rng = np.random.default_rng(0)
    separator = np.array([0.6, 0.8, 0.0])  # of norm 1; the last coordinate is the bias
    x = rng.uniform(-1, 1, (2000, 2))
    side = np.column_stack([x, np.ones(len(x))]) @ separator
    for margin in (0.2, 0.05, 0.01):
        keep = np.abs(side) >= margin
        model = Perceptron().fit(x[keep], side[keep] > 0)
        radius = np.sqrt(np.square(x[keep]).sum(1).max() + 1)
        print(f"margin {margin}: {model.n_updates_} updates <= {(radius / margin) ** 2:.0f}")


def main() -> None:
    gates()
    learning()
    bound()


if __name__ == "__main__":
    main()
