"""Training steps by convkit, through the public `fit`."""

from __future__ import annotations

import numpy as np

import convkit as ck
from convkit.bench.cases import ADAM_EPSILON, CASES, Case


def _model(case: Case) -> ck.Sequential:
    if case.network == "lenet5":
        model = ck.models.lenet5()
    else:
        model = ck.models.mlp(case.sizes)
    return model


class Training:
    """Runs steps of one case; see `convkit.bench.worker`."""

    def __init__(self, case: str, threads: int) -> None:
        ck.set_num_threads(threads)
        self.case = CASES[case]
        self.x, self.y = self.case.data()
        self.model = _model(self.case)
        self.reset()

    def reset(self) -> None:
        adam = self.case.optimizer == "adam"
        optimizer = (
            ck.optimizers.Adam(0.001, epsilon=ADAM_EPSILON)
            if adam
            else ck.optimizers.SGD(0.01, momentum=0.9)
        )
        self.model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        self.model.build()
        self.model.set_weights(self.case.weights())

    def outputs(self) -> dict[str, list[float]]:
        """Losses of the first eight steps, and the norms of the weights after them."""
        batch = self.case.batch
        losses = []
        for n in range(8):
            at = n * batch % len(self.x)
            loss = self.model.train_on_batch(self.x[at : at + batch], self.y[at : at + batch])
            losses.append(float(np.ravel(loss)[0]))
        norms = [float(np.linalg.norm(w)) for w in self.model.get_weights()]
        self.reset()
        return {"loss": losses, "weight norms": norms}

    def run(self, steps: int) -> None:
        """Train for a number of steps, walking through the data."""
        batch = self.case.batch
        full, rest = divmod(steps, len(self.x) // batch)
        for count, epochs in ((len(self.x), full), (rest * batch, min(rest, 1))):
            if epochs:
                x, y = self.x[:count], self.y[:count]
                self.model.fit(x, y, batch, epochs, verbose=0, shuffle=False)
