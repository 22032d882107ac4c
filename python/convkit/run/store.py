"""Parameters, gradients and optimiser state, each in one flat buffer."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops.registry import Array
from convkit.run.device_data import DeviceData

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


def flat(count: int, dtype: str, purpose: str = "an array", device: str = "cpu") -> Array:
    """Zeroed, aligned array of `count` elements that owns its native memory.

    That of the device "cuda" is the GPU's as well as the CPU's, while no kernel runs.

    Raises
    ------
    MemoryError
        If the system has none; the message says how much was wanted, and what for.
    """
    nbytes = max(count, 1) * np.dtype(dtype).itemsize
    if device == "cuda":
        shared: Array = np.asarray(cuda.allocate(nbytes, purpose, shared=True)).view(dtype)
        return shared[:count]
    try:
        buffer = _core.Buffer(nbytes)
    except MemoryError:
        raise MemoryError(
            f"the system gives no {nbytes / 1e6:,.0f} MB for {purpose}; take a smaller model, or "
            "smaller batches: model.memory_estimate(batch_size) says what it takes"
        ) from None
    array: Array = np.asarray(buffer).view(dtype)
    return array[:count]


class Stretch(NamedTuple):
    """A run of elements of the flat buffers, gaps included, that one update changes.

    Attributes
    ----------
    offset, length : int
    multiplier : float
        Of the learning rate.
    decays : bool
        Whether the optimizer's weight decay applies.
    """

    offset: int
    length: int
    multiplier: float = 1.0
    decays: bool = True


class _Arena(threading.local):
    """Scratch memory, one block for each thread: threads may predict with one model together."""

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)
        self.busy = False

    def __reduce__(self) -> tuple[type[_Arena], tuple[()]]:
        return _Arena, ()  # a copy of a model starts without


class _OnDevice(threading.local):
    """What a thread's runs have on a GPU."""

    def __init__(self) -> None:
        self.data = DeviceData()

    def __reduce__(self) -> tuple[type[_OnDevice], tuple[()]]:
        return _OnDevice, ()  # a copy of a model starts without


class _Turn:
    """A lock for what the threads of a model must do one after the other, if at all."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.training = threading.RLock()

    def __reduce__(self) -> tuple[type[_Turn], tuple[()]]:
        return _Turn, ()  # a copy of a model has its own


class Store:
    """The flat buffers of a model.

    An update, a checkpoint and a check for NaN are one call each, because all parameters lie in one
    array, each at a 64-byte boundary. The gaps between them stay zero.

    Parameters
    ----------
    parameters : sequence of Parameter
        Their `offset` and `store` are set here.
    dtype : str

    Attributes
    ----------
    parameters : ndarray, shape (n,)
    gradient_buffer : ndarray, shape (n,)
        The gradients that are kept; see `gradients`.
    unkept : tuple of Parameter, or None
        Those whose gradients the last training did not keep; None before the first step.
    slots : ndarray, shape (k, n)
        Optimiser state.
    """

    def __init__(self, parameters: Sequence[Parameter], dtype: str = "float32") -> None:
        self.dtype = dtype
        self.members = list(parameters)
        step = ALIGNMENT // np.dtype(dtype).itemsize
        offset = 0
        for p in self.members:
            p.offset = offset
            offset += -(-math.prod(p.shape) // step) * step
        self.count = offset
        self.unkept: tuple[Parameter, ...] | None = None
        self._arena = _Arena()
        self._turn = _Turn()
        self.device = "cpu"
        self._on_device = _OnDevice()
        self._allocate()

    def _allocate(self) -> None:
        self.parameters = self._flat(self.count, "the weights of a model")
        self.gradient_buffer = self._flat(self.count, "the gradients of a model")
        self.slots = np.zeros((0, self.count), self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "device": "cpu"}  # memory that Python copies is the CPU's

    def _flat(self, count: int, purpose: str) -> Array:
        return flat(count, self.dtype, purpose, self.device)

    def move(self, device: str) -> None:
        """Let the buffers be where a device reads and writes them; views of before keep the old."""
        if device == self.device:
            return
        before = self.device, self.parameters, self.gradient_buffer, self.slots
        self.device = device
        try:
            self._allocate()
            self.reserve_slots(len(before[3]))
        except MemoryError:
            self.device, self.parameters, self.gradient_buffer, self.slots = before
            raise
        self.parameters[...], self.gradient_buffer[...], self.slots[...] = before[1:]
        self._on_device = _OnDevice()  # a model that has left the GPU holds nothing there

    @property
    def device_data(self) -> DeviceData:
        """What this thread's runs have on a GPU: threads may predict together."""
        return self._on_device.data

    def view(self, parameter: Parameter) -> Array:
        """The parameter's values, as a writable view."""
        return self._cut(self.parameters, parameter)

    @property
    def gradients(self) -> Array:
        """The gradients of the last training step, in the order of `parameters`.

        Raises
        ------
        RuntimeError
            If some were not kept, or no step has been taken.
        """
        self._require_kept(self.members)
        return self.gradient_buffer

    @property
    def has_step(self) -> bool:
        """Whether a training step has left gradients behind."""
        return self.unkept is not None

    def gradient(self, parameter: Parameter) -> Array:
        """The parameter's gradient from the last training step.

        Raises
        ------
        RuntimeError
            If it was not kept, or no step has been taken.
        """
        self._require_kept([parameter])
        return self._cut(self.gradient_buffer, parameter)

    def all_gradients(self) -> Array:
        """The buffer, for a caller that writes all of it: then every gradient can be read."""
        self.unkept = ()
        return self.gradient_buffer

    def _require_kept(self, wanted: Sequence[Parameter]) -> None:
        if self.unkept is None:
            which = f"no gradient of {wanted[0].path!r}" if len(wanted) == 1 else "no gradients"
            raise RuntimeError(
                f"there is {which} yet: no training step has been taken; train one, "
                "model.train_on_batch(x, y)"
            )
        for parameter in self.unkept:
            if any(p is parameter for p in wanted):
                raise RuntimeError(
                    f"the gradient of {parameter.path!r} was not kept: its update used it up, "
                    "which is faster; compile the model with keep_grads=True (in a callback, set "
                    "needs_gradients = True) and train another step"
                )

    def slot(self, number: int, parameter: Parameter) -> Array:
        """One of the numbers of optimiser state of a parameter, as a writable view."""
        return self._cut(self.slots[number], parameter)

    @staticmethod
    def _cut(flat: Array, parameter: Parameter) -> Array:
        size = math.prod(parameter.shape)
        return flat[parameter.offset : parameter.offset + size].reshape(parameter.shape)

    def changes(self) -> list[float]:
        """The learning rate's factor of each parameter, 0 where training does not change it.

        The stretches follow from it.
        """
        return [p.multiplier if p.trainable else 0.0 for p in self.members]

    def stretches(
        self,
        decays: Callable[[Parameter], bool] = lambda p: True,
        left_out: Container[Parameter] = (),
    ) -> list[Stretch]:
        """Maximal runs of elements that training changes alike.

        Parameters that are not trainable, or whose learning rate is multiplied by 0, are in none.

        Parameters
        ----------
        decays : callable
            Tells whether weight decay applies to a parameter.
        left_out : container of Parameter
            Parameters that are in none either.
        """
        runs: list[Stretch] = []
        for p, following in zip(self.members, [*self.members[1:], None], strict=True):
            end = self.count if following is None else following.offset
            if not p.changes or end == p.offset or p in left_out:
                continue
            run = Stretch(p.offset, end - p.offset, p.multiplier, decays(p))
            last = runs[-1] if runs else None
            if last and last.offset + last.length == run.offset and last[2:] == run[2:]:
                runs[-1] = last._replace(length=last.length + run.length)
            else:
                runs.append(run)
        return runs

    def reserve_slots(
        self, count: int, initial: Sequence[float] = (), *, keep: bool = False
    ) -> None:
        """Make room for `count` numbers of optimiser state per parameter.

        Parameters
        ----------
        count : int
        initial : sequence of float
            What the slots begin with, 0 where nothing is said; the gaps are zero in any case.
        keep : bool
            Whether slots that are there stay as they are.
        """
        old = self.slots if keep else ()
        purpose = "the state of an optimizer"
        self.slots = self._flat(count * self.count, purpose).reshape(count, self.count)
        for slot, value in zip(self.slots, initial):
            if value:
                for p in self.members:
                    self._cut(slot, p)[...] = value
        for slot, values in zip(self.slots, old):
            slot[...] = values

    def arena(self, nbytes: int) -> Array:
        """Scratch memory for activations, kept between steps; one block for each thread."""
        if self._arena.memory.size < nbytes:
            self._arena.memory = np.empty(0, np.uint8)  # give the old block back first
            self._arena.memory = flat(nbytes, "uint8", "activations")
        return self._arena.memory

    @property
    def arena_bytes(self) -> int:
        """Of this thread's block."""
        if self.device == "cuda":
            return self.device_data.arena_bytes
        return int(self._arena.memory.size)

    @contextmanager
    def running(self, *, alone: bool = False) -> Iterator[None]:
        """Hold this thread's arena for a run.

        Parameters
        ----------
        alone : bool
            Let no other thread run with `alone` at the same time: it would read a state that this
            one is about to change.

        Raises
        ------
        RuntimeError
            If the thread is inside a run already: a signal handler or a layer's function that uses
            the model would overwrite what the step has computed.
        """
        if self._arena.busy:
            raise RuntimeError(
                "the model is running in this thread: a signal handler cannot use it, nor can a "
                "function inside of it; let the handler set a flag, and look at the flag in a "
                "callback"
            )
        self._arena.busy = True
        try:
            with self._turn.lock if alone else nullcontext():
                yield
        finally:
            self._arena.busy = False

    @contextmanager
    def training(self) -> Iterator[None]:
        """Train, and let no other thread train meanwhile: steps of both would mix.

        Raises
        ------
        RuntimeError
            If one does already.
        """
        if not self._turn.training.acquire(blocking=False):
            raise RuntimeError(
                "[fit] another thread is training this model: wait for it, or train a copy "
                "(copy.deepcopy)"
            )
        try:
            yield
        finally:
            self._turn.training.release()

    def copy_as(self, dtype: str) -> Store:
        """A store of the same layout and values in another dtype (without touching the members)."""
        other = object.__new__(Store)
        other.dtype = dtype
        other.device = "cpu"
        other._on_device = _OnDevice()
        other.members = self.members
        other.count = self.count
        other.parameters = flat(self.count, dtype)
        other.parameters[...] = self.parameters
        other.gradient_buffer = flat(self.count, dtype)
        other.unkept = self.unkept
        # What is not kept stays untouched, and takes up no memory.
        kept = [] if self.unkept is None else [p for p in self.members if p not in self.unkept]
        for p in kept:
            self._cut(other.gradient_buffer, p)[...] = self._cut(self.gradient_buffer, p)
        other.reserve_slots(len(self.slots))
        other.slots[...] = self.slots
        other._arena = _Arena()
        other._turn = _Turn()
        return other


class NoValues(RuntimeError):
    """Someone asked for numbers of an `Outline`."""


class Outline(Store):
    """Where the parameters of a model would lie: a store without memory, to make programs with."""

    def _allocate(self) -> None:
        self.parameters = self.gradient_buffer = np.zeros(0, self.dtype)
        self.slots = np.zeros((0, 0), self.dtype)

    @staticmethod
    def _cut(flat: Array, parameter: Parameter) -> Array:
        raise NoValues(f"parameter {parameter.path!r} has no values yet")

    def reserve_slots(
        self, count: int, initial: Sequence[float] = (), *, keep: bool = False
    ) -> None:
        self.slots = np.zeros((count, 0), self.dtype)
