"""The download path, with a stand-in for pooch: tests never use the network."""

import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from convkit.datasets import _files, cifar10, fashion_mnist, mnist, tiny_shakespeare

HIDDEN_CACHE_DIR = _files.cache_dir  # the fixture in conftest replaces it


@pytest.fixture
def pooch(monkeypatch):
    """A module whose retrieve() records its calls and runs `serve(url, path)`."""
    module = types.ModuleType("pooch")
    module.calls = []

    def retrieve(url, known_hash, fname, path):
        module.calls.append((url, known_hash, fname, Path(path)))
        Path(path).mkdir(parents=True, exist_ok=True)
        module.serve(url, Path(path) / fname)
        return str(Path(path) / fname)

    module.retrieve = retrieve
    monkeypatch.setitem(sys.modules, "pooch", module)
    return module


@pytest.mark.parametrize(
    ("dataset", "folder"), [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")]
)
def test_idx_files_go_to_the_cache(tmp_path, pooch, mnist_like, dataset, folder):
    arrays = mnist_like(tmp_path / "published")
    pooch.serve = lambda url, path: path.write_bytes(
        (tmp_path / "published" / url.rsplit("/", 1)[1]).read_bytes()
    )
    (x_train, y_train), (x_test, y_test) = dataset.load_data()
    for loaded, array in zip((x_train, y_train, x_test, y_test), arrays):
        np.testing.assert_array_equal(loaded, array)
    assert len(pooch.calls) == 4
    for url, known_hash, name, path in pooch.calls:
        assert url.endswith(f"/{name}") and path == tmp_path / "cache" / folder
        assert re.fullmatch("sha256:[0-9a-f]{64}", known_hash)
    assert len({known_hash for _, known_hash, _, _ in pooch.calls}) == 4
    dataset.load_data()  # from the cache
    assert len(pooch.calls) == 4


def test_nothing_is_downloaded_when_the_files_are_there(tmp_path, pooch, mnist_like):
    mnist_like(tmp_path / "mnist")
    mnist.load_data(tmp_path)
    assert pooch.calls == []


def test_text_and_archive(tmp_path, pooch):
    pooch.serve = lambda url, path: path.write_bytes(b"to be or not")
    (train, test), _ = tiny_shakespeare.load_data()
    assert len(train) + len(test) == 12
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz.*expected a tar file"):
        cifar10.load_data()
    (_, text_hash, *_), (url, archive_hash, name, _) = pooch.calls
    assert text_hash.startswith("sha256:86c4e6aa") and archive_hash.startswith("sha256:c4a38c50")
    assert url.startswith("https://") and name == "cifar-10-binary.tar.gz"


def test_no_network(pooch):
    def serve(url, path):
        raise ConnectionError("no route to host")

    pooch.serve = serve
    with pytest.raises(FileNotFoundError, match=r"(?s)Looked in.*failed: no route") as info:
        mnist.load_data()
    assert "pip install" not in str(info.value)


def test_wrong_hash_is_reported(pooch):
    def serve(url, path):
        raise ValueError(f"SHA256 hash of downloaded file ({path.name}) does not match")

    pooch.serve = serve
    with pytest.raises(ValueError, match="does not match"):
        mnist.load_data()


def test_importing_the_package_does_not_import_pooch():
    code = "import sys, convkit.datasets; sys.exit('pooch' in sys.modules)"
    package = str(Path(_files.__file__).parents[2])
    paths = [package, *(path for path in sys.path if path)]
    code = f"import sys; sys.path[:0] = {paths!r}; {code}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_cache_dir(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert HIDDEN_CACHE_DIR() == Path("/home/somebody/.cache/convkit")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert HIDDEN_CACHE_DIR() == Path("/caches/convkit")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert HIDDEN_CACHE_DIR() == Path("/home/somebody/Library/Caches/convkit")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert HIDDEN_CACHE_DIR() == Path("/local/convkit")
