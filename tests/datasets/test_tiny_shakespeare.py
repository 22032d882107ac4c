"""Tiny Shakespeare: ids, vocabulary and split."""

import numpy as np
import pytest

from convkit.datasets import tiny_shakespeare


def write(tmp_path, data):
    folder = tmp_path / "tinyshakespeare"
    folder.mkdir()
    (folder / "input.txt").write_bytes(data)
    return tmp_path


def test_ids_vocabulary_and_split(tmp_path, monkeypatch):
    root = write(tmp_path, "to be, or not\r\nto bé 😀".encode())
    (train, test), vocabulary = tiny_shakespeare.load_data(split=0.5, root=root)
    assert vocabulary == "".join(sorted(set("to be, or not\r\nto bé 😀")))
    assert train.dtype == test.dtype == np.uint8
    assert (len(train), len(test)) == (11, 11)
    decode = tiny_shakespeare.decode
    assert decode(train, vocabulary) + decode(test, vocabulary) == "to be, or not\r\nto bé 😀"
    monkeypatch.setenv("CONVKIT_DATA", str(root))
    (train, test), _ = tiny_shakespeare.load_data()
    assert (len(train), len(test)) == (19, 3)


def test_decode_any_shape_and_range():
    assert tiny_shakespeare.decode(np.array([[0, 1], [1, 0]]), "ab") == "abba"
    assert tiny_shakespeare.decode(np.array([], np.uint8), "ab") == ""
    for wrong in ([2], [-1]):
        with pytest.raises(IndexError, match="the vocabulary has 2"):
            tiny_shakespeare.decode(np.array(wrong), "ab")


@pytest.mark.parametrize("split", [0, 1, -0.1, 1.5, float("nan")])
def test_split_out_of_range(tmp_path, split):
    with pytest.raises(ValueError, match="split must lie between 0 and 1"):
        tiny_shakespeare.load_data(split, root=tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: expected at least 2 characters"),
        (b"a", "byte 1: expected at least 2 characters"),
        (b"abc\xff\xfe", "byte 3: expected UTF-8, found ff"),
        ("".join(map(chr, range(32, 300))).encode(), "expected at most 256 distinct .* found 268"),
    ],
)
def test_broken_files(tmp_path, data, message):
    root = write(tmp_path, data)
    with pytest.raises(ValueError, match=rf"input\.txt: {message}"):
        tiny_shakespeare.load_data(root=root)


def test_oversized_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_shakespeare, "_MAX_BYTES", 10)
    root = write(tmp_path, b"to be or not to be")
    with pytest.raises(ValueError, match="byte 10: expected the end of the file"):
        tiny_shakespeare.load_data(root=root)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder"):
        tiny_shakespeare.load_data(root=tmp_path)


def test_real_text(real):
    (train, test), vocabulary = tiny_shakespeare.load_data(root=real("tinyshakespeare"))
    assert (len(train), len(test), len(vocabulary)) == (1_003_854, 111_540, 65)
    assert max(train.max(), test.max()) == 64
    assert tiny_shakespeare.decode(train[:14], vocabulary) == "First Citizen:"
