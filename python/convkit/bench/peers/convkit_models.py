"""Whole steps by convkit, through the public `fit` and `predict_on_batch`."""

from __future__ import annotations

from typing import Any

import numpy as np

import convkit as ck
from convkit.bench.peers.workload import Workload, changes, without_dropout

__all__ = ["Steps"]


class Steps:
    """A contender; see `convkit.bench.Contender`."""

    def __init__(self, workload: dict[str, Any], threads: int) -> None:
        ck.set_num_threads(threads)
        self.workload = Workload(**workload)
        self.model = self.workload.model()
        self.x: Any  # of NumPy, or on the GPU
        self.x, self.y = self.workload.data(self.model)
        self.workload.compile(self.model)
        if self.workload.device == "cuda":
            self.x = ck.cuda.asarray(self.x)

    def outputs(self) -> dict[str, list[float]]:
        """Outputs before training, losses of the first steps, and how the weights changed.

        Without dropout; steps that are timed have it.
        """
        work = self.workload
        model, x, y = work.compile(without_dropout(self.model)), self.x, self.y
        found = {"outputs": np.ravel(model.predict_on_batch(x[: work.batch])[:4])[:4000].tolist()}
        if work.mode == "predict":
            return found
        parameters = [p for p in model.parameters if p.trainable]
        before = [p.numpy().copy() for p in parameters]
        losses = []
        for n in range(work.compared):
            at = n * work.batch % len(x)
            loss = model.train_on_batch(x[at : at + work.batch], y[at : at + work.batch])
            losses.append(float(np.ravel(loss)[0]))
        return {**found, "losses": losses, **changes(before, [p.numpy() for p in parameters])}

    def run(self, steps: int) -> None:
        """Train for so many steps, walking through the data; or predict batch by batch."""
        model, batch = self.model, self.workload.batch
        if self.workload.mode == "predict":
            for n in range(steps):
                at = n * batch % len(self.x)
                model.predict_on_batch(self.x[at : at + batch])
            return
        full, rest = divmod(steps, len(self.x) // batch)
        for count, epochs in ((len(self.x), full), (rest * batch, min(rest, 1))):
            if epochs:
                x, y = self.x[:count], self.y[:count]
                model.fit(x, y, batch, epochs, verbose=0, shuffle=False)

    def facts(self) -> dict[str, Any]:
        """Operations of a step, of direct convolutions, and samples."""
        program = self.model.program(self.workload.mode, self.workload.batch)
        return {"flops": program.flops, "samples": self.workload.batch}
