"""The race harness, with contenders that sleep instead of computing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from convkit.bench.machine import Machine
from convkit.bench.race import Contender, Race, _Worker, race
from convkit.bench.report import markdown, record, table, write


@pytest.fixture(autouse=True)
def _fakes_on_the_path(monkeypatch):
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.getenv("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)


def fake(name, factory="Sleeper", **arguments):
    return Contender(name, f"fakes:{factory}", arguments)


def run(*contenders, rounds=3, **options):
    return race("a case", contenders, rounds=rounds, sample_seconds=0.002, **options)


def made(**seconds):
    """A race as if it had been run."""
    arrays = {name: np.asarray(s, float) for name, s in seconds.items()}
    return Race("a case", tuple(arrays), arrays, 1e-6, 2)


def machine():
    return Machine("a cpu", "avx2", "a BLAS", 2, 4, 100.0, 20.0, 0.5, {"python": "3.11"})


def test_a_slower_contender_is_slower():
    result = run(fake("quick", seconds=0.001), fake("slow", seconds=0.05))
    ratio, low, high = result.ratio("slow")
    assert ratio > 5 and low > 1 and high >= ratio >= low
    assert result.best_peer() == "slow"
    assert result.verdict("slow").endswith("x faster")
    assert 0.05 <= result.median("slow") < 5
    assert [len(s) for s in result.seconds.values()] == [3, 3]

    other = run(fake("slow", seconds=0.05), fake("quick", seconds=0.001))
    assert other.ratio("quick")[0] < 0.2
    assert other.verdict("quick").endswith("x slower")


def test_ratio_is_their_time_over_ours():
    result = made(ours=[1, 2, 3], theirs=[3, 6, 9], best=[2, 4, 6])
    assert result.ratio("theirs")[0] == 3
    assert result.verdict("theirs") == "3.00x faster"
    assert result.best_peer() == "best"
    assert result.best_peer("th") == "theirs"
    assert result.spread("theirs") == (4.5, 7.5)
    assert made(ours=[4] * 5, theirs=[1] * 5).verdict("theirs") == "4.00x slower"


def test_no_verdict_where_the_noise_exceeds_the_difference():
    noise = [1.0, 1.5, 0.8, 1.2, 0.9, 1.1, 1.3]
    assert made(ours=noise, theirs=noise).verdict("theirs").startswith("no verdict")
    assert made(ours=noise, theirs=noise[::-1]).verdict("theirs").startswith("no verdict")


def test_contenders_that_disagree_are_not_timed():
    message = r"'a case' is off: loss of other differs from one by 2\.50e-01, tolerance 1e-03"
    with pytest.raises(ArithmeticError, match=message):
        run(fake("one", value=2.0), fake("other", "Sleeper", value=1.5))
    with pytest.raises(ArithmeticError, match="differs"):
        run(fake("one"), fake("other", value=float("nan")))
    with pytest.raises(ValueError, match="other and one give different outputs"):
        run(fake("one"), fake("other", "OtherNames"))
    near = run(fake("one", value=2.0), fake("other", value=2.001))
    assert near.disagreement == pytest.approx(0.0005)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("broken", "contender 'bad': OSError: no such library"),
        ("missing", "contender 'bad': AttributeError: .*'missing'"),
        ("FailsInStep", "contender 'bad': ValueError: the step is broken"),
        ("Dies", "contender 'bad': the process ended"),
    ],
)
def test_a_failing_contender_is_named(factory, message):
    with pytest.raises(RuntimeError, match=message):
        run(fake("good"), fake("bad", factory))


def test_children_do_not_inherit_what_holds_blas_back(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    worker = _Worker(fake("seen", "Environment"), 3)
    try:
        assert worker.ask(do="outputs")["outputs"] == {"held": [0.0], "threads": [3, 3.0]}
    finally:
        worker.close()


def test_table_and_report():
    races = [made(convkit=[0.001] * 5, slow=[0.004] * 5, best=[0.002] * 5)]
    row = table(races).splitlines()[-1]
    assert row == (
        "| a case | 1.000 (1.000-1.000) | best | 2.000 (2.000-2.000) | 2.00 (2.00-2.00) "
        "| 2.00x faster |"
    )
    text = markdown("A title", machine(), races, "Some notes.")
    assert text.startswith("# A title\n\n```\na cpu, 4 cpus, 2 threads, avx2\n")
    assert "Some notes." in text
    assert "| a case | slow | 4.000 | 4.00 | 1.0e-06 |" in text
    for name in ("convkit", "slow", "best"):
        assert f"| a case | {name} |" in text


def test_json_holds_what_the_table_shows(tmp_path):
    races = [made(convkit=[1, 2, 3], peer=[2, 4, 6])]
    write(tmp_path / "new" / "name", "A title", machine(), races)
    read = json.loads((tmp_path / "new" / "name.json").read_text())
    assert read == json.loads(json.dumps(record("A title", machine(), races)))
    assert read["machine"]["peak_gflops"] == 100.0
    (only,) = read["races"]
    assert (only["case"], only["rounds"], only["threads"]) == ("a case", 3, 2)
    assert only["contenders"]["convkit"] == {"median_s": 2.0, "quartiles_s": [1.5, 2.5]}
    assert only["contenders"]["peer"]["ratio"] == 2.0
    low, high = only["contenders"]["peer"]["ratio_95"]
    assert low <= 2 <= high
    assert (tmp_path / "new" / "name.md").read_text() == markdown("A title", machine(), races)
