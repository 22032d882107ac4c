"""MNIST and Fashion-MNIST: where the files are looked for, and what is checked in them."""

import gzip
import hashlib

import numpy as np
import pytest

from convkit.datasets import fashion_mnist, mnist

BOTH = [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")]


def flat(data):
    return [array for pair in data for array in pair]


def replace(path, change):
    """Applies `change` to the unpacked bytes of a .gz file."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(bytes(change(data))))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("dataset", "folder"), BOTH)
def test_root(tmp_path, mnist_like, dataset, folder, packed):
    arrays = mnist_like(tmp_path / folder, packed)
    for loaded, array in zip(flat(dataset.load_data(root=tmp_path)), arrays):
        np.testing.assert_array_equal(loaded, array, strict=True)


def test_order_of_places(tmp_path, mnist_like, monkeypatch):
    expected = {}
    for seed, name in enumerate(("cache", "env", "root")):
        expected[name] = mnist_like(tmp_path / name / "mnist", seed=seed)[0]
        monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "env"))
        root = tmp_path / "root" if name == "root" else None
        (x_train, _), _ = mnist.load_data(root)
        np.testing.assert_array_equal(x_train, expected[name])


def test_places_are_not_mixed(tmp_path, mnist_like, monkeypatch):
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "env"))
    mnist_like(tmp_path / "root" / "mnist", seed=1)
    arrays = mnist_like(tmp_path / "env" / "mnist", seed=2)
    (tmp_path / "root" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    for loaded, array in zip(flat(mnist.load_data(tmp_path / "root")), arrays):
        np.testing.assert_array_equal(loaded, array)


def test_missing_files_name_every_place(tmp_path, mnist_like, monkeypatch):
    mnist_like(tmp_path / "root" / "mnist")
    (tmp_path / "root" / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "env"))
    with pytest.raises(FileNotFoundError) as info:
        mnist.load_data(tmp_path / "root")
    message = str(info.value)
    assert f"{tmp_path / 'root' / 'mnist'} (root=): lacks train-labels-idx1-ubyte.gz" in message
    assert f"{tmp_path / 'env' / 'mnist'} (CONVKIT_DATA): no such folder" in message
    assert f"{tmp_path / 'cache' / 'mnist'} (cache): no such folder" in message
    assert 'convkit[datasets] is needed: pip install "convkit[datasets]"' in message
    assert "Set CONVKIT_DATA" in message
    monkeypatch.setenv("CONVKIT_DATA", "")
    with pytest.raises(FileNotFoundError, match="CONVKIT_DATA is not set"):
        mnist.load_data()


def test_root_must_be_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root='.*absent' is not a folder"):
        mnist.load_data(root=tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-labels-idx1", lambda d: d[:8] + b"\x0a" + d[9:], "byte 8: .*0 to 9, found 10"),
        ("t10k-labels-idx1", lambda d: d[:10] + b"\xff", "byte 10: .*0 to 9, found 255"),
        ("t10k-labels-idx1", lambda d: d[:7] + b"\2" + d[8:10], "byte 4: expected 3 labels.* 2"),
        ("t10k-labels-idx1", lambda d: d[:-1], "byte 10: expected 3 bytes"),
        ("t10k-labels-idx1", lambda d: d[:2] + b"\x09" + d[3:], "byte 2: expected type 08"),
        (
            "t10k-labels-idx1",
            lambda d: d[:3] + b"\3" + d[4:8] + b"\0\0\0\1" * 2 + d[8:],
            "byte 3: expected 1 dimensions, found 3",
        ),
        (
            "train-images-idx3",
            lambda d: d[:11] + b"\x0e" + b"\0\0\0\x38" + d[16:],
            "byte 8: .*28x28",
        ),
        ("train-images-idx3", lambda d: d[:2] + b"\x07" + d[3:], "byte 2: expected a type"),
        ("train-images-idx3", lambda d: d[:1000], "byte 1000: expected 5488 bytes"),
        ("train-images-idx3", lambda d: d + b"\0", "byte 5504: .*found more bytes"),
    ],
)
def test_broken_files(tmp_path, mnist_like, name, change, message):
    mnist_like(tmp_path / "mnist")
    replace(tmp_path / "mnist" / f"{name}-ubyte.gz", change)
    with pytest.raises(ValueError, match=rf"{name}-ubyte\.gz: {message}"):
        mnist.load_data(tmp_path)


def test_class_names():
    assert len(fashion_mnist.CLASS_NAMES) == 10


def test_real_mnist(real):
    (x_train, y_train), (x_test, y_test) = mnist.load_data(real("mnist"))
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    published = (  # SHA-256 of the unpacked files
        (x_train, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        (x_test, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    )
    for array, digest in published:
        head = b"\0\0\x08\x03" + np.array(array.shape, ">u4").tobytes()
        assert hashlib.sha256(head + array.tobytes()).hexdigest() == digest
