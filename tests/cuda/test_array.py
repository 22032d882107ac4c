"""Arrays on the GPU, and their exchange with other libraries, without a copy."""

from __future__ import annotations

import copy
import ctypes
import pickle
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.cuda import Array, asarray

DTYPES = ["float32", "float64", "uint8", "int32", "int64"]


def numbers(dtype: str = "float32", shape: tuple[int, ...] = (3, 4, 5)) -> Any:
    return np.random.default_rng(1).integers(0, 9, shape).astype(dtype)


class Interface:
    """What another library's array shows."""

    def __init__(self, array: Array, **changes: Any) -> None:
        self.keep = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **changes}


class Unversioned:
    """An array whose library speaks DLPack of before version 1."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__(stream=stream)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 4, 5), (2, 1, 3, 1, 2, 2)])
def test_to_the_device_and_back(dtype: str, shape: tuple[int, ...]) -> None:
    a = numbers(dtype, shape)
    on_gpu = asarray(a)
    assert (on_gpu.shape, on_gpu.dtype, on_gpu.nbytes) == (a.shape, a.dtype, a.nbytes)
    np.testing.assert_array_equal(on_gpu.numpy(), a)
    np.testing.assert_array_equal(np.asarray(on_gpu), a)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">i8"])
def test_the_other_byte_order(dtype: str) -> None:
    a = numbers(dtype)
    np.testing.assert_array_equal(asarray(a).numpy(), a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_hands_over_the_same_memory(dtype: str) -> None:
    a = asarray(numbers(dtype))
    for taken in (asarray(Wrapped(a)), asarray(Unversioned(a))):
        assert taken is not a and taken.pointer == a.pointer
        assert (taken.shape, taken.dtype) == (a.shape, a.dtype)
        np.testing.assert_array_equal(taken.numpy(), a.numpy())


class Wrapped:
    """An array whose library speaks DLPack of version 1."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)


def test_the_maker_is_told_which_stream_to_wait_for() -> None:
    other = Unversioned(asarray(numbers()))
    asarray(other)
    assert other.streams == [1]  # the default one, which we wait for then


def test_memory_lives_as_long_as_who_took_it() -> None:
    a = numbers(shape=(1000,))
    taken = asarray(Wrapped(asarray(a)))  # the first one is gone
    for _ in range(5):
        asarray(np.zeros(1000, "f4"))
    np.testing.assert_array_equal(taken.numpy(), a)


def test_a_capsule_is_what_the_standard_says() -> None:
    a = asarray(numbers("int32", (2, 3)))
    capsule = a.__dlpack__(max_version=(1, 0))
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    at = api.PyCapsule_GetPointer(capsule, b"dltensor_versioned")
    major, minor = (ctypes.c_uint32 * 2).from_address(at)
    assert (major, minor) == (1, 0)
    tensor = at + 32  # after version, context, deleter and flags
    assert ctypes.c_uint64.from_address(tensor).value == a.pointer
    device, number, rank = (ctypes.c_int32 * 3).from_address(tensor + 8)
    assert (device, number, rank) == (2, 0, 2)
    code, bits, lanes = ctypes.c_uint32.from_address(tensor + 20).value.to_bytes(4, "little")[:3]
    assert (code, bits, lanes) == (0, 32, 1)
    shape = ctypes.c_uint64.from_address(tensor + 24).value
    assert list((ctypes.c_int64 * 2).from_address(shape)) == [2, 3]


def test_a_capsule_can_be_used_once() -> None:
    capsule = asarray(numbers()).__dlpack__()
    native = ck.cuda.native.require()
    native.from_dlpack(capsule)
    with pytest.raises(ValueError, match="has been used"):
        native.from_dlpack(capsule)


def test_the_array_interface() -> None:
    a = asarray(numbers("float64", (4, 3)))
    taken = asarray(Interface(a))
    assert taken.pointer == a.pointer and taken.shape == (4, 3) and taken.dtype == np.float64
    assert asarray(Interface(a, strides=(24, 8))).pointer == a.pointer
    assert asarray(Interface(a[:1], strides=[8, 8])).shape == (1, 3)  # no step along one row
    with pytest.raises(ValueError, match=r"not contiguous.*\(8, 32\) bytes, not \(24, 8\)"):
        asarray(Interface(a, strides=(8, 32)))
    with pytest.raises(ValueError, match="has no typestr and no data"):
        asarray(Interface(a, typestr=None, data=None))
    for stream in (-1, 0, "legacy"):
        with pytest.raises(ValueError, match=f"has stream={stream!r}; it is None, 1, 2 or"):
            asarray(Interface(a, stream=stream))
    with pytest.raises(ValueError, match="mask"):
        asarray(Interface(a, mask=1))
    for wrong in ({"typestr": ">f8"}, {"shape": (-4, 3)}, {"data": (0, False)}):
        with pytest.raises(ValueError, match=r"no kernel takes|no memory"):
            asarray(Interface(a, **wrong))
    with pytest.raises(TypeError, match="float16"):
        asarray(Interface(a, typestr="<f2"))


def test_an_array_that_says_more_than_it_has_is_refused() -> None:
    a = asarray(numbers("float64", (4, 3)))
    assert asarray(Interface(a, shape=(3, 4))).shape == (3, 4)
    with pytest.raises(ValueError, match=r"has 800 bytes, shape \(100,\).* ends after 96"):
        asarray(Interface(a, shape=(100,)))
    with pytest.raises(ValueError, match=r"has 96 bytes, shape \(4, 3\).* ends after 72"):
        asarray(Interface(a, data=(a.pointer + 24, False)))


def test_dtypes_for_which_there_is_room() -> None:
    assert asarray([True, False]).dtype == np.uint8
    assert asarray(np.int16([[3, -4]])).dtype == np.int32
    a = asarray([1, 2], dtype="float32")
    np.testing.assert_array_equal(a.numpy(), np.float32([1, 2]))
    assert asarray(a, dtype=np.float32) is a
    with pytest.raises(TypeError, match="on the GPU as float32, and is not made int32 there"):
        asarray(a, dtype="int32")


def test_copies_have_memory_of_their_own() -> None:
    a = asarray(numbers())
    assert copy.copy(a).pointer == a.pointer
    for other in (copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert other.pointer != a.pointer and other.dtype == a.dtype
        np.testing.assert_array_equal(other.numpy(), a.numpy())
    assert copy.deepcopy(a[:0]).shape == (0, 4, 5)


def test_what_cannot_be_taken_is_refused() -> None:
    with pytest.raises(TypeError, match="complex64"):
        asarray(np.zeros(3, "complex64"))
    a = asarray(numbers())
    with pytest.raises(TypeError, match="stretches of rows"):
        a[1]  # type: ignore[index]
    with pytest.raises(BufferError, match="numpy"):
        a.__dlpack__(dl_device=(1, 0))
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(a, copy=False)


def test_stretches_of_rows_share_memory() -> None:
    a = numbers()
    part = asarray(a)[1:3]
    np.testing.assert_array_equal(part.numpy(), a[1:3])
    assert len(asarray(a)[5:2]) == 0


def test_a_layer_that_looks_at_its_data() -> None:
    ids = np.arange(6).reshape(2, 3) % 4
    layers = [ck.Input((3,), dtype="int64"), ck.layers.Embedding(4, 5), ck.layers.Flatten()]
    model = ck.Sequential(layers).to("cuda")
    found = model.predict(asarray(ids), verbose=0)
    np.testing.assert_array_equal(found, model.predict(ids, verbose=0))
    with pytest.raises(ValueError, match="4"):
        model.predict(asarray(ids + 1), verbose=0)


def test_a_model_on_the_cpu_refuses_data_on_the_gpu() -> None:
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(2)])
    with pytest.raises(TypeError, match=r'\[predict\] x is on a GPU.*to\("cuda"\)'):
        model.predict(asarray(numbers(shape=(3, 4))), verbose=0)


def test_odd_addresses_and_impossible_sizes_are_refused() -> None:
    a = asarray(numbers())
    with pytest.raises(ValueError, match="no multiple of 4 bytes"):
        asarray(Interface(a, shape=(3,), data=(a.pointer + 1, False)))
    with pytest.raises(ValueError, match="no memory holds"):
        asarray(Interface(a, shape=(1 << 62, 16)))
