"""CIFAR-10: the record format, partial copies, and the archive read in place."""

import gzip
import io
import tarfile
import tracemalloc
import warnings

import numpy as np
import pytest

from convkit.datasets import cifar10

TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]


@pytest.fixture(autouse=True)
def warn_again(monkeypatch):
    monkeypatch.setattr(cifar10, "_warned", set())


def make_batches(counts=(3, 2, 4, 1, 2, 3), seed=0):
    """Batches by name: bytes, images (N, 32, 32, 3) and labels (N, 1)."""
    rng = np.random.default_rng(seed)
    batches = {}
    for name, count in zip([*TRAIN, "test_batch.bin"], counts):
        x = rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
        y = rng.integers(0, 10, (count, 1)).astype(np.uint8)
        planes = [x[..., channel].reshape(count, 1024) for channel in range(3)]
        batches[name] = (np.concatenate([y, *planes], axis=1).tobytes(), x, y)
    return batches


def write(folder, batches, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (data, *_) in batches.items():
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def members(batches):
    inside = [(f"cifar-10-batches-bin/{name}", data) for name, (data, *_) in batches.items()]
    return [("cifar-10-batches-bin/readme.html", b"text"), *inside]


def check(loaded, batches):
    (x_train, y_train), (x_test, y_test) = loaded
    train = [batches[name] for name in TRAIN if name in batches]
    expected = (
        (x_train, np.concatenate([x for _, x, _ in train])),
        (y_train, np.concatenate([y for _, _, y in train])),
        (x_test, batches["test_batch.bin"][1]),
        (y_test, batches["test_batch.bin"][2]),
    )
    for array, wanted in expected:
        np.testing.assert_array_equal(array, wanted, strict=True)


@pytest.mark.parametrize("packed", [False, True], ids=["bin", "bin.gz"])
def test_all_batches(tmp_path, monkeypatch, packed):
    batches = make_batches()
    write(tmp_path / "cifar-10", batches, packed)
    check(cifar10.load_data(tmp_path), batches)
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path))
    check(cifar10.load_data(), batches)


def test_archive(tmp_path):
    batches = make_batches()
    write_tar(tmp_path / "cifar-10" / "cifar-10-binary.tar.gz", members(batches))
    check(cifar10.load_data(tmp_path), batches)
    assert [path.name for path in tmp_path.rglob("*.bin*")] == []


def test_partial_copy_warns_once(tmp_path):
    batches = make_batches()
    for name in (TRAIN[0], TRAIN[3], TRAIN[4]):
        del batches[name]
    write(tmp_path / "cifar-10", batches, packed=True)
    with pytest.warns(
        UserWarning,
        match=r"lacks data_batch_1\.bin, data_batch_4\.bin, data_batch_5\.bin: .* 2 of 5",
    ) as record:
        check(cifar10.load_data(tmp_path), batches)
    assert record[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (["test_batch.bin"], "lacks test_batch.bin"),
        (TRAIN, "lacks data_batch_1.bin to data_batch_5.bin"),
    ],
)
def test_what_must_be_there(tmp_path, absent, message):
    batches = make_batches()
    for name in absent:
        del batches[name]
    write(tmp_path / "cifar-10", batches)
    with pytest.raises(FileNotFoundError, match=message):
        cifar10.load_data(tmp_path)


@pytest.mark.parametrize("source", ["bin", "bin.gz", "tar.gz"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-1], "byte 6145: expected a whole number of records of 3073"),
        (lambda d: d + b"\0", "byte 6147: expected a whole number of records"),
        (lambda d: b"", "byte 0: expected a whole number of records"),
        (
            lambda d: d[:3073] + b"\x0a" + d[3074:],
            "byte 3073: expected a label of 0 to 9, found 10",
        ),
        (lambda d: d * 3, "byte 12292: expected "),
    ],
)
def test_broken_batches(tmp_path, monkeypatch, source, change, message):
    monkeypatch.setattr(cifar10, "_MAX_BYTES", 4 * 3073)
    batches = make_batches()
    data, *arrays = batches[TRAIN[1]]
    batches[TRAIN[1]] = (change(data), *arrays)
    if source == "tar.gz":
        write_tar(tmp_path / "cifar-10" / "cifar-10-binary.tar.gz", members(batches))
    else:
        write(tmp_path / "cifar-10", batches, packed=source == "bin.gz")
    with pytest.raises(ValueError, match=rf"(?s)data_batch_2\.bin.*{message}"):
        cifar10.load_data(tmp_path)


def test_gzip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_MAX_BYTES", 4 * 3073)
    batches = make_batches()
    batches[TRAIN[0]] = (bytes(64 << 20), None, None)
    write(tmp_path / "cifar-10", batches, packed=True)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected the end of the file after"):
            cifar10.load_data(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_broken_archives(tmp_path, monkeypatch):
    path = tmp_path / "cifar-10" / "cifar-10-binary.tar.gz"
    batches = make_batches()

    write_tar(path, members(batches))
    whole = path.read_bytes()
    for cut in (100, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz"):
            cifar10.load_data(tmp_path)

    path.write_bytes(gzip.compress(b"no tar file" * 1000))
    with pytest.raises(ValueError, match=r"by unpacked byte \d+: expected a tar file"):
        cifar10.load_data(tmp_path)

    path.write_bytes(gzip.compress(gzip.decompress(whole)[: 512 * 20]))  # ends inside a member
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz"):
        cifar10.load_data(tmp_path)

    write_tar(path, [*members(batches), ("elsewhere/data_batch_1.bin", batches[TRAIN[0]][0])])
    with pytest.raises(ValueError, match=r"member elsewhere/data_batch_1\.bin: .*only once"):
        cifar10.load_data(tmp_path)

    write_tar(path, members(batches)[:-1])
    with pytest.raises(ValueError, match=r"expected test_batch\.bin and at least one"):
        cifar10.load_data(tmp_path)

    write_tar(path, [("bomb", bytes(1 << 20)), *members(batches)])
    monkeypatch.setattr(cifar10, "_MAX_TAR_BYTES", 1 << 19)
    with pytest.raises(ValueError, match=r"byte 524288: expected the end of the file"):
        cifar10.load_data(tmp_path)


def test_links_in_the_archive_are_not_followed(tmp_path):
    path = tmp_path / "cifar-10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    outside = tmp_path / "outside.bin"
    outside.write_bytes(make_batches()[TRAIN[0]][0])
    with tarfile.open(path, "w:gz") as tar:
        for name in (TRAIN[0], "test_batch.bin"):
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, str(outside)
                tar.addfile(info)
    with pytest.raises(ValueError, match="found neither"):
        cifar10.load_data(tmp_path)


def test_class_names():
    assert len(cifar10.CLASS_NAMES) == 10


def test_real_cifar10(real):
    root = real("cifar-10")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the copy may be a partial one
        (x_train, y_train), (x_test, y_test) = cifar10.load_data(root)
    assert len(x_train) == len(y_train) and len(x_train) % 10_000 == 0 and len(x_train) > 0
    assert x_train.shape[1:] == (32, 32, 3) and y_train.shape[1:] == (1,)
    assert x_test.shape == (10_000, 32, 32, 3)
    assert np.bincount(y_test[:, 0]).tolist() == [1000] * 10
    # Ships lie on blue: planes read in the wrong order fail here.
    red, _, blue = x_test[y_test[:, 0] == cifar10.CLASS_NAMES.index("ship")].mean((0, 1, 2))
    assert blue > red + 5
    # Neighbouring pixels of a photograph are alike, whatever the axis.
    sample = x_test[:500].astype(np.int16)
    assert np.abs(np.diff(sample, axis=1)).mean() < 20 > np.abs(np.diff(sample, axis=2)).mean()
