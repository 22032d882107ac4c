"""Files of the safetensors package are read here, and ours there."""

import io

import numpy as np
import pytest

import convkit as ck
from convkit.saving import safetensors

pytestmark = pytest.mark.peer
theirs = pytest.importorskip("safetensors.numpy")

ARRAYS = {
    "conv.kernel": np.arange(24, dtype="f4").reshape(2, 3, 4),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), "f4"),
    "flags": np.array([True, False, True]),
    "bytes": np.uint8([1, 2, 3]),
    **{f"int{n}": np.arange(-2, 3).astype(f"i{n // 8}") for n in (8, 16, 32, 64)},
    "half": np.float16([1, 0.5]),
    "unicode ä": np.uint64([2**63]),
}


def test_their_files_are_read():
    blob = theirs.save(ARRAYS, {"made": "there"})
    file = io.BytesIO(blob)
    header = safetensors.read_header(file, len(blob), "theirs")
    found = safetensors.read_arrays(file, header, "theirs")
    assert header.metadata == {"made": "there"} and set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("checksums", [False, True])
def test_ours_are_read_there(checksums):
    file = io.BytesIO()
    safetensors.write(file, ARRAYS, {"made": "here"}, checksums=checksums)
    found = theirs.load(file.getvalue())
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_weights_files_go_both_ways(tmp_path):
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, name="d"), ck.layers.Dense(2)])
    path = model.save_weights(tmp_path / "w.safetensors")
    arrays = theirs.load_file(path)
    assert list(arrays) and all(np.array_equal(arrays[p.path], p.numpy()) for p in model.parameters)
    theirs.save_file({name: array + 1 for name, array in arrays.items()}, path)
    model.load_weights(path)
    for p in model.parameters:
        np.testing.assert_array_equal(p.numpy(), arrays[p.path] + 1)
