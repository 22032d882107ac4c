"""The safetensors format: named arrays in a file that holds nothing else.

A file is eight bytes (the header's length, little-endian), a JSON object, and the arrays' bytes one
after the other without gaps. The object maps each name to ``{"dtype", "shape", "data_offsets"}``;
under ``"__metadata__"`` it may map strings to strings. Source: the format's description in the
repository of its authors, github.com/huggingface/safetensors.

A header is checked from end to end before the first array is allocated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Header",
    "Tensor",
    "read_arrays",
    "read_header",
    "size_of",
    "without_duplicates",
    "write",
]

Array = NDArray[Any]

HEADER_LIMIT = 16 * 2**20  # bytes
RANK_LIMIT = 32  # of the oldest NumPy that is supported
ALIGNMENT = 64  # of the data in the file; the header is padded with spaces
METADATA = "__metadata__"
CHECKSUM = "sha256:"  # in front of a name, in the metadata

_DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
    "BF16": "<u2",  # the upper half of a float32
}  # fmt: skip
_CODES = {np.dtype(text): code for code, text in _DTYPES.items() if code != "BF16"}


@dataclass(frozen=True)
class Tensor:
    """What a header says of one array.

    Attributes
    ----------
    code : str
        The format's name of the dtype: "F32".
    shape : tuple of int
    start, stop : int
        Its bytes, counted from the end of the header.
    """

    code: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that it is read as."""
        return np.dtype(np.float32) if self.code == "BF16" else np.dtype(_DTYPES[self.code])


@dataclass(frozen=True)
class Header:
    """A checked header.

    Attributes
    ----------
    tensors : dict of str to Tensor
        In the header's order.
    metadata : dict of str to str
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def _encode(
    arrays: Mapping[str, Array], metadata: Mapping[str, str]
) -> tuple[bytes, list[tuple[str, Array]]]:
    """The first bytes of a file, header and padding, and the arrays as they follow."""
    ready: dict[str, Array] = {}
    for name, given in arrays.items():
        array = np.asarray(given)
        little = array.dtype.newbyteorder("<")
        if name == METADATA or little not in _CODES:
            raise TypeError(
                f"array {name!r} of dtype {array.dtype} cannot be stored: an array has numbers or "
                f"booleans, and any name but {METADATA!r}"
            )
        ready[name] = np.asarray(array, little, order="C")  # a copy only where it has to be one
    # Each array is aligned to its own items where the wide ones come first.
    ordered = sorted(ready.items(), key=lambda item: -item[1].dtype.itemsize)
    starts, at = {}, 0
    for name, array in ordered:
        starts[name] = at
        at += array.nbytes
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, array in ready.items():
        header[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [starts[name], starts[name] + array.nbytes],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"{len(arrays)} arrays need a header of more than {HEADER_LIMIT} bytes")
    return len(text).to_bytes(8, "little") + text, ordered


def size_of(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> int:
    """Bytes of the file that `write` would make, without checksums."""
    start, ordered = _encode(arrays, metadata or {})
    return len(start) + sum(array.nbytes for _, array in ordered)


def write(
    file: IO[bytes],
    arrays: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    *,
    checksums: bool = False,
) -> None:
    """Write arrays.

    Parameters
    ----------
    file : binary file
    arrays : mapping of str to ndarray
        Of booleans, integers or floats of up to 64 bits.
    metadata : mapping of str to str, optional
    checksums : bool
        Whether the metadata get the SHA-256 of each array, which readers of this package verify.

    Raises
    ------
    TypeError
        If an array has another dtype; nothing is written then.
    """
    told = dict(metadata or {})
    if checksums:
        _, ordered = _encode(arrays, told)
        told.update((CHECKSUM + name, hashlib.sha256(_raw(a)).hexdigest()) for name, a in ordered)
    start, ordered = _encode(arrays, told)
    file.write(start)
    for _, array in ordered:
        file.write(_raw(array))


def _raw(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def read_header(file: IO[bytes], size: int, title: str) -> Header:
    """Read and check a header.

    Parameters
    ----------
    file : binary file
        At its start; afterwards at that of the data.
    size : int
        Bytes of the whole file.
    title : str
        The file in error messages.

    Returns
    -------
    Header

    Raises
    ------
    ValueError
        If the header breaks a rule of the format, or does not describe all bytes of the file and
        no others.
    """
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise ValueError(
            f"{title} is no safetensors file or is cut off: it has {size} bytes, and its header "
            f"is to have {length}"
        )
    if length > HEADER_LIMIT:
        raise ValueError(f"{title}: the header has {length} bytes, more than {HEADER_LIMIT}")
    text = file.read(length)
    if len(text) < length or not text.startswith(b"{"):
        raise ValueError(f"{title} is no safetensors file: there is no header")
    try:
        items = json.loads(text, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{title}: the header cannot be read: {error}") from None
    metadata = items.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{title}: {METADATA} must map strings to strings")
    tensors = {name: _tensor(item, f"{title}: array {name!r}") for name, item in items.items()}
    at = 0
    for name, t in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if t.start != at:
            what = "overlaps another" if t.start < at else "leaves a gap before it"
            raise ValueError(f"{title}: array {name!r} begins at byte {t.start}, which {what}")
        at = t.stop
    if at != size - 8 - length:
        raise ValueError(
            f"{title}: the arrays take {at} bytes, and {size - 8 - length} follow the header; the "
            "file is cut off, or something was appended"
        )
    return Header(tensors, metadata)


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two equal keys, `json` would keep the last and say nothing.

    Raises
    ------
    ValueError
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{double!r} is there twice")
    return found


def _tensor(item: Any, title: str) -> Tensor:
    if not isinstance(item, dict) or set(item) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{title} must have dtype, shape and data_offsets, and nothing else")
    code, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise ValueError(f"{title} has dtype {code!r}; known: {', '.join(_DTYPES)}")
    if not _counts(shape) or len(shape) > RANK_LIMIT:
        raise ValueError(f"{title}: the shape is no list of at most {RANK_LIMIT} sizes")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{title}: data_offsets must be two byte numbers, the first one smaller")
    nbytes = math.prod(shape) * np.dtype(_DTYPES[code]).itemsize
    if nbytes != offsets[1] - offsets[0]:
        raise ValueError(
            f"{title}: shape {tuple(shape)} of {code} needs {nbytes} bytes, and "
            f"{offsets[1] - offsets[0]} are declared"
        )
    return Tensor(code, tuple(shape), offsets[0], offsets[1])


def _counts(numbers: Any) -> bool:
    """Whether this is a list of sizes whose product, zeros aside, NumPy can address."""
    if not isinstance(numbers, list) or not all(type(n) is int and n >= 0 for n in numbers):
        return False
    return len(numbers) <= RANK_LIMIT and math.prod(n or 1 for n in numbers) < 2**59


def read_arrays(file: IO[bytes], header: Header, title: str) -> dict[str, Array]:
    """Read the arrays behind a header that `read_header` has just read from the file.

    Returns
    -------
    dict of str to ndarray
        In the header's order; bfloat16 as float32.

    Raises
    ------
    ValueError
        If the file ends too early, or an array is not the one whose checksum the file has.
    """
    found: dict[str, Array] = {}
    for name, t in sorted(header.tensors.items(), key=lambda i: (i[1].start, i[1].stop)):
        array: Array = np.empty(t.shape, _DTYPES[t.code])
        target = _raw(array)
        at = 0
        while at < len(target):
            part = file.read(min(len(target) - at, 2**20))
            if not part:
                raise ValueError(f"{title} ends within array {name!r}")
            target[at : at + len(part)] = part
            at += len(part)
        stated = header.metadata.get(CHECKSUM + name)
        if stated is not None and stated != hashlib.sha256(target).hexdigest():
            raise ValueError(f"{title}: array {name!r} is damaged: its SHA-256 is another one")
        if t.code == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{title}: array {name!r} has booleans other than 0 and 1")
        if t.code == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        found[name] = array
    return {name: found[name] for name in header.tensors}
