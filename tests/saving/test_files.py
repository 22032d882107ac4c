"""Files: whole or not at all, with clear errors; archives and safetensors, and what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from io import BytesIO

import numpy as np
import pytest

import convkit as ck
from convkit.saving import files, safetensors
from convkit.saving.files import member_names, read_archive, replace_file, write_archive

MEMBERS = {
    "config.json": {"a": [1, float("nan"), (2.5, None)], "b": np.float32(2), "inf": -np.inf},
    "w.safetensors": {
        "x": np.arange(6, dtype="f4").reshape(2, 3),
        "strided": np.arange(12.0)[::3],
        "number": np.array(3),
        "empty": np.zeros((0, 3), "i4"),
        "flags": np.array([True, False]),
        "big": np.arange(3, dtype=">f8"),
        "h": np.float16([1, 2]),
        "u": np.uint64([2**63]),
    },
}


def writes(text):
    return lambda file: file.write(text)


# Replacing files.


def test_an_old_file_is_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    replace_file(path, writes(b"one"))
    os.chmod(path, 0o640)
    replace_file(path, writes(b"two"))
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileExistsError, match="overwrite is False"):
        replace_file(path, writes(b"three"), overwrite=False)


def test_a_new_file_has_the_mode_that_open_gives(tmp_path):
    (tmp_path / "plain").write_text("")
    replace_file(tmp_path / "file", writes(b""))
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_links_are_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    replace_file(tmp_path / "link", writes(b"new"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("failure", [OSError(28, "x"), KeyboardInterrupt(), ValueError("no")])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, failure):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fails(file):
        file.write(b"half")
        raise failure

    with pytest.raises(type(failure), match=r"No space left on device; an old|no|^$"):
        replace_file(path, fails)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_step_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fails(*arguments):
        raise OSError(5, "x")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match=r"cannot write .*file: Input/output error"):
        replace_file(path, writes(b"new"))
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_every_write_that_can_fail(tmp_path):
    """The disk is full after n bytes, for many n."""
    path = tmp_path / "model.convkit"
    old = write_archive(path, {"config.json": {"old": 1}}).read_bytes()
    size = len(write_archive(tmp_path / "other", MEMBERS).read_bytes())
    real = zipfile.ZipFile

    class Full:
        def __init__(self, file, room):
            self.file, self.room = file, room

        def write(self, data):
            self.room -= len(memoryview(data).cast("B"))
            if self.room < 0:
                raise OSError(28, "full")
            return self.file.write(data)

        def __getattr__(self, name):
            return getattr(self.file, name)

    for room in range(0, size, 97):
        files.zipfile.ZipFile = lambda file, *options, room=room: real(Full(file, room), *options)
        try:
            with pytest.raises(OSError, match="No space left on device"):
                write_archive(path, MEMBERS)
        finally:
            files.zipfile.ZipFile = real
        assert path.read_bytes() == old and sorted(os.listdir(tmp_path)) == [path.name, "other"]


def test_places_where_no_file_can_be(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none"):
        replace_file(tmp_path / "none" / "file", writes(b""))
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file in it"):
        replace_file(tmp_path, writes(b""))
    with pytest.raises(IsADirectoryError):
        replace_file(f"{tmp_path}/new/", writes(b""))
    with pytest.raises(OSError, match="not a regular file"):
        replace_file("/dev/null", writes(b""))
    monkeypatch.setattr("builtins.open", lambda *a: (_ for _ in ()).throw(PermissionError(13, "x")))
    with pytest.raises(PermissionError, match=f"no file can be written in {tmp_path}"):
        replace_file(tmp_path / "file", writes(b""))


def test_what_dead_processes_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine, other = os.getpid(), f"{zipfile.crc32(b'elsewhere'):08x}"
    kept = [
        f".file.{files._host()}-{mine}-00112233.tmp", f".file.{other}-{dead.pid}-00112233.tmp",
        f".other.{files._host()}-{dead.pid}-00112233.tmp", ".file.tmp",
    ]  # fmt: skip
    for name in [*kept, f".file.{files._host()}-{dead.pid}-00112233.tmp"]:
        (tmp_path / name).write_text("")
    replace_file(tmp_path / "file", writes(b"x"))
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "file"])


KILLED = """
import sys
import numpy as np
from convkit.saving.files import write_archive
for i in range(10**6):
    write_archive(sys.argv[1], {"config.json": {"i": i}, "w.safetensors": {"x": np.full(10**5, i)}})
"""


def kill_while_writing(path, times):
    for i in range(times):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.15 + 0.013 * (i % 11))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = read_archive(path)
        assert (found["w.safetensors"]["x"] == found["config.json"]["i"]).all()
    write_archive(path, {"config.json": {}})
    assert os.listdir(path.parent) == [path.name]


def test_a_process_that_is_killed_loses_no_file(tmp_path):
    kill_while_writing(tmp_path / "a.convkit", 3)


@pytest.mark.slow
def test_a_process_that_is_killed_often_loses_no_file(tmp_path):
    kill_while_writing(tmp_path / "a.convkit", 60)


# Archives.


def test_an_archive_comes_back(tmp_path):
    path = write_archive(tmp_path / "a.convkit", MEMBERS)
    found = read_archive(path)
    assert list(found) == member_names(path) == list(MEMBERS)
    config = found["config.json"]
    assert config["a"][0] == 1 and np.isnan(config["a"][1]) and config["a"][2] == [2.5, None]
    assert config["b"] == 2 and config["inf"] == -np.inf
    for name, array in MEMBERS["w.safetensors"].items():
        got = found["w.safetensors"][name]
        np.testing.assert_array_equal(got, array)
        assert got.dtype == np.asarray(array).dtype.newbyteorder("<")
    assert list(read_archive(path, ["config.json"])) == ["config.json"]
    with pytest.raises(ValueError, match=r"a.convkit has no other.json; it has config.json, w.saf"):
        read_archive(path, ["other.json"])
    before = path.read_bytes()
    assert write_archive(path, found).read_bytes() == before  # the same, byte by byte


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"../a.json": {}}, ValueError, "without folders"),
        ({"a/b.json": {}}, ValueError, "without folders"),
        ({"a.txt": {}}, ValueError, "cannot have a member 'a.txt'"),
        ({"a.json": {"x": object()}}, TypeError, "a.json, x: object"),
        ({"a.json": {1: 2}}, TypeError, "keys must be strings"),
        ({"a.json": {"x": {"float": "nan"}}}, ValueError, "would be read as a number"),
        ({"a.safetensors": {"x": np.array(["a"])}}, TypeError, "array 'x' of dtype <U1"),
        ({"a.safetensors": {"x": np.array([1j])}}, TypeError, "complex128"),
        ({"a.safetensors": {"x": np.array([{}])}}, TypeError, "object"),
        ({"a.safetensors": {"__metadata__": np.ones(1)}}, TypeError, "any name but"),
    ],
)
def test_what_cannot_be_stored_touches_no_file(tmp_path, members, error, message):
    with pytest.raises(error, match=message):
        write_archive(tmp_path / "a.convkit", members)
    assert os.listdir(tmp_path) == []


def test_places_where_no_archive_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_archive(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_archive(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        read_archive(tmp_path / "pipe")


# Safetensors.


def dump(header, data=b"", pad=0):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def load(blob):
    file = BytesIO(blob)
    header = safetensors.read_header(file, len(blob), "the file")
    return safetensors.read_arrays(file, header, "the file")


def test_the_bytes_of_a_file():
    file = BytesIO()
    safetensors.write(file, {"b": np.uint8([7]), "a": np.float32([1, 2])}, {"k": "v"})
    blob = file.getvalue()
    length = int.from_bytes(blob[:8], "little")
    assert (8 + length) % 64 == 0 and len(blob) == 8 + length + 9
    assert json.loads(blob[8 : 8 + length]) == {
        "__metadata__": {"k": "v"},
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [8, 9]},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    assert blob[8 + length :] == np.float32([1, 2]).tobytes() + b"\x07"
    assert list(load(blob)) == ["b", "a"]
    assert safetensors.size_of({"b": np.uint8([7]), "a": np.float32([1, 2])}, {"k": "v"}) == len(
        blob
    )


def test_bfloat16_is_read_as_float32():
    values = np.float32([1.5, -2, 3.25, 1e30])
    halves = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    got = load(dump({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}, halves))["x"]
    assert got.dtype == np.float32 and got.shape == (2, 2)
    np.testing.assert_allclose(got.reshape(-1), values, rtol=2**-7)


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


BROKEN = {
    "empty": (b"", "cut off"),
    "seven bytes": (b"1234567", "cut off"),
    "a header of 2^63 bytes": ((2**63).to_bytes(8, "little") + b"{}", "header is to have 9223"),
    "no JSON": (dump(b"{nothing}"), "header cannot be read"),
    "no object": (dump(b"[]"), "no header"),
    "deep": (dump(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "cannot be read"),
    "no UTF-8": (dump(b'{"\xff": 1}'), "cannot be read"),
    "a name twice": (
        dump(b'{"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "a": 1}', b"1234"),
        "'a' is there twice",
    ),
    "overlap": (dump({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "overlaps another"),
    "gap": (dump({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)), "leaves a gap"),
    "first byte": (dump({"a": entry(offsets=(4, 12))}, bytes(12)), "leaves a gap"),
    "cut": (dump({"a": entry()}, bytes(7)), "take 8 bytes, and 7 follow"),
    "trailing": (dump({"a": entry()}, bytes(9)), "take 8 bytes, and 9 follow"),
    "dtype": (dump({"a": entry("F8_E4M3")}, bytes(8)), "dtype 'F8_E4M3'; known: BOOL"),
    "dtype of another kind": (dump({"a": entry(["F32"])}, bytes(8)), "dtype"),
    "shape bomb": (dump({"a": entry(shape=(2**40, 2**40))}, bytes(8)), "no list of at most"),
    "large shape": (dump({"a": entry(shape=(2**40,))}, bytes(8)), "needs 4398046511104 bytes"),
    "empty shape bomb": (dump({"a": entry(shape=(0, 2**62), offsets=(0, 0))}), "no list"),
    "rank": (dump({"a": entry("U8", (1,) * 33, (0, 1))}, b"1"), "at most 32 sizes"),
    "negative": (dump({"a": entry(shape=(-2,))}, bytes(8)), "no list"),
    "true": (dump({"a": entry("U8", (True,), (0, 1))}, b"1"), "no list"),
    "float": (dump({"a": entry(shape=(2.0,))}, bytes(8)), "no list"),
    "offsets": (dump({"a": entry(offsets=(8, 0))}, bytes(8)), "data_offsets must be"),
    "huge offsets": (dump({"a": entry(offsets=(0, 2**64))}, bytes(8)), "data_offsets must be"),
    "three offsets": (dump({"a": entry(offsets=(0, 4, 8))}, bytes(8)), "data_offsets must be"),
    "more": (dump({"a": entry(more=1)}, bytes(8)), "and nothing else"),
    "metadata": (dump({"__metadata__": {"a": 1}}), "must map strings to strings"),
    "booleans": (dump({"a": entry("BOOL", (2,), (0, 2))}, b"\x00\x02"), "other than 0 and 1"),
    "checksum": (
        dump({"__metadata__": {"sha256:a": "0"}, "a": entry()}, bytes(8)), "'a' is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_safetensors_are_refused(name, tmp_path):
    blob, message = BROKEN[name]
    with pytest.raises(ValueError, match="the file.*" + message):
        load(blob)
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(2)])
    (tmp_path / "w.safetensors").write_bytes(blob)
    with pytest.raises(ValueError, match=r"w\.safetensors"):
        model.load_weights(tmp_path / "w.safetensors")


def test_a_header_may_not_be_too_long(monkeypatch):
    monkeypatch.setattr(safetensors, "HEADER_LIMIT", 100)
    with pytest.raises(ValueError, match="more than 100"):
        load(dump({"a": entry()} | {"__metadata__": {"x": "y" * 99}}, bytes(8)))
    with pytest.raises(ValueError, match="need a header of more"):
        safetensors.write(BytesIO(), {"x" * 99: np.ones(2)})


def test_checksums_find_a_flipped_bit(tmp_path):
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(2, name="d")])
    path = model.save_weights(tmp_path / "w.safetensors")
    blob = bytearray(path.read_bytes())
    blob[-3] ^= 1
    path.write_bytes(blob)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"array 'd\.(kernel|bias)' is damaged"):
        model.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
