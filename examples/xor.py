"""Exclusive or, which no line separates, by six models that can and one that cannot.

Run as ``python examples/xor.py``.
"""

import numpy as np

import convkit as ck
from convkit.models import KernelPerceptron, KernelRidge, Perceptron, RBFNetwork, ThresholdNeuron

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([0, 1, 1, 0])


def gates() -> np.ndarray:
    """Two layers of neurons with given weights: AND of OR and NAND."""
    hidden = [ThresholdNeuron.gate(name).predict(X) for name in ("OR", "NAND")]
    return ThresholdNeuron.gate("AND").predict(np.column_stack(hidden))


def mlp(batch_size: int) -> np.ndarray:
    """One hidden layer, trained by backpropagation; 1 is online, len(X) is full-batch training."""
    ck.set_seed(3)
    model = ck.models.mlp([2, 4, 1], "tanh", "sigmoid")
    model.compile(ck.optimizers.SGD(0.5, momentum=0.9), loss="mse")
    model.fit(X, Y, batch_size=batch_size, epochs=500, verbose=0)
    return model.predict(X)[:, 0]


def main() -> dict[str, bool]:
    """Print every model's answers.

    Returns
    -------
    dict of str to bool
        Whether they are right.
    """
    answers = {
        "perceptron (cannot)": Perceptron().fit(X, Y).predict(X),
        "three threshold neurons": gates(),
        "MLP 2-4-1, online": mlp(1),
        "MLP 2-4-1, full batch": mlp(len(X)),
        "RBF network, exact": RBFNetwork.exact(X, Y).predict(X),
        "kernel perceptron": KernelPerceptron().fit(X, Y).predict(X),
        "kernel ridge": KernelRidge(alpha=1e-3).fit(X, Y).predict(X),
    }
    right = {}
    for name, answer in answers.items():
        right[name] = bool(((answer > 0.5) == Y).all())
        values = "  ".join(f"{a:5.2f}" for a in answer)
        print(f"{name:24} {values}  {'right' if right[name] else 'wrong'}")
    return right


if __name__ == "__main__":
    main()
