"""`load_idx`: every dtype, plain and gzipped, and every way in which a file can be wrong."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from convkit import datasets


def write(path, data, packed):
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (1, 1, 1, 1), (0,), (3, 0, 2)], ids=str)
def test_round_trip(tmp_path, idx_bytes, dtype, shape, packed):
    array = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    path = write(tmp_path / "array", idx_bytes(array), packed)
    loaded = datasets.load_idx(path)
    np.testing.assert_array_equal(loaded, array, strict=True)
    assert loaded.dtype.isnative and loaded.flags.writeable and loaded.flags.c_contiguous
    np.testing.assert_array_equal(datasets.load_idx(str(path)), array)


def test_big_endian_on_disk(tmp_path):
    path = write(tmp_path / "array", b"\0\0\x0b\x01\0\0\0\x02\x01\x02\xff\xfe", False)
    assert datasets.load_idx(path).tolist() == [258, -2]


GOOD = b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03" + bytes(range(6))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: expected the magic .* found an empty file"),
        (b"\0\0\x08", "byte 0: expected the magic"),
        (b"\x89PNG" + GOOD, "byte 0: expected the magic .* found 89 50 4e 47"),
        (b"\0\x01" + GOOD[2:], "byte 0: expected the magic"),
        (b"\0\0\x0a" + GOOD[3:], "byte 2: expected a type of 08, .* found 0a"),
        (b"\0\0\x08\0", "byte 3: expected 1 to 32 dimensions, found 0"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "byte 3: expected 1 to 32 dimensions, found 255"),
        (GOOD[:10], "byte 10: expected 2 sizes of 4 bytes"),
        (GOOD[:-1], "byte 17: expected 6 bytes of uint8 .2, 3.* found its end"),
        (GOOD[:12], "byte 12: expected 6 bytes"),
        (GOOD + b"\0", "byte 18: expected 6 bytes .* found more bytes"),
        (b"\0\0\x0e\x02" + b"\xff" * 8 + bytes(64), "byte 4: expected sizes that fit in memory"),
        (b"\0\0\x08\x03" + b"\xff" * 8 + bytes(4), "byte 4: expected sizes that fit in memory"),
    ],
)
def test_broken(tmp_path, data, message, packed):
    path = write(tmp_path / "broken-idx", data, packed)
    with pytest.raises(ValueError, match=rf"(?s)broken-idx: {message}"):
        datasets.load_idx(path)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_claim_of_a_header_allocates_nothing(tmp_path, packed):
    head = struct.pack(">BBBB2I", 0, 0, 8, 2, 1 << 20, 1 << 20)  # a tebibyte
    path = write(tmp_path / "claim", head + b"\x07" * 5, packed)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"byte 17: expected 1099511627776 bytes"):
            datasets.load_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_gzip_bomb_is_read_no_further_than_claimed(tmp_path):
    path = write(tmp_path / "bomb", GOOD + bytes(64 << 20), True)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="found more bytes"):
            datasets.load_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_broken_gzip_streams(tmp_path):
    whole = gzip.compress(GOOD)
    path = tmp_path / "stream.gz"
    for cut in range(2, len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"stream\.gz"):
            datasets.load_idx(path)
    damaged = bytearray(whole)
    damaged[-5] ^= 1  # the last byte of the CRC
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"stream\.gz: after unpacked byte 18: .*whole gzip"):
        datasets.load_idx(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load_idx(tmp_path / "absent")
