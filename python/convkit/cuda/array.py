"""Arrays in a GPU's memory: from other libraries and for them, without a copy."""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from convkit.cuda import native

__all__ = ["Array", "asarray", "on_gpu"]

CUDA, MANAGED = 2, 13  # device types of DLPack
NAMES = ("float32", "float64", "uint8", "int32", "int64")  # of the dtypes that kernels take
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

    def __copy__(self) -> Array:
        return Array(self.pointer, self.shape, self.dtype.name, self, self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        """A copy in other memory of the GPU."""
        found = empty(self.shape, self.dtype.name)
        if self.size:
            native.require().copy(found.pointer, self.pointer, self.nbytes)
        return found

    def __reduce__(self) -> tuple[Any, tuple[NDArray[Any]]]:
        return asarray, (self.numpy(),)  # a file or another process has the numbers

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


def empty(shape: tuple[int, ...], dtype: str) -> Array:
    """An array on the GPU in memory of its own."""
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = native.allocate(nbytes, f"an array of shape {shape}")
    return Array(memory.pointer, shape, dtype, memory)


def asarray(value: Any, dtype: Any = None) -> Array:
    """An array on the GPU: another library's as it is, one of the CPU as a copy.

    Parameters
    ----------
    value : array_like
        Contiguous in row-major order, where it is on a GPU already: an object with ``__dlpack__``,
        such as a tensor of PyTorch without gradients, or with ``__cuda_array_interface__``.
    dtype : dtype, optional
        float32, float64, uint8, int32 or int64. By default it is the value's; where that is of
        bool or of smaller integers, one of these that has room for it. What is on a GPU already is
        not converted there.

    Returns
    -------
    Array

    Raises
    ------
    TypeError, ValueError
        If no kernel could take it; the message says what would.
    """
    cuda = native.require()
    if not on_gpu(value):
        return _uploaded(value, dtype)
    if isinstance(value, Array):
        found = value
    elif hasattr(value, "__dlpack__"):
        try:  # the maker orders its work before the stream that is named
            capsule = value.__dlpack__(stream=LEGACY, max_version=(1, 0))
        except TypeError:  # of before version 1
            capsule = value.__dlpack__(stream=LEGACY)
        cuda.finish(LEGACY)
        pointer, shape, name, device, keeper = cuda.from_dlpack(capsule)
        found = Array(pointer, shape, name, keeper, device)
    else:
        found = _of_interface(value)
    if found.size and found.pointer % found.dtype.itemsize:
        raise ValueError(
            f"the array of {found.dtype} lies at address {found.pointer:#x}, which is no "
            f"multiple of {found.dtype.itemsize} bytes, as a GPU wants it; copy it first"
        )
    if dtype is not None and np.dtype(dtype) != found.dtype:
        raise TypeError(
            f"the array is on the GPU as {found.dtype}, and is not made {np.dtype(dtype)} there; "
            "convert it with the library that made it, or on the CPU, with numpy()"
        )
    return found


def _uploaded(value: Any, dtype: Any) -> Array:
    from convkit.models.data import as_source  # which knows what is on a GPU from here

    array = as_source(np.asarray(value, dtype), "[asarray] the array")
    found = empty(array.shape, array.dtype.name)
    found._keeper.write(array)
    return found


def _of_interface(value: Any) -> Array:
    """The array that an object describes by ``__cuda_array_interface__``; all of it is checked."""
    cuda = native.require()
    told = value.__cuda_array_interface__
    missing = [key for key in ("shape", "typestr", "data") if told.get(key) is None]
    if missing:
        raise ValueError(f"the array's __cuda_array_interface__ has no {' and no '.join(missing)}")
    shape, dtype = tuple(int(n) for n in told["shape"]), np.dtype(told["typestr"])
    if dtype.byteorder == ">" or any(n < 0 for n in shape):
        raise ValueError(f"no kernel takes an array of shape {shape} and type {told['typestr']!r}")
    if dtype.name not in NAMES:
        raise TypeError(f"no kernel takes arrays of dtype {dtype}; {', '.join(NAMES)} are taken")
    compact, strides = _strides(shape, dtype.itemsize), told.get("strides")
    if strides is not None and 0 not in shape:
        strides = tuple(strides)
        if len(strides) != len(shape) or any(
            n > 1 and step != wanted
            for n, step, wanted in zip(shape, strides, compact, strict=True)
        ):
            raise ValueError(
                f"the array of shape {shape} is not contiguous in row-major order: its strides are "
                f"{strides} bytes, not {compact}; copy it first"
            )
    if told.get("mask") is not None:
        raise ValueError("arrays with a mask are not taken")
    pointer, nbytes = int(told["data"][0]), math.prod(shape) * dtype.itemsize
    if nbytes >= 1 << 62:
        raise ValueError(f"no memory holds an array of shape {shape} and dtype {dtype}")
    if nbytes and not pointer:
        raise ValueError("the array has no memory: its address is 0")
    stream = told.get("stream")
    if stream is not None:
        if not hasattr(stream, "__index__") or stream < 1:
            raise ValueError(
                f"the array's __cuda_array_interface__ has stream={stream!r}; it is None, 1, 2 or "
                "the address of a stream"
            )
        cuda.finish(int(stream))
    extent = cuda.extent(pointer, nbytes) if nbytes else None
    if extent is not None and extent < nbytes:
        raise ValueError(
            f"the array says that it has {nbytes:,} bytes, shape {shape} of {dtype}, and the "
            f"memory at its address ends after {extent:,}"
        )
    return Array(pointer, shape, dtype.name, value)


def _strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    return tuple(itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape)))
