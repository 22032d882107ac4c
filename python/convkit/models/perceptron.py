"""The perceptron: a hard limit that learns from its mistakes.

The activation is a step: 1 where the weighted sum reaches the threshold, else 0. A perceptron is
sometimes said to need a ReLU or a sigmoid. It has neither: its rule corrects mistakes of a yes or
no and takes no derivative, and a step has none to give. With a sigmoid and gradient descent the
model is logistic regression, ``Dense(1, "sigmoid")``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.models.arguments import count
from convkit.models.estimators import Classifier, as_labels, as_points, decide
from convkit.ops.registry import Array
from convkit.random import generator

__all__ = ["Perceptron", "correct_mistakes", "presentation"]

_ORDER = 0x70657263  # the purpose of the random numbers, a path of `generator`

# So many factors of all scores, at most, and every change of the weights is judged.
_THOROUGH = 1 << 16


class Learner(Protocol):
    """What `correct_mistakes` trains: scores, linear in weights that a mistake changes."""

    size: int  # factors that all scores take: samples x coordinates x columns

    def scores(self, i: int) -> Array:
        """Scores of sample i, one per column."""

    def all_scores(self) -> Array:
        """Scores of all samples, (N, columns)."""

    def correct(self, i: int, change: Array) -> None:
        """Add sample i, times `change` of each column."""

    def weights(self) -> Array:
        """A copy of what has been learned."""


@dataclass(frozen=True)
class Outcome:
    """Of `correct_mistakes`: the weights to keep and how they came about."""

    weights: Array
    mistakes: list[int]  # of each epoch
    separable: bool | None


def correct_mistakes(
    learner: Learner,
    y: NDArray[np.intp],
    columns: int,
    epochs: int,
    order: Callable[[int], Iterable[int]],
    exact: float,
) -> Outcome:
    """The perceptron rule: show the samples one by one, and change weights at mistakes only.

    Parameters
    ----------
    learner : Learner
    y : ndarray of int, shape (N,)
        Class of each sample.
    columns : int
        1 for two classes, else the number of classes.
    epochs : int
        At most.
    order : callable
        The samples of an epoch, counted from 0.
    exact : float
        For how many mistakes the arithmetic is exact and the order is the same in all epochs, so
        that weights that come back prove that the run never ends.

    Returns
    -------
    Outcome
        With the last weights if they make no mistake, else with those of the pocket.
    """
    pocket = _Pocket(learner, y)
    run = 0
    mistakes: list[int] = []
    separable: bool | None = None
    earlier, age, limit = learner.weights(), 0, 1  # Brent's way to find a cycle
    for epoch in range(epochs):
        wrong = 0
        for i in order(epoch):
            answer = int(decide(learner.scores(i)))
            if answer == y[i]:
                run += 1
                pocket.survived(run)
            else:
                run = 0
                wrong += 1
                learner.correct(i, _change(int(y[i]), answer, columns))
                pocket.changed()
        mistakes.append(wrong)
        if not wrong:
            return Outcome(learner.weights(), mistakes, True)
        if sum(mistakes) <= exact:
            now = learner.weights()
            if np.array_equal(now, earlier):
                separable = False
                break
            age += 1
            if age == limit:
                earlier, age, limit = now, 0, 2 * limit
    return Outcome(pocket.weights, mistakes, separable)


class _Pocket:
    """The weights that got most training samples right, of those that were judged."""

    def __init__(self, learner: Learner, y: NDArray[np.intp]) -> None:
        self.learner, self.y = learner, y
        self.thorough = learner.size <= _THOROUGH
        self.right, self.run = -1, 0
        self.judge()

    def judge(self) -> None:
        """Count what the present weights get right, and keep them if it is more."""
        self.judged = True
        right = int((decide(self.learner.all_scores()) == self.y).sum())
        if right > self.right:
            self.weights, self.right = self.learner.weights(), right

    def changed(self) -> None:
        """The weights have changed."""
        self.judged = False
        if self.thorough:
            self.judge()

    def survived(self, run: int) -> None:
        """The weights have given `run` right answers in a row."""
        if run > self.run:
            self.run = run
            if not self.judged:
                self.judge()


def _change(right: int, answer: int, columns: int) -> Array:
    if columns == 1:
        return np.array([1.0 if right else -1.0])
    change = np.zeros(columns)
    change[right], change[answer] = 1.0, -1.0
    return change


class _Linear:
    """Weights over augmented samples, (columns, C + 1)."""

    def __init__(self, x: Array, columns: int) -> None:
        self.x = x
        self.w = np.zeros((columns, x.shape[1]))
        self.size = x.size * columns

    def scores(self, i: int) -> Array:
        return np.asarray(self.w @ self.x[i])

    def all_scores(self) -> Array:
        return np.asarray(self.x @ self.w.T)

    def correct(self, i: int, change: Array) -> None:
        self.w += np.outer(change, self.x[i])

    def weights(self) -> Array:
        return self.w.copy()


def presentation(n: int, shuffle: bool, seed: int | None) -> Callable[[int], Iterable[int]]:
    """The order of n samples in each epoch: as they come, or shuffled anew."""

    def order(epoch: int) -> Iterable[int]:
        if not shuffle:
            return range(n)
        return [int(i) for i in generator(seed, _ORDER, epoch).permutation(n)]

    return order


class Perceptron(Classifier):
    """Rosenblatt's perceptron: a hard limit, corrected at every mistake.

    Two classes: ``y = 1 if w . x + b >= 0 else 0``, and a mistake adds ``(x, 1)`` to ``(w, b)`` or
    subtracts it (Rosenblatt, "The perceptron", 1958; "Principles of Neurodynamics", 1962). The
    weights begin at 0, so a learning rate would only scale them, and there is none. More classes:
    one weight vector each, the largest score decides, and a mistake adds the sample to its class's
    vector and subtracts it from that of the answer; this is the rule for two classes in Kesler's
    construction (Duda and Hart, "Pattern Classification and Scene Analysis", 1973, chapter 5).

    On separable data it stops with no mistake, after at most ``(R / gamma)^2`` updates, where R is
    the largest norm of a sample with its bias coordinate 1 and gamma the margin of any separator of
    unit norm (Novikoff, "On convergence proofs for perceptrons", 1962); with more than two classes
    R^2 doubles and the norm is that of all vectors together. On other data it never settles, so the
    weights that got most training samples right are kept in a pocket (Gallant, "Perceptron-based
    learning algorithms", 1990, with the ratchet). Where all scores take up to 65,536
    products, every change of the weights is judged; beyond, only weights with a longer run of right
    answers than any before.

    Parameters
    ----------
    max_epochs : int
    use_bias : bool
    shuffle : bool
        Whether each epoch has its own order. Otherwise samples come in the order given.
    seed : int, optional
        Of the shuffles; by default the global one.

    Attributes
    ----------
    classes_ : ndarray, shape (K,)
    weights_ : ndarray of float64, shape (C,) for two classes, else (K, C)
    bias_ : float for two classes, else ndarray of shape (K,)
    n_updates_ : int
        How many mistakes were corrected.
    mistakes_ : list of int
        Of each epoch.
    separable_ : bool or None
        True: an epoch passed without a mistake. False: proved not to be linearly separable, as the
        weights came back to an earlier value, from where they repeat for ever. That can be said of
        integer data in a fixed order, where sums are exact, and there it happens sooner or later
        (Block and Levin, "On the boundedness of an iterative procedure for solving a system of
        linear inequalities", 1970). None: `max_epochs` passed, which proves nothing.

    Examples
    --------
    >>> from convkit.models import Perceptron
    >>> x = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> Perceptron().fit(x, [0, 0, 0, 1]).score(x, [0, 0, 0, 1])
    1.0
    >>> Perceptron().fit(x, [0, 1, 1, 0]).separable_
    False
    """

    def __init__(
        self,
        max_epochs: int = 1000,
        use_bias: bool = True,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> None:
        self.max_epochs = count("Perceptron", "max_epochs", max_epochs, None)
        self.use_bias = bool(use_bias)
        self.shuffle = bool(shuffle)
        self.seed = seed

    def fit(self, x: ArrayLike, y: Any) -> Perceptron:
        """Learn from samples and their labels, beginning anew.

        Parameters
        ----------
        x : array_like, shape (N, C)
        y : array_like, shape (N,)
            Integers, booleans or strings.

        Returns
        -------
        Perceptron
            Itself.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit together, or its squares over- or underflow.
        """
        points = as_points("Perceptron", x, least=1, squares=True)
        classes, index = as_labels("Perceptron", y, len(points))
        columns = 1 if len(classes) == 2 else len(classes)
        augmented = np.column_stack([points, np.full(len(points), float(self.use_bias))])
        exact = 0.0
        if not self.shuffle and (points == np.rint(points)).all():
            exact = 2.0**53 / max(np.square(augmented).max() * augmented.shape[1], 1)
        outcome = correct_mistakes(
            _Linear(augmented, columns), index, columns, self.max_epochs,
            presentation(len(points), self.shuffle, self.seed), exact,
        )  # fmt: skip
        w = outcome.weights
        self.classes_ = classes
        self.weights_: Array = w[0, :-1] if columns == 1 else w[:, :-1]
        self.bias_: Any = float(w[0, -1]) if columns == 1 else w[:, -1]
        self.mistakes_ = outcome.mistakes
        self.n_updates_ = sum(outcome.mistakes)
        self.separable_ = outcome.separable
        return self

    def decision_function(self, x: ArrayLike) -> Array:
        """Scores of each sample: ``w . x + b``.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of float64, shape (N,) for two classes, else (N, K)
        """
        self._require_fitted("decision_function")
        points = as_points("Perceptron", x, self.weights_.shape[-1])
        return np.asarray(points @ self.weights_.T + self.bias_)
