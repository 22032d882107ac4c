"""The base of the optimizers."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit.checks import number
from convkit.errors import did_you_mean, refuse_options
from convkit.ops.update import STATE, update_params
from convkit.saving.config import Configured
from convkit.schedules.base import FromFunction, LearningRateSchedule

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.program.builder import Builder
    from convkit.program.program import Value
    from convkit.run.store import Stretch


# Arguments of Keras's optimizers that are not supported, with the values at which they do nothing.
HARMLESS: dict[str, Any] = {
    "decay": 0.0,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}
# What to do instead.
_WAYS = {
    "decay": "give learning_rate a schedule, such as InverseTimeDecay(rate, 1, decay)",
    "use_ema": "average model.get_weights() in a callback's on_train_batch_end",
    "loss_scale_factor": "gradients are float32, which needs no scale; leave it out",
    "gradient_accumulation_steps": "a batch_size so many times as large gives the same step",
}
LARGEST = float(np.finfo(np.float32).max)
_CLIPPINGS = ("clipnorm", "clipvalue", "global_clipnorm")


Rate = float | LearningRateSchedule | Callable[[int], float]


class Optimizer(Configured):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A callable maps the number of a step, from 0, to a rate.
    weight_decay : float or None
    decoupled : bool
        True: the decay is ``w -= eta * weight_decay * w``; False: ``g += weight_decay * w``.
    name : str
    options : dict
        ``clipnorm``: each weight array's gradient is scaled down to this 2-norm if it has a larger
        one. ``clipvalue``: each number of the gradient is clipped to -clipvalue .. clipvalue.
        ``global_clipnorm``: the gradient of all weights together is scaled down to this 2-norm.
        Only one of the three may be given. ``maximize``: climb instead of descend.
        ``exclude_from_weight_decay``: names of weights without decay, see the method.
    harmless : dict, optional
        Further arguments of Keras's that are not supported, with the values that do nothing.

    Attributes
    ----------
    learning_rate : float, LearningRateSchedule or callable
        May be set at any time, also by a callback.
    iterations : int
        Steps done.
    clipnorm, clipvalue, global_clipnorm : float or None
    maximize : bool
    rule : str
        The pass of ``ck.ops``' update that it is; a subclass with another `emit` needs none.
    """

    rule = ""
    _sealed = False  # whether new attributes are refused

    def __init__(
        self,
        learning_rate: Rate,
        weight_decay: float | None,
        decoupled: bool,
        name: str,
        options: dict[str, Any],
        harmless: dict[str, Any] | None = None,
    ) -> None:
        owner = type(self).__name__
        if "lr" in options:
            raise TypeError(
                f"{owner} got an unexpected argument 'lr'; did you mean 'learning_rate'?"
            )
        own = dict(options)
        clips = {key: own.pop(key, None) for key in _CLIPPINGS}
        maximize = own.pop("maximize", False)
        excluded = own.pop("exclude_from_weight_decay", ())
        for key, way in _WAYS.items():
            if own.get(key) not in (None, HARMLESS[key]):
                raise TypeError(f"{owner}: {key}={own[key]!r} is not supported: {way}")
        refuse_options(owner, own, {**HARMLESS, **(harmless or {})})
        self.name = name
        self.learning_rate = learning_rate
        self.weight_decay = number(owner, "weight_decay", weight_decay or 0.0)
        self.decoupled = bool(decoupled)
        if not isinstance(maximize, bool):
            raise TypeError(f"{owner}: maximize must be True or False, not {maximize!r}")
        self.maximize = maximize
        given = [key for key, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{owner}: {' and '.join(given)} are given, use only one of them")
        self.clipnorm, self.clipvalue, self.global_clipnorm = (
            None if value is None else number(owner, key, value, above=0)
            for key, value in clips.items()
        )
        self._excluded: list[str] = []
        self.exclude_from_weight_decay(var_names=excluded)
        self.iterations = 0
        self._owner: Callable[[], object] = nobody

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the arrays of state that it keeps for each weight array."""
        return ()

    @property
    def slots(self) -> int:
        """Numbers of state per parameter; follows from the hyperparameters."""
        return len(self.states)

    @property
    def initial(self) -> tuple[float, ...]:
        """What the state begins with, a number for each slot."""
        return (0.0,) * self.slots

    def exclude_from_weight_decay(
        self, var_list: Sequence[Parameter] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave weights out of the weight decay.

        Parameters
        ----------
        var_list : list of Parameter, optional
            Such as ``[layer.bias]``.
        var_names : list of str, optional
            Regular expressions that are searched for in the paths ("dense.bias"), as "bias" is.

        Raises
        ------
        TypeError, ValueError
            If it is not a list, or a name is no regular expression.
        """
        for argument, given in (("var_list", var_list), ("var_names", var_names)):
            if isinstance(given, str):
                raise TypeError(
                    f"exclude_from_weight_decay: {argument} must be a list, such as [{given!r}]"
                )
        patterns = [f"^{re.escape(p.path)}$" for p in var_list or ()]
        for name in var_names or ():
            try:
                re.compile(name)
            except (TypeError, re.error) as error:
                raise ValueError(
                    f"exclude_from_weight_decay: {name!r} is no regular expression: {error}"
                ) from None
            patterns.append(name)
        self._excluded += patterns

    def decays(self, parameter: Parameter) -> bool:
        """Whether the weight decay applies to a parameter."""
        return not any(re.search(pattern, parameter.path) for pattern in self._excluded)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse attributes that nothing would read."""
        if name == "lr" or (self._sealed and not name.startswith("_") and not hasattr(self, name)):
            known = [key for key in vars(self) if not key.startswith("_")] + ["learning_rate"]
            known += ["momentum"] if hasattr(self, "momentum") else []
            near = "; did you mean 'learning_rate'?" if name == "lr" else did_you_mean(name, known)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{near}")
        super().__setattr__(name, value)

    def _arguments(self) -> dict[str, Any]:
        """See `Configured`; with the options that were set since."""
        found = super()._arguments()
        options = {key: getattr(self, key) for key in (*_CLIPPINGS, "maximize")}
        options |= {"exclude_from_weight_decay": list(self._excluded)}
        found = {key: value for key, value in found.items() if key not in options}
        found |= {key: value for key, value in options.items() if value}
        return {**found, "learning_rate": self.learning_rate} if "learning_rate" in found else found

    def _seal(self, kind: type[Optimizer]) -> None:
        """Refuse new attributes from here on, except in subclasses of `kind`."""
        self._sealed = type(self) is kind

    @property
    def learning_rate(self) -> Rate:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        owner = type(self).__name__
        if isinstance(value, type):
            raise TypeError(
                f"{owner}: learning_rate is the class {value.__name__}; make an object of it, "
                f"{value.__name__}(...)"
            )
        if not callable(value):
            value = number(owner, "learning_rate", value)
            if value > LARGEST:
                raise ValueError(
                    f"{owner}: learning_rate is {value:g}, expected at most {LARGEST:.2g}, the "
                    "largest float32"
                )
        self._learning_rate = value

    def rates(self, first: int, count: int) -> NDArray[np.float64]:
        """Learning rates of `count` steps from step `first` on.

        Returns
        -------
        ndarray of float64, shape (count,)
            Shorter if a rate further on cannot be used, so that the steps before it can be taken.

        Raises
        ------
        ValueError
            If the rate of step `first` is NaN, infinite in float32 or negative.
        """
        rate = self._learning_rate
        if not callable(rate):
            return np.full(count, rate, np.float64)
        schedule = rate if isinstance(rate, LearningRateSchedule) else FromFunction(rate)
        rates = schedule.rates(first, count)
        bad = np.flatnonzero(~((rates >= 0) & (rates <= LARGEST)))
        if bad.size and bad[0] == 0:
            name = getattr(rate, "__name__", type(rate).__name__)
            raise ValueError(
                f"{type(self).__name__}: the learning rate of {name} at step {first} is "
                f"{rates[0]:g}, expected a number of at least 0 that is finite in float32; the "
                "weights are those from before this step"
            )
        return rates[: bad[0]] if bad.size else rates

    def _state_changed(self) -> None:
        """Have the model make room, after a change of the hyperparameters."""
        make_room = getattr(self._owner(), "_make_room", None)
        if make_room is not None:
            make_room(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_owner": nobody}  # a copy's model claims it

    def claim(self, model: object) -> bool:
        """Make the model the one whose state this is; tells whether it was not before.

        Raises
        ------
        ValueError
            If another living model is trained by this object.
        """
        owner = self._owner()
        if owner is model:
            return False
        if owner is not None:
            raise ValueError(
                f"this {type(self).__name__} already trains model "
                f"{getattr(owner, 'name', '?')!r}; make a new one for each model"
            )
        self._owner = weakref.ref(model)
        self.iterations = 0
        return True

    def get_state(self) -> dict[str, Any]:
        """What the next step depends on beside `iterations`, the slots and the data."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` of another optimizer of these arguments returned.

        Raises
        ------
        ValueError
            If it is the state of another optimizer.
        """
        for key in state:
            raise ValueError(f"{type(self).__name__}: {key!r} does not belong to its state")

    def params(self) -> dict[str, int | float | str]:
        """Parameters of the op update; subclasses add theirs."""
        return update_params(
            weight_decay=self.weight_decay,
            decoupled=self.decoupled,
            maximize=self.maximize,
            clip_value=np.inf if self.clipvalue is None else self.clipvalue,
        )

    def emit_clipping(
        self, builder: Builder, stretches: Sequence[Value], arrays: Sequence[Value]
    ) -> None:
        """Append what clips the gradient by its norm, before the updates.

        Parameters
        ----------
        builder : Builder
        stretches : sequence of Value
            The gradient, in runs of the flat buffer.
        arrays : sequence of Value
            The same numbers, for each weight array.
        """
        if self.global_clipnorm is not None:
            self._emit_clipping(builder, stretches, self.global_clipnorm)
        if self.clipnorm is not None:
            for gradient in arrays:
                self._emit_clipping(builder, [gradient], self.clipnorm)

    def _emit_clipping(self, builder: Builder, gradients: Sequence[Value], most: float) -> None:
        builder.layer = self.name
        params = update_params(max_norm=most)
        (norm,) = builder.emit("update", "global_norm", gradients, params, prefix="norm")
        for gradient in gradients:
            builder.emit("update", "clip_norm", [norm, gradient], params)
        builder.layer = ""

    @property
    def fuses(self) -> bool:
        """Whether its step is a rule of update alone, which can follow right upon a gradient."""
        own = [getattr(type(self), name) for name in ("emit", "emit_clipping")]
        plain = own == [Optimizer.emit, Optimizer.emit_clipping]
        norm = self.clipnorm is not None or self.global_clipnorm is not None
        return plain and bool(self.rule) and not norm

    def emit(
        self,
        builder: Builder,
        gradient: Value,
        slots: Sequence[Value],
        weight: Value,
        stretch: Stretch,
    ) -> None:
        """Append the update of one stretch of the flat parameter buffer."""
        if not self.rule:
            raise NotImplementedError(f"{type(self).__name__} does not define emit()")
        self._emit_rule(builder, "update", [gradient], slots, weight, stretch)

    def emit_with_gradient(
        self,
        builder: Builder,
        dy: Value,
        x: Value,
        slots: Sequence[Value],
        weight: Value,
        stretch: Stretch,
    ) -> None:
        """Append the update of a dense layer's weights, whose gradient it makes and uses up."""
        self._emit_rule(builder, "dense_update", [dy, x], slots, weight, stretch)

    def _emit_rule(
        self,
        builder: Builder,
        op: str,
        inputs: Sequence[Value],
        slots: Sequence[Value],
        weight: Value,
        stretch: Stretch,
    ) -> None:
        held = dict(zip(self.states, slots, strict=True))
        params = {**self.params(), "lr_scale": stretch.multiplier}
        if not stretch.decays:
            params["weight_decay"] = 0.0
        operands = [*inputs, *(held.get(state) for state in STATE[self.rule]), weight]
        builder.layer = self.name
        builder.emit(op, self.rule, operands, params, out=[])
        builder.layer = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} learning_rate={self._learning_rate}>"


def nobody() -> None:
    """The owner of an optimizer that trains no model."""


def divisor(owner: str, name: str, value: Any) -> float:
    """Return an epsilon: with 0, a weight whose gradients are all 0 would become 0/0."""
    found = number(owner, name, value)
    least = float(np.finfo(np.float32).tiny)
    if found < least:
        raise ValueError(
            f"{owner}: {name} is {value}, expected a number of at least {least:.2g}, so that a "
            "weight without a gradient is not divided by 0"
        )
    return found
