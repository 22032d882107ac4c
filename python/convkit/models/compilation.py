"""What a model needs before it can train: compile, and programs that fit its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convkit.cuda import native as cuda
from convkit.errors import NotCompiledError
from convkit.losses import Loss
from convkit.models.arguments import check_compile_options
from convkit.models.compiled import Compiled, reject_unknown
from convkit.models.explain import Explanation, explain_model
from convkit.models.fixed_batch import refuse_needless
from convkit.models.graph import check_differentiable
from convkit.models.loop import Loop
from convkit.ops.choosing import AS_USUAL, Policy
from convkit.ops.registry import Spec
from convkit.program import compile_program
from convkit.program.compile import check_mode
from convkit.program.memory import MemoryEstimate
from convkit.program.program import Program

if TYPE_CHECKING:
    from convkit.callbacks import Callback, History
    from convkit.metrics import Metric
    from convkit.optimizers import Optimizer

__all__ = ["Compilable"]

DEVICES = ("cpu", "cuda")


class Compilable:
    """The part of `Trainer` that comes before the first batch.

    Attributes
    ----------
    stop_training : bool
        Set it in a callback to end `fit`.
    stop_reason : str
        Why; `Callback.stop` sets both.
    history : History or None
        Of the last `fit`.
    executor : str
        "native", "eager" or "reference": who runs the programs.
    device : str
        "cpu" or "cuda", see `to`.
    """

    inputs: list[Any]
    outputs: list[Any]
    calls: list[Any]
    name: str

    def __init__(self) -> None:
        self.stop_training = False
        self.stop_reason = ""
        self.stopped_by: Callback | None = None  # while fit runs
        self.history: History | None = None
        self.executor = "native"
        self.device = "cpu"
        self._compiled: Compiled | None = None
        self._loop: Loop | None = None
        self._slots_of: tuple[Any, Any] = (None, None)
        self._runs: list[str] = []  # the verbs that are running, in any thread

    def to(self, device: str) -> Self:
        """Run the model on another device from now on.

        Its weights, gradients and the optimizer's state lie in memory that CPU and GPU share: they
        are read and set as before. Views that were taken of them before show the old memory.

        Parameters
        ----------
        device : {"cpu", "cuda"}

        Returns
        -------
        The model.

        Raises
        ------
        RuntimeError
            If there is no GPU to run on; `convkit.cuda.why_unavailable` says why. Within a run.
        ValueError
            If there is no such device.
        """
        if device not in DEVICES:
            raise ValueError(f'[to] device is "cpu" or "cuda", not {device!r}')
        if device == "cuda":
            cuda.require()
        self._refuse_while_running()
        if device != self.device and self._compiled is not None:
            self._compiled.kernels.clear()  # names of the device that it leaves
        self.device = device
        self._forget_programs()
        return self

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | str = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        *,
        regularizer: Any = None,
        keep_grads: bool = False,
        autotune: bool = False,
        exact: bool = False,
        max_error: float | None = None,
        max_workspace_mb: float | None = None,
        kernels: Mapping[str, str] | None = None,
        allow_tf32: bool = False,
        allow_bf16: bool = False,
        device: str | None = None,
        **unknown: Any,
    ) -> None:
        """Choose loss, optimizer and metrics.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str or Loss
        loss_weights : None
            There is one loss.
        metrics : list of str or Metric, optional
            ``["accuracy"]`` is the accuracy that fits targets and output.
        weighted_metrics : list of str or Metric, optional
            Metrics to which sample weights apply.
        run_eagerly : bool
            Whether Python runs kernel by kernel, with every value visible, instead of C++.
        regularizer : str or Regularizer, optional
            Of all weights of two axes and more that have none of their own: of the kernels.
        keep_grads : bool
            Whether every gradient can be read after a step, ``model.store.gradient(layer.kernel)``.
            If not, the update of a large dense layer uses its gradient up as it is made, which
            saves time and memory, as much as the weights take; these become the same, bit by bit.
            Callbacks that say ``needs_gradients`` and optimizers that clip by a norm get all.
        autotune : bool
            Whether kernels are measured where several could do, once for each shape on a machine:
            what was found is kept in the user's cache folder. Otherwise a cost model chooses.
            Results of different kernels differ within the error bound.
        exact : bool
            Whether only kernels may run whose rounding error obeys the bound of the sums as they
            are written: no Winograd convolution.
        max_error : float, optional
            How many times that bound a kernel's own may be, for operands of one magnitude; at
            least 1. `explain` shows it for each kernel.
        max_workspace_mb : float, optional
            Scratch memory that a kernel may ask for, in 1e6 bytes.
        kernels : dict of str to str, optional
            Names of kernels: what `kernels` of a model returned, to repeat a run to the same bits,
            or by op or pass, ``{"conv2d.forward": "cpu_im2col"}``, where they support the call.
        allow_tf32, allow_bf16 : bool
            Whether products on a GPU may round their operands to TF32 (11 significant bits) or
            BF16 (8), to be several times as fast; weights, sums and all else stay float32. Not
            where `exact` or `max_error` excludes it. With both, BF16 comes first.
        device : {"cpu", "cuda"}, optional
            Where the model runs from now on, see `to`; by default where it was.
        steps_per_execution, jit_compile, auto_scale_loss
            Only their defaults: steps run natively many at a time in any case.

        Raises
        ------
        TypeError, ValueError
            If an argument is not known; messages suggest the nearest name.
        RuntimeError
            If there is no GPU to run on.
        """
        reject_unknown(Compilable.compile, unknown)
        check_compile_options(loss_weights, steps_per_execution, jit_compile, auto_scale_loss)
        check_differentiable(self.calls)
        self._compiled = Compiled.make(
            optimizer, loss, metrics, weighted_metrics, regularizer, keep_grads,
            Policy.make(
                exact, max_error, max_workspace_mb, autotune, kernels, allow_tf32, allow_bf16
            ),
        )  # fmt: skip
        if device is not None:
            self.to(device)
        self.executor = "eager" if run_eagerly else "native"
        self._forget_programs()

    @property
    def optimizer(self) -> Optimizer:
        return self._require_compiled("optimizer").optimizer

    @property
    def loss(self) -> Loss:
        return self._require_compiled("loss").loss

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, with the names that the logs have."""
        return self._require_compiled("metrics").resolve(self)

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns, in order."""
        return ["loss", *(metric.name for metric in self.metrics)]

    @property
    def run_eagerly(self) -> bool:
        return self.executor == "eager"

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self.executor = "eager" if value else "native"

    def _require_compiled(self, verb: str) -> Compiled:
        if self._compiled is None:
            raise NotCompiledError(
                f"[{verb}] call compile() first, such as "
                'model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", '
                'metrics=["accuracy"])'
            )
        return self._compiled

    @property
    def _policy(self) -> Policy:
        """How kernels are chosen."""
        policy = AS_USUAL if self._compiled is None else self._compiled.policy
        return policy if self.device == policy.device else replace(policy, device=self.device)

    def _noted(self, program: Program) -> Program:
        """The program, whose choices of kernels are kept for `kernels`."""
        if self._compiled is not None:
            self._compiled.kernels.update(program.kernels)
        return program

    def kernels(self) -> dict[str, str]:
        """The kernels that were chosen, where there was a choice.

        That is in all programs since `compile`, or since `to` moved the model to another device.

        Returns
        -------
        dict of str to str
            Names by call (op, pass, dtypes, shapes, parameters). ``compile(kernels=...)`` with it
            repeats the choices, so that a run gives the same bits; files of `save` and the History
            of `fit` have it too.

        Raises
        ------
        NotCompiledError
            Before `compile`.
        """
        return dict(self._require_compiled("kernels").kernels)

    @contextmanager
    def _running(self, verb: str) -> Iterator[None]:
        """Let nobody change the layers, such as a callback."""
        self._runs.append(verb)
        try:
            yield
        finally:
            self._runs.remove(verb)

    def _refuse_while_running(self) -> None:
        if self._runs:
            verb = self._runs[0]
            raise RuntimeError(
                f"[{verb}] the layers of a model cannot change while it "
                f"{'trains' if verb == 'fit' else 'runs'}: do it after {verb}"
            )

    def _forget_programs(self) -> None:
        self._loop = None

    def _prepare(self, verb: str, x: Any, compiled: Compiled | None = None) -> Loop:
        """Build the model, for data of x's shape if none is known, and get its programs ready."""
        model: Any = self
        if not self.inputs:
            first = next(iter(x.values())) if isinstance(x, Mapping) else x
            shape = np.shape(first)
            model.build((None, *(shape[1:] if len(shape) > 1 else (1,))))
        if not self.inputs or not self.outputs:
            raise ValueError(f"[{verb}] model {self.name!r} has no layers")
        refuse_needless(self)
        model.build()
        if compiled is not None and len(self.outputs) > 1:
            names = ", ".join(node.name for node in self.outputs)
            raise ValueError(
                f"[{verb}] model {self.name!r} has {len(self.outputs)} outputs ({names}); only "
                "models with one output can be trained and evaluated"
            )
        loop, kind = self._loop, self.executor
        model.store.move(self.device)
        model.store.device_data.forget()  # arrays may have been changed since
        if loop is None or loop.kind != kind or loop.store is not model.store:
            loop = self._loop = Loop(self, kind)
        return loop

    def _claim(self, compiled: Compiled) -> None:
        """Make sure that the optimizer's state is this model's."""
        optimizer = compiled.optimizer
        store = getattr(self, "store")  # noqa: B009  (of Model)
        fresh = optimizer.claim(self)
        owner = (store, optimizer)
        if fresh or self._slots_of[0] is not store or self._slots_of[1] is not optimizer:
            store.reserve_slots(optimizer.slots, optimizer.initial)
            optimizer.iterations = 0
            self._slots_of = owner
        elif len(store.slots) != optimizer.slots:  # the momentum was changed
            store.reserve_slots(optimizer.slots, optimizer.initial, keep=True)

    @property
    def _has_slots(self) -> bool:
        """Whether the store has the state of the optimizer that compile was given."""
        store, owner = self._slots_of
        own = self._compiled is not None and owner is self._compiled.optimizer
        return own and store is not None and store is getattr(self, "_store", None)

    def _adopt(self, slots: Any) -> None:
        """Go on with the optimizer's state of the model that this one is a copy of."""
        assert self._compiled is not None
        optimizer, store = self._compiled.optimizer, getattr(self, "store")  # noqa: B009
        done = optimizer.iterations
        optimizer.claim(self)
        optimizer.iterations = done
        store.reserve_slots(len(slots))
        store.slots[...] = slots
        self._slots_of = (store, optimizer)

    def _make_room(self, optimizer: Optimizer) -> None:
        """Room for the state of an optimizer that was changed, maybe in the midst of an epoch."""
        store, owner = self._slots_of
        if owner is optimizer and len(store.slots) < optimizer.slots:
            store.reserve_slots(optimizer.slots, optimizer.initial, keep=True)

    def program(self, mode: str = "train", batch_size: int = 32) -> Program:
        """The instructions that one step runs; print it to read it.

        Parameters
        ----------
        mode : str
            "train" and "evaluate", which need `compile` before, or "predict".
        batch_size : int

        Returns
        -------
        Program
        """
        check_mode("program", mode)
        compiled = self._require_compiled("program") if mode != "predict" else None
        self._prepare("program", None, compiled)
        inputs = [Spec(tuple(node.shape[1:]), node.dtype) for node in self.inputs]
        options: dict[str, Any] = {}
        if compiled is not None:
            output = tuple(self.outputs[0].shape[1:])
            sparse = compiled.loss.sparse
            options = {
                "target": Spec(output[:-1], "int32") if sparse else Spec(output, "float32"),
                "loss": compiled.loss,
                "metrics": self.metrics,
                "regularizer": compiled.regularizer,
            }
            if mode == "train":
                self._claim(compiled)
                options["optimizer"] = compiled.optimizer
                options["keep_grads"] = compiled.keep_grads
        model: Any = self
        return self._noted(
            compile_program(
                model, mode, batch_size, inputs=inputs, indexed=mode == "train",
                policy=self._policy, **options,
            )
        )  # fmt: skip

    def explain(self, batch_size: int | None = None, mode: str | None = None) -> Explanation:
        """Say which kernels were chosen where several could do, and why; print the result.

        Parameters
        ----------
        batch_size : int, optional
            Of the step that is looked at; 32 by default.
        mode : str, optional
            "train", "evaluate" or "predict": by default training if the model is compiled.

        Returns
        -------
        Explanation
        """
        model: Any = self
        return explain_model(model, batch_size, mode)

    def memory_estimate(self, batch_size: int = 32, mode: str = "train") -> MemoryEstimate:
        """How much memory running the model takes; print the result to read it.

        The program is made, but nothing of it is run or allocated, not even the weights. Data and
        threads of one's own come on top, and `fit` with validation has the larger of two arenas.
        Of an optimizer of all the data it is the most that an iteration takes, with `batch_size`
        samples to a chunk.

        Parameters
        ----------
        batch_size : int
        mode : str
            "train" and "evaluate", which need `compile` before, or "predict".

        Returns
        -------
        MemoryEstimate
            Bytes by purpose, and in total.

        Raises
        ------
        TypeError, ValueError
            If the mode is unknown, or the batch size is no whole number of at least 1.

        Examples
        --------
        >>> import convkit as ck
        >>> model = ck.Sequential([ck.Input((32,)), ck.layers.Dense(16, use_bias=False)])
        >>> model.memory_estimate(1, "predict").parameters
        2048
        """
        from convkit.models.memory import memory_of

        return memory_of(self, mode, batch_size)
