"""fit, evaluate, predict: Keras's way to use a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from convkit.callbacks import CallbackList, History
from convkit.data.sequence import is_sequence
from convkit.losses import Loss
from convkit.models.arguments import (
    batches,
    check_fraction,
    check_shuffle,
    check_split,
    check_steps,
    count,
    prepare_validation,
    refuse_batch_size,
)
from convkit.models.compilation import Compilable
from convkit.models.compiled import Totals, reject_unknown
from convkit.models.data import Samples, check_samples, is_arrays, warn_output
from convkit.models.diagnose import diagnose
from convkit.models.epochs import Fit, evaluate_feed
from convkit.models.feeds import ArrayFeed, Feed, IterableFeed, Segment, SequenceFeed, peek
from convkit.models.fixed_batch import check_batches, fixed_batch, warn_shuffled
from convkit.models.full_batch import check_full_batch, usual_chunk
from convkit.models.parts import Parts, cut_last, cut_parts
from convkit.models.progress import Progress, is_silent
from convkit.models.resume import find
from convkit.models.saturation import warn_flat_start
from convkit.ops.registry import Step
from convkit.run.executor import Executor

__all__ = ["Trainer"]

BATCH = 32  # Keras's default


class Trainer(Compilable):
    """What `Model` inherits: training and its relatives."""

    def _feed(
        self,
        verb: str,
        x: Any,
        y: Any,
        batch_size: int | None,
        steps: int | None,
        sample_weight: Any = None,
        loss: Loss | None = None,
        kind: str | None = None,
    ) -> Feed:
        """A feed of arrays or of an iterable, in order and once through."""
        if not is_arrays(x):
            return self._iterable(
                verb, x, y, steps, loss, sample_weight=sample_weight, kind=kind or verb
            )
        samples = check_samples(verb, self, x, y, sample_weight, None, loss)
        batch = count(verb, "batch_size", batch_size, self._usual_batch)
        check_batches(verb, self, samples.count, batch)
        return ArrayFeed(samples, batch, False, steps, kind or verb)

    @property
    def _usual_batch(self) -> int:
        return fixed_batch(self) or BATCH

    def _iterable(
        self,
        verb: str,
        x: Any,
        y: Any,
        steps: int | None,
        loss: Loss | None,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        kind: str = "fit",
        shuffle: bool | str = False,
    ) -> Feed:
        def check(x: Any, y: Any, weight: Any) -> Samples:
            samples = check_samples(verb, self, x, y, weight, class_weight, loss)
            check_batches(verb, self, samples.count, samples.count)
            return samples

        source = batches(verb, x, y, sample_weight)
        if is_sequence(source):
            if shuffle:
                warn_shuffled(self, stacklevel=4)
            return SequenceFeed(source, check, bool(shuffle), steps, kind)
        return IterableFeed(source, check, steps, kind)

    def _parts(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None,
        loss: Loss,
        last: float,
        split: Any,
    ) -> Parts:
        """The samples for training, and those held back: the last ones, or drawn by `split`."""
        samples = check_samples("fit", self, x, y, sample_weight, class_weight, loss)
        if not samples.count:
            raise ValueError("[fit] x is empty: there is nothing to train on")
        if not last and split is None:
            return Parts(samples, None, None, {})
        plain = samples
        if class_weight is not None:  # classes have weights in training only
            plain = check_samples("fit", self, x, y, sample_weight, None, loss)
        if split is None:
            return cut_last(samples, plain, last)
        return cut_parts(samples, plain, split)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        split: Any = None,
        test_data: Any = None,
        resume: str | os.PathLike[str] | None = None,
        **unknown: Any,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array_like, list or dict of them, or iterable of batches
            Batches are x, (x, y) or (x, y, sample_weight). What can be iterated again and again
            is read ahead in the background, and so is a `convkit.data.PyDataset` or any object
            that gives batches by number; generators are if `convkit.data.prefetch` is asked to.
            Memory-mapped arrays of 64 MiB or more are read a few megabytes at a time.
        y : array_like
            Labels or values, as the loss asks for.
        batch_size : int, optional
            32 by default; of arrays only.
        epochs : int
            Number of the last epoch, counted from 1.
        verbose : "auto", 0, 1 or 2
            0: silent; 2: one line per epoch; otherwise a live bar on a terminal.
        callbacks : list of Callback, optional
            Steps run one by one only if a callback overrides a hook of batches.
        validation_split : float
            The last fraction of the data, before shuffling, is for validation.
        validation_data : (x, y), (x, y, sample_weight) or iterable of batches, optional
        shuffle : bool or "batch"
            Whether each epoch has its own order, which follows from the seed. "batch" keeps the
            samples of a batch together, which a disk reads faster, and shuffles the batches.
        class_weight : dict of int to float, optional
        sample_weight : array_like, optional
            The loss is the sum of the weighted losses divided by the number of rows.
        initial_epoch : int
            Epochs done before.
        steps_per_epoch, validation_steps : int, optional
        validation_batch_size : int, optional
        validation_freq : int or list of int
            Every how many epochs, or after which epochs (from 1), validation is run.
        split : (float, float, float), optional
            Fractions of the samples, drawn by the seed, for training, selection (validation) and
            testing. In History and progress the three parts are "loss", "val_loss" and
            "test_loss"; nothing that decides about training sees the testing part.
        test_data : (x, y), (x, y, sample_weight) or iterable of batches, optional
            The testing part, given apart.
        resume : path, optional
            File of a `ModelCheckpoint`. If it exists, the run that it is of goes on from there,
            in the middle of an epoch too, with weights, optimizer, learning rate, callbacks,
            History and seed, and ends with the same bits as if it had not been interrupted, given
            the same script and convkit on the same kind of processor; otherwise training begins.
            An iterable of batches, a generator too, is read from its beginning, and the batches
            that are done are skipped.

        Returns
        -------
        History

        Raises
        ------
        NotCompiledError
            Before `compile`.
        NonFiniteError
            If the loss becomes NaN or infinite; the weights are those from before that step.
        TypeError, ValueError
            If the data does not fit the model, or `resume` is of another run.
        OSError
            If a callback cannot write its file; the weights are whole.
        """
        reject_unknown(Trainer.fit, unknown)
        compiled = self._require_compiled("fit")
        saved = find(resume, callbacks)  # first, as the parts of the data follow from the seed
        epochs = count("fit", "epochs", epochs, None, least=0)
        initial_epoch = count("fit", "initial_epoch", initial_epoch, None, least=0)
        usual = usual_chunk(self, compiled.optimizer, self._usual_batch)
        batch = count("fit", "batch_size", batch_size, usual)
        validation_batch = count("fit", "validation_batch_size", validation_batch_size, batch)
        check_steps("fit", steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        shuffle = check_shuffle(shuffle)
        if check_full_batch("fit", compiled.optimizer, steps_per_epoch):
            shuffle = False  # a sum has no order, but for rounding
        check_fraction(validation_split)
        check_split(split, validation_split, validation_data, test_data)
        feed: Feed
        parts: Parts | None = None
        if is_arrays(x):
            loop = self._prepare("fit", x, compiled)
            last = validation_split if validation_data is None else 0.0
            parts = self._parts(x, y, sample_weight, class_weight, compiled.loss, last, split)
            check_batches("fit", self, parts.training.count, batch)
            if shuffle:
                warn_shuffled(self)
            feed = ArrayFeed(parts.training, batch, shuffle, steps_per_epoch)
        else:
            if validation_split or split is not None:
                name = "split" if split is not None else "validation_split"
                raise ValueError(f"[fit] {name} needs x and y as arrays")
            x, peeked = peek("fit", batches("fit", x, y, sample_weight, batch_size))
            loop = self._prepare("fit", peeked, compiled)
            feed = self._iterable(
                "fit", x, None, steps_per_epoch, compiled.loss, class_weight, shuffle=shuffle
            )
        self._claim(compiled)
        warn_output(self, compiled.loss, self.metrics)
        if isinstance(feed, ArrayFeed):
            warn_flat_start(self, feed.samples, compiled)

        def part(held_back: Samples | None, data: Any, name: str) -> Feed | None:
            if held_back is not None:
                check_batches("fit", self, held_back.count, validation_batch)
                return ArrayFeed(held_back, validation_batch, False, validation_steps, "validation")
            if data is None:
                return None
            vx, vy, vw = prepare_validation(data, name)
            own: int | None = validation_batch
            if not is_arrays(vx):
                refuse_batch_size("fit", validation_batch_size, "validation_batch_size", name)
                own = None
            kind = "validation"
            feed = self._feed("fit", vx, vy, own, validation_steps, vw, compiled.loss, kind)
            if isinstance(feed, ArrayFeed) and not feed.samples.count:
                raise ValueError(f"[fit] {name} is empty: leave it out, or None")
            return feed

        validation = part(parts and parts.selection, validation_data, "validation_data")
        testing = part(parts and parts.testing, test_data, "test_data")
        with self._running("fit"), loop.store.training():
            fit = Fit(
                loop, feed, compiled, validation, validation_freq, range(initial_epoch, epochs),
                callbacks, verbose, testing, parts.rows if parts else {},
            )  # fmt: skip
            return fit.run(saved)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **unknown: Any,
    ) -> Any:
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks
            As in `fit`.
        steps : int, optional
            Batches to take; by default all.
        return_dict : bool
            Whether to return a dict by name.

        Returns
        -------
        float, list of float or dict
            The loss alone, or ``[loss, metric, ...]``.
        """
        reject_unknown(Trainer.evaluate, unknown)
        check_steps("evaluate", steps=steps)
        compiled = self._require_compiled("evaluate")
        if is_arrays(x):
            loop = self._prepare("evaluate", x, compiled)
        else:
            x, peeked = peek("evaluate", batches("evaluate", x, y, sample_weight, batch_size))
            y = sample_weight = None
            loop = self._prepare("evaluate", peeked, compiled)
        feed = self._feed("evaluate", x, y, batch_size, steps, sample_weight, compiled.loss)
        if isinstance(feed, ArrayFeed) and not feed.samples.count:
            raise ValueError("[evaluate] x is empty: there is nothing to evaluate")
        hooks = CallbackList(
            callbacks, self, {"verbose": verbose, "epochs": 1, "steps": feed.steps}
        )
        progress = Progress(verbose)
        progress.begin(feed.steps)
        try:
            with self._running("evaluate"):
                logs = evaluate_feed(loop, feed, compiled, hooks, progress)
            progress.end(logs)
        finally:
            progress.close()
        return self._returned(logs, return_dict)

    def _returned(self, logs: dict[str, float], return_dict: bool) -> Any:
        if return_dict:
            return logs
        values = [logs[name] for name in self.metrics_names]
        return values[0] if len(values) == 1 else values

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        **unknown: Any,
    ) -> Any:
        """Outputs of the model.

        Parameters
        ----------
        x : array_like, list or dict of them, or iterable of batches
        batch_size : int, optional
            32 by default, of arrays only; the result does not depend on it.
        verbose : "auto", 0, 1 or 2
            "auto" is silent unless stdout is a terminal.
        steps : int, optional
            Batches to take; by default all.
        callbacks : list of Callback, optional

        Returns
        -------
        ndarray of float32, or a list of them if the model has several outputs
            Of shape (0, ...) for no samples.
        """
        reject_unknown(Trainer.predict, unknown)
        check_steps("predict", steps=steps)
        if is_arrays(x):
            loop = self._prepare("predict", x)
            most = self._usual_batch if batch_size is None else batch_size
            if steps is None and callbacks is None and type(most) is int and is_silent(verbose):
                outputs = loop.one_batch(x, most)
                if outputs is not None:
                    return outputs[0] if len(outputs) == 1 else outputs
        else:
            x, peeked = peek("predict", batches("predict", x, None, None, batch_size))
            loop = self._prepare("predict", peeked)
        feed = self._feed("predict", x, None, batch_size, steps)
        if isinstance(feed, ArrayFeed):
            loop.accepted(x, feed.samples)
        hooks = CallbackList(
            callbacks, self, {"verbose": verbose, "epochs": 1, "steps": feed.steps}
        )
        progress = Progress(verbose)
        progress.lines = progress.live or verbose == 2
        progress.begin(feed.steps)
        hooks.call("on_predict_begin", None)

        def before(step: int) -> None:
            if hooks.per_predict_batch:
                hooks.call("on_predict_batch_begin", step, None)

        def after(done: int) -> None:
            if hooks.per_predict_batch:
                hooks.call("on_predict_batch_end", done - 1, None)
            progress.update(done, {})

        try:
            with self._running("predict"):
                parts = loop.predict(feed, before=before, after=after)
            progress.end({})
        finally:
            progress.close()
        hooks.call("on_predict_end", None)
        outputs = []
        for node, part in zip(self.outputs, parts, strict=True):
            empty = np.zeros((0, *node.shape[1:]), np.float32)
            outputs.append(np.concatenate(part) if part else empty)
        return outputs[0] if len(outputs) == 1 else outputs

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step; returns the loss and the metrics of this batch before the step."""
        compiled = self._require_compiled("train_on_batch")
        check_full_batch("train_on_batch", compiled.optimizer)
        loop = self._prepare("train_on_batch", x, compiled)
        samples = check_samples(
            "train_on_batch", self, x, y, sample_weight, class_weight, compiled.loss
        )
        if not samples.count:
            raise ValueError("[train_on_batch] x is empty: there is nothing to train on")
        check_batches("train_on_batch", self, samples.count, samples.count)
        self._claim(compiled)
        totals = Totals(compiled.loss, compiled.resolve(self))

        def failed(executor: Executor, segment: Segment, step: Step, done: int) -> None:
            raise diagnose(executor, loop.store, segment, step, 0, compiled.optimizer.iterations)

        loop.run("train", ArrayFeed(samples, samples.count), compiled, totals, failed=failed)
        return self._returned(totals.logs(), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch."""
        return self.evaluate(
            x, y, _size_of(x), verbose=0, sample_weight=sample_weight, return_dict=return_dict
        )

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs for one batch."""
        return self.predict(x, _size_of(x), verbose=0)


def _size_of(batch: Any) -> int:
    """A batch size that takes all of a batch at once."""
    return max(len(next(iter(batch.values())) if isinstance(batch, Mapping) else batch), 1)
