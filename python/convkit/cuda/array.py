"""Arrays in a GPU's memory: from other libraries and for them, without a copy."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from convkit.cuda import native

__all__ = ["Array", "asarray", "on_gpu"]

CUDA, MANAGED = 2, 13  # device types of DLPack
LEGACY = 1  # the stream that None means, in DLPack and in the array interface


class Array:
    """A contiguous array in the memory of a GPU.

    `fit`, `evaluate` and `predict` of a model on the GPU take it as it is. Other libraries take it
    without a copy: ``torch.from_dlpack(a)``, ``cupy.from_dlpack(a)`` and the like, or by
    ``__cuda_array_interface__``.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    pointer : int
        Address on the device.
    device : int
        Number of the GPU.
    """

    def __init__(
        self, pointer: int, shape: tuple[int, ...], dtype: str, keeper: Any, device: int = 0
    ) -> None:
        self.pointer = pointer
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.device = device
        self._keeper = keeper  # what owns the memory

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Array:
        """Rows that follow each other, without a copy."""
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise TypeError("only stretches of rows can be cut from an array on a GPU: a[2:5]")
        begin, end, _ = rows.indices(len(self))
        count = max(end - begin, 0)
        row = self.nbytes // max(len(self), 1)
        shape = (count, *self.shape[1:])
        return Array(self.pointer + begin * row, shape, self.dtype.name, self, self.device)

    def __repr__(self) -> str:
        return f"<convkit.cuda.Array: {self.shape}, {self.dtype.name}, GPU {self.device}>"

    def numpy(self) -> NDArray[Any]:
        """A copy in the memory of the CPU."""
        found = np.empty(self.shape, self.dtype)
        if self.size:
            native.require().read_into(found, self.pointer)
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an array on a GPU cannot become NumPy's without a copy")
        found = self.numpy()
        return found if dtype is None else found.astype(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.device

    def __dlpack__(
        self,
        *,
        stream: SupportsIndex | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule for ``from_dlpack`` of another library; see the array API standard."""
        if dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(f"the array is on GPU {self.device}; copy it with numpy()")
        if copy:
            raise BufferError("the array is handed over without a copy only")
        # All that convkit put into it was finished before it was handed out: no stream need wait.
        versioned = max_version is not None and max_version[0] >= 1
        return native.require().to_dlpack(
            self.pointer, self.shape, self.dtype.name, self.device, self, versioned
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": None,  # nothing need be waited for
            "version": 3,
        }


def on_gpu(value: Any) -> bool:
    """Whether an object says that it is an array in a GPU's memory."""
    if isinstance(value, Array):
        return True
    if isinstance(value, np.ndarray):
        return False
    if hasattr(value, "__dlpack_device__"):
        return value.__dlpack_device__()[0] in (CUDA, MANAGED)
    return hasattr(value, "__cuda_array_interface__")


def asarray(value: Any) -> Array:
    """An array on the GPU: another library's as it is, one of the CPU as a copy.

    Parameters
    ----------
    value : array_like
        Contiguous in row-major order, where it is on a GPU already: an object with ``__dlpack__``,
        such as a tensor of PyTorch without gradients, or with ``__cuda_array_interface__``.

    Returns
    -------
    Array

    Raises
    ------
    TypeError, ValueError
        If no kernel could take it; the message says what would.
    """
    cuda = native.require()
    if isinstance(value, Array):
        return value
    if not on_gpu(value):
        found = np.asarray(value, order="C")
        if found.dtype.name not in ("float32", "float64", "uint8", "int32", "int64"):
            raise TypeError(f"no kernel takes arrays of dtype {found.dtype}")
        found = found.astype(found.dtype.newbyteorder("="), copy=False)
        memory = native.allocate(found.nbytes, f"an array of shape {found.shape}")
        memory.write(found)
        return Array(memory.pointer, found.shape, found.dtype.name, memory)
    if hasattr(value, "__dlpack__"):
        try:  # the maker orders its work before the stream that is named
            capsule = value.__dlpack__(stream=LEGACY, max_version=(1, 0))
        except TypeError:  # of before version 1
            capsule = value.__dlpack__(stream=LEGACY)
        cuda.finish(LEGACY)
        pointer, shape, dtype, device, keeper = cuda.from_dlpack(capsule)
        return Array(pointer, shape, dtype, keeper, device)
    told = value.__cuda_array_interface__
    shape, dtype = tuple(told["shape"]), np.dtype(told["typestr"])
    if told.get("strides") not in (None, _strides(shape, dtype.itemsize)):
        raise ValueError("the array is not contiguous in row-major order; copy it first")
    if dtype.byteorder == ">" or any(n < 0 for n in shape):
        raise ValueError(f"no kernel takes an array of shape {shape} and type {told['typestr']!r}")
    if math.prod(shape) and not told["data"][0]:
        raise ValueError("the array has no memory: its address is 0")
    if told.get("mask") is not None:
        raise ValueError("arrays with a mask are not taken")
    if dtype.name not in ("float32", "float64", "uint8", "int32", "int64"):
        raise TypeError(f"no kernel takes arrays of dtype {dtype}")
    stream = told.get("stream")
    if stream is not None:
        cuda.finish(stream)
    return Array(told["data"][0], shape, dtype.name, value)


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))
