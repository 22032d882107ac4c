"""Verdicts of measurements in files: kept, found again, and never in the way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from convkit.ops.choosing import cache
from convkit.places import cache_dir

TEXT = "dense.forward(float32 8x16, 16x8, -, 8x8)"
TIMES = {"cpu_tiled": 2e-5, "cpu_blas": 1e-5}


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("CONVKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", set())
    yield tmp_path


def files() -> list[Path]:
    return [p for p in cache.folder().iterdir()]


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.folder().parent == tmp_path / "cache" / "kernels"
    monkeypatch.delenv("CONVKIT_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "convkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "convkit"


def test_a_round_trip() -> None:
    assert cache.read_verdict(TEXT) is None
    assert cache.write_verdict(TEXT, TIMES, set(TIMES)) == TIMES
    assert cache.read_verdict(TEXT) == TIMES
    assert cache.read_verdict(TEXT + " ") is None
    (path,) = files()  # no draft is left
    told = json.loads(path.read_text())
    assert told["call"] == TEXT and told["machine"] == cache.machine()


def test_another_machine_has_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_verdict(TEXT, TIMES, set(TIMES))
    there = {**cache.machine(), "cpu": "another one"}
    monkeypatch.setattr(cache, "machine", lambda: there)
    assert cache.read_verdict(TEXT) is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[1]", b"\xff\xfe", b'{"format": 1}',
        b'{"format": 1, "seconds": {"cpu_tiled": "soon"}}',
        json.dumps({"format": 9, "machine": {}, "call": TEXT, "seconds": TIMES}).encode(),
    ],
)  # fmt: skip
def test_damaged_and_foreign_files_are_ignored_with_a_warning(content: bytes) -> None:
    cache.write_verdict(TEXT, TIMES, set(TIMES))
    (path,) = files()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="ignored and written anew"):
        assert cache.read_verdict(TEXT) is None
    cache.write_verdict(TEXT, TIMES, set(TIMES))
    assert cache.read_verdict(TEXT) == TIMES


def test_the_verdict_of_another_call_or_with_impossible_times_is_ignored() -> None:
    cache.write_verdict(TEXT, TIMES, set(TIMES))
    (path,) = files()
    told = json.loads(path.read_text())
    for wrong in ({"call": "another"}, {"machine": {}}, {"seconds": {"cpu_tiled": -1.0}}):
        path.write_text(json.dumps({**told, **wrong}))
        cache._warned.clear()
        with pytest.warns(UserWarning, match="ignored"):
            assert cache.read_verdict(TEXT) is None


def test_the_first_verdict_counts_if_it_is_enough() -> None:
    cache.write_verdict(TEXT, TIMES, set(TIMES))
    later = {"cpu_tiled": 1.0, "cpu_blas": 2.0}
    assert cache.write_verdict(TEXT, later, set(later)) == TIMES
    more = {**later, "cpu_winograd": 3.0}
    assert cache.write_verdict(TEXT, more, set(more)) == more
    assert cache.read_verdict(TEXT) == more


def test_without_a_folder_it_works_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Path(os.environ["CONVKIT_CACHE"])
    taken.write_text("a file where the folder should be")  # root may write into any folder
    with pytest.warns(UserWarning, match="set CONVKIT_CACHE to a folder that can"):
        assert cache.write_verdict(TEXT, TIMES, set(TIMES)) == TIMES
    assert cache.write_verdict(TEXT, TIMES, set(TIMES)) == TIMES  # silent
    assert cache.read_verdict(TEXT) is None


def test_who_writes_at_the_same_time_agrees() -> None:
    def write(n: int) -> dict[str, float]:
        return cache.write_verdict(TEXT, {"cpu_tiled": float(n), "cpu_blas": 1.0}, set(TIMES))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(write, range(40)))
    assert all(f == found[0] for f in found) and cache.read_verdict(TEXT) == found[0]
    assert len(files()) == 1
