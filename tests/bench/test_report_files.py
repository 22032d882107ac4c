"""The files of a run: what is refused first, what is kept when a run or the writing ends early."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import socket
import time

import numpy as np
import pytest

from convkit.bench import suites
from convkit.bench.machine import Machine, Rates
from convkit.bench.process import ContenderError
from convkit.bench.racing import Race
from convkit.bench.report import Report, check_outputs
from convkit.bench.suites import run_suite


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """What races were asked for; they take no time, and the second case fails."""
    asked = []
    rates = Rates((100.0,), (20.0,), (3.5,))

    def race(case, contenders, **options):
        asked.append(options)
        if case == "second":
            raise ContenderError("it is nonsense")
        seconds = {name: np.full(options["rounds"], s) for name, s in (("a", 1.0), ("b", 2.0))}
        return Race(case, ("a", "b"), seconds, 0.0, 1, rates)

    class NoCrew(contextlib.nullcontext):
        def __init__(self, *_):
            super().__init__(self)

        def machine(self, rates, load):
            return Machine("a cpu", "avx2", "a BLAS", 2, 4, load, {}, rates)

    monkeypatch.setattr(suites, "race", race)
    monkeypatch.setattr(suites, "Crew", NoCrew)
    return asked


def report():
    return Report("models", "A title", "Notes.", {})


@pytest.fixture(params=["pipe", "socket"])
def special(request, tmp_path, monkeypatch):
    """A file that is no regular one, and whether it still is as it was."""
    path = tmp_path / "special"
    if request.param == "pipe":
        os.mkfifo(path)
        yield path, path.is_fifo
        return
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("special")
        yield path, path.is_socket


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_is_refused_and_stays(special, linked, tmp_path):
    path, stays = special
    named = path
    if linked:
        named = tmp_path / "link"
        named.symlink_to(path)
    message = f"cannot write {named}: it is not a regular file; give the name of one"
    with pytest.raises(OSError, match=message):
        check_outputs(named, None, None)
    with pytest.raises(OSError, match=message):
        report().write(json_file=named)
    with pytest.raises(OSError, match=message):
        run_suite("small", peers="numpy", markdown=named)
    assert stays() and named.is_symlink() == linked


@pytest.mark.parametrize("exists", [False, True])
def test_links_are_followed(exists, tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a.json", tmp_path / "link.json"
    link.symlink_to(target)
    if exists:
        target.write_text("old")
    check_outputs(link, None, None)
    assert target.exists() == exists and (not exists or target.read_text() == "old")
    report().write(json_file=link)
    assert link.is_symlink() and Report.load(target).title == "A title"
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["a.json"]
    with pytest.raises(ValueError, match="is to hold two outputs"):
        check_outputs(link, target, None)


def test_a_plot_follows_links_too(tmp_path, fake_suite):
    pytest.importorskip("matplotlib")
    target, link = tmp_path / "a.svg", tmp_path / "link.svg"
    link.symlink_to(target)
    run_suite("models", cases="first", rounds=5, quick=True, plot=link)
    assert link.is_symlink() and target.read_text().rstrip().endswith("</svg>")


def test_a_run_outlives_its_files(fake_suite, tmp_path, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    seen = []

    def progress(report, case):
        seen.append((case, dict(report.unwritten)))
        if case == "first":
            shutil.rmtree(folder)

    path = folder / "a.json"
    with pytest.warns(
        RuntimeWarning, match=r"a\.json was not written: .*; the run goes on"
    ) as said:
        found = run_suite("models", rounds=1, json=path, progress=progress)
    assert len(said) == 1  # and not once for each case
    assert [case for case, _ in seen] == ["first", "second", "third, one thread"]
    assert seen[0][1] == {} and list(seen[1][1]) == [str(path)]
    assert list(found.unwritten) == [str(path)] and len(found.races) == 2


def test_a_file_that_can_be_written_again_is(fake_suite, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def progress(report, case):
        shutil.rmtree(folder) if case == "first" else folder.mkdir(exist_ok=True)

    with pytest.warns(RuntimeWarning):
        found = run_suite("models", rounds=1, json=folder / "a.json", progress=progress)
    assert found.unwritten == {}
    assert Report.load(folder / "a.json").as_dict() == found.as_dict()


def test_a_plot_without_races_loses_nothing(fake_suite, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.svg"
    with pytest.warns(RuntimeWarning, match="there is no race to draw"):
        found = run_suite("models", cases="second", rounds=1, plot=path)
    assert list(found.failed) == ["second"] and list(found.unwritten) == [str(path)]


def test_a_record_of_a_run_that_was_ended_says_what_is_missing(fake_suite, tmp_path):
    path = tmp_path / "a.json"

    def progress(report, case):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite("models", rounds=1, json=path, progress=progress)
    left = Report.load(path)
    assert left.planned == ["first", "second", "third, one thread"]
    line = "1 of 3 cases, as the run was ended, or is going on. Not run: second; third, one thread."
    assert line in left.text() and f"- {line}" in left.markdown()
    whole = run_suite("models", rounds=1)
    assert "Not run" not in whole.text() and whole.ended == ""


def test_a_record_from_before_names_were_kept_can_be_read():
    record = report().as_dict()
    del record["planned"], record["ended"]
    assert "Not run" not in Report.from_dict(record).text()


def test_quick_begins_nothing_once_its_time_is_up(fake_suite, monkeypatch):
    monkeypatch.setattr(suites, "QUICK_SECONDS", 0.0)
    found = run_suite("models", quick=True)
    assert found.races == [] and found.failed == {}
    line = "0 of 3 cases, as the 0 seconds of --quick were up. Not run: first; second; third, one"
    assert line in found.text()
    assert len(run_suite("models", cases="first", rounds=1).races) == 1  # without quick


def test_no_round_begins_after_that_either(fake_suite, monkeypatch, at_once):
    monkeypatch.setattr(time, "monotonic", lambda: 50.0)
    for quick, deadline in ((True, 150.0), (False, math.inf)):
        run_suite("models", cases="first", quick=quick)
        assert at_once[-1]["deadline"] == deadline


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"format": 1, "suite": "mod', "Unterminated string"),
        (b"\x89PNG\r\n\xff\xfe", "codec can't decode"),
        (b"[1, 2]", "it holds list"),
        (b'{"format": 1}', "suite"),
        (b'{"format": 7}', "its format is 7"),
    ],
)
def test_a_file_that_is_no_record_is_named(content, why, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is no whole record of `convkit bench`.*{why}"):
        Report.load(path)
