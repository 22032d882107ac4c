"""The race harness, with contenders that sleep instead of computing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from convkit import _core
from convkit.bench.machine import Rates, child_environment
from convkit.bench.process import Contender, Crew
from convkit.bench.racing import Race, paired_ratio, race

pytestmark = pytest.mark.usefixtures("fakes_on_the_path")


def fake(name, factory="Sleeper", optional=False, /, **arguments):
    return Contender(name, f"fakes:{factory}", arguments, optional)


def run(crew, *contenders, rounds=3, sample_seconds=0.002, **options):
    options = {"rounds": rounds, "sample_seconds": sample_seconds, "crew": crew, **options}
    return race("a case", contenders, **options)


def made(**seconds):
    """A race as if it had been run."""
    arrays = {name: np.asarray(s, float) for name, s in seconds.items()}
    return Race("a case", tuple(arrays), arrays, 1e-6, 2)


def test_a_slower_contender_is_slower(crew):
    result = run(crew, fake("quick", "Counts", seconds=0.001), fake("slow", seconds=0.03), rounds=5)
    ratio, low, high = result.ratio("slow")
    assert ratio > 5 and low > 1 and high >= ratio >= low
    assert result.best_peer() == "slow"
    assert result.verdict("slow").endswith("x faster")
    assert 0.03 <= result.median("slow") < 5
    assert [len(s) for s in result.seconds.values()] == [5, 5]
    assert (result.threads, result.left_out) == (1, {})
    # The machine was measured before every round, its bandwidth before every third.
    rates = result.rates
    assert [len(v) for v in (rates.peak_gflops, rates.clock_ghz, rates.copy_gbs)] == [5, 5, 2]
    assert min(*rates.peak_gflops, *rates.clock_ghz, *rates.copy_gbs) > 0
    share = 1e6 / result.median("quick") / np.median(rates.peak_gflops) / 1e9
    assert result.share_of_peak("quick") == pytest.approx(share)
    assert run(crew, fake("quick", seconds=0.001)).share_of_peak("quick") is None


def test_rounds_are_interleaved_and_the_order_changes(crew, tmp_path):
    log = tmp_path / "log"
    contenders = [fake(n, name=n, seconds=0.01, log=str(log)) for n in "abc"]
    run(crew, *contenders, rounds=8)
    order = "".join(line.split()[0] for line in log.read_text().splitlines())
    # A step takes longer than a sample: two to warm up, then one for each round.
    assert order.startswith("aabbcc")
    rounds = [order[i : i + 3] for i in range(6, len(order), 3)]
    assert len(rounds) == 8 and all(sorted(r) == list("abc") for r in rounds)
    assert len(set(rounds)) > 2


def test_a_sample_is_many_steps_and_begins_after_some(crew, tmp_path):
    log = tmp_path / "log"
    one = fake("a", name="a", seconds=0.005, log=str(log))
    run(crew, one, rounds=2, sample_seconds=0.1)
    steps = [int(line.split()[1]) for line in log.read_text().splitlines()]
    begin = steps.index(3)
    assert steps[:begin] in ([1], [1, 1]) and steps[begin : begin + 2] == [3, 3]
    warm, count, *rest = steps[begin + 2 :]
    assert 1 < count <= 20 and warm == max(1, round(count / 5)) and rest == [warm, count]


def state(worker):
    """Of its process: S for one that sleeps, T for one that is stopped."""
    stat = Path(f"/proc/{worker.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="states of processes are read from /proc")
def test_those_who_wait_are_stopped_and_go_on_when_asked(crew):
    result = run(crew, fake("a", name="a", seconds=0.003), fake("b", name="b", seconds=0.003))
    assert result.names == ("a", "b")
    worker = crew.load(fake("a", name="a", seconds=0.0))
    worker.stop()
    deadline = time.monotonic() + 10
    while state(worker) != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert worker.seconds(2) >= 0 and state(worker) != "T"
    worker.stop()
    worker.close()
    assert not worker.alive


def test_a_time_limit_leaves_five_rounds(crew):
    result = run(crew, fake("a", seconds=0.003), rounds=50, time_limit=0.0)
    assert result.rounds == 5


def test_ratio_is_their_time_over_ours():
    result = made(ours=[1, 2, 3, 2, 2], theirs=[3, 6, 9, 6, 6], best=[2, 4, 6, 4, 4])
    assert result.ratio("theirs")[0] == 3
    assert result.verdict("theirs") == "3.00x faster"
    assert result.best_peer() == "best"
    assert result.best_peer("th") == "theirs"
    assert result.best_peer("nobody") is None and made(ours=[1]).best_peer() is None
    assert result.spread("theirs") == (6, 6)
    assert made(ours=[4] * 5, theirs=[1] * 5).verdict("theirs") == "4.00x slower"


def test_the_interval_on_known_data():
    rng = np.random.default_rng(3)
    ours, noise = rng.normal(1.0, 0.05, 400), rng.normal(0.0, 0.05, 400)
    _, low, high = paired_ratio(ours, 2.0 + noise)
    assert low < 2.0 < high
    # The median of n normal values has the standard error 1.2533 sigma / sqrt(n).
    error = 1.2533 / 20 * np.hypot(0.05, 0.025) * 2
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.35)
    # What disturbs both in the same rounds does not widen it.
    disturbed = 1 + 9 * (rng.random(400) < 0.3)
    assert paired_ratio(ours * disturbed, 3 * ours * disturbed) == pytest.approx((3, 3, 3))
    assert paired_ratio(ours, noise + 2) == paired_ratio(ours, noise + 2)


def test_no_verdict_where_the_noise_exceeds_the_difference():
    noise = [1.0, 1.5, 0.8, 1.2, 0.9, 1.1, 1.3]
    assert made(ours=noise, theirs=noise).verdict("theirs").startswith("no verdict: the noise")
    assert made(ours=noise, theirs=noise[::-1]).verdict("theirs").startswith("no verdict")
    few = made(ours=[1] * 4, theirs=[2] * 4).verdict("theirs")
    assert few == "no verdict: 4 rounds, fewer than 5"


def test_contenders_that_disagree_are_not_timed(crew, tmp_path):
    log = tmp_path / "log"
    message = r"race 'a case': other disagrees with one: loss differs by 2\.50e-01, tolerance 1e-03"
    with pytest.raises(ArithmeticError, match=message):
        run(crew, fake("one", value=2.0, log=str(log)), fake("other", value=1.5, log=str(log)))
    assert not log.exists()
    with pytest.raises(ArithmeticError, match=r"different outputs: 'loss.*' is of one of them"):
        run(crew, fake("one"), fake("other", "OtherNames"))
    with pytest.raises(ArithmeticError, match="different outputs: loss has 1 values, not 2"):
        run(crew, fake("one"), fake("other", "Fewer"))
    with pytest.raises(ArithmeticError, match="loss is empty"):
        run(crew, fake("one", "Nothing"), fake("other", "Nothing"))
    near = run(crew, fake("one", value=2.0), fake("other", value=2.001), rounds=1)
    assert near.disagreement == pytest.approx(0.0005)
    changes = [fake("one", "Changes"), fake("other", "Changes", value=1.009)]
    assert run(crew, *changes, rounds=1).disagreement == pytest.approx(0.009)
    with pytest.raises(ArithmeticError, match=r"change of weight 0 differs .*, tolerance 1e-02"):
        run(crew, fake("one", "Changes"), fake("other", "Changes", value=1.011))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("broken", "contender 'bad': OSError: no such library"),
        ("missing", "contender 'bad': AttributeError: fakes has no 'missing'"),
        (
            "NotADict",
            r"contender 'bad': outputs\(\) must give lists of numbers .*, not None",
        ),
        ("Unordered", "contender 'bad': TypeError: a contender gives lists .*, not set"),
        ("Words", r"contender 'bad': outputs\(\) must give .*; 'loss' is \['a', 'b'\]"),
        ("NoOutputs", r"contender 'bad': outputs\(\) is empty: give what can be compared"),
        ("NotANumber", "contender 'bad': its output 'loss' holds NaN or infinity"),
        ("FailsInStep", "contender 'bad': ValueError: the step is broken"),
        ("Dies", "contender 'bad': the process ended with exit code 3: about to die"),
        ("Killed", r"contender 'bad': the process ended by SIGKILL \(out of memory\?\)"),
    ],
)
def test_a_failing_contender_is_named_or_left_out(crew, factory, message):
    with pytest.raises(RuntimeError, match=message):
        run(crew, fake("good"), fake("bad", factory), rounds=1)
    result = run(crew, fake("good"), fake("bad", factory, True), fake("last"), rounds=1)
    assert result.names == ("good", "last")
    assert list(result.left_out) == ["bad"]
    for optional in (False, True):  # without the first there is nothing to compare with
        with pytest.raises(RuntimeError, match=message):
            run(crew, fake("bad", factory, optional), fake("good", "Sleeper", True), rounds=1)


def test_one_that_disagrees_is_left_out_if_it_is_optional(crew):
    result = run(crew, fake("good"), fake("bad", "Sleeper", True, value=2.1), rounds=1)
    assert result.names == ("good",)
    assert "bad disagrees with good: loss differs by 5.50e-01" in result.left_out["bad"]
    assert (result.best_peer(), result.disagreement) == (None, 0.0)


def test_one_that_hangs_is_ended():
    with Crew(1, timeout=1.0) as crew:
        message = "contender 'bad': no answer to 'outputs' within 1 seconds; its process was ended"
        with pytest.raises(RuntimeError, match=message):
            run(crew, fake("bad", "Hangs"))


def test_children_have_the_threads_and_do_not_inherit_what_holds_blas_back(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with Crew(1) as crew:
        worker = crew.load(fake("seen", "Environment"))
        assert worker.call("outputs")[0] == {"held": [0.0], "threads": [1, 1.0]}


def test_everybody_is_held_to_an_isa(monkeypatch):
    monkeypatch.setattr(_core, "available_isas", lambda: ["baseline", "avx2", "avx512"])
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    held = child_environment(1, "avx2")
    assert held["CONVKIT_ISA"] == "avx2" and held["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert held["ATEN_CPU_CAPABILITY"] == "avx2" and held["MKL_ENABLE_INSTRUCTIONS"] == "AVX2"
    assert held["OPENBLAS_CORETYPE"] == "Haswell"
    free = child_environment(1, "avx512")
    assert free["CONVKIT_ISA"] == "avx512" and "ONEDNN_MAX_CPU_ISA" not in free
    assert child_environment(1)["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE"


def test_bad_arguments_are_refused_before_a_process_starts():
    with pytest.raises(ValueError, match=r"unknown ISA 'avx3' .*; did you mean 'avx"):
        race("a case", [fake("a")], isa="avx3")
    for threads in (0, 10_000):
        with pytest.raises(ValueError, match=f"threads must be from 1 to .*got {threads}"):
            race("a case", [fake("a")], threads=threads)
    with pytest.raises(ValueError, match="race 'a case': rounds is 0, expected at least 1"):
        race("a case", [fake("a")], rounds=0)
    for value in ("3", 5.5):
        with pytest.raises(TypeError, match=f"rounds must be a whole number, not {value!r}"):
            race("a case", [fake("a")], rounds=value)
    for name in ("sample_seconds", "timeout"):
        for value in (0, -1.0, float("nan")):
            with pytest.raises(ValueError, match=f"{name} is {value}, expected a number above 0"):
                race("a case", [fake("a")], **{name: value})
    with pytest.raises(ValueError, match="tolerance is nan"):
        race("a case", [fake("a")], tolerance=float("nan"))
    for factory in ("race.py", "race.py:", ":Q", "fakes:a b"):
        message = f"contender 'a': factory is {factory!r}, expected \"module:function\" or"
        with pytest.raises(ValueError, match=message):
            race("a case", [Contender("a", factory)])
    with pytest.raises(ValueError, match="contenders with different names, got \\['a', 'a'\\]"):
        race("a case", [fake("a"), fake("a")])
    with pytest.raises(ValueError, match="different names"):
        race("a case", [])


def test_a_race_in_json_is_the_race():
    seconds = {"convkit": np.asarray([1.0, 2, 3, 2, 2]), "peer": np.asarray([2.0, 4, 6, 4, 5])}
    rates = Rates((100.0, 90.0), (20.0,), (3.5, 3.0))
    before = Race(
        "a case", tuple(seconds), seconds, 1e-6, 2, rates, {"gone": "why"}, {"flops": 1e9}
    )
    record = json.loads(json.dumps(before.as_dict()))
    assert record["contenders"]["convkit"]["median_s"] == 2.0
    assert record["contenders"]["peer"]["ratio"] == 2.0
    low, high = record["contenders"]["peer"]["ratio_95"]
    assert low <= 2 <= high
    assert record["contenders"]["peer"]["verdict"] == "2.00x faster"
    assert record["rates"]["peak_gflops"] == {
        "median": 95.0, "range": [90.0, 100.0], "samples": [100.0, 90.0],
    }  # fmt: skip
    after = Race.from_dict(record)
    assert after.as_dict() == before.as_dict()
    assert after.share_of_peak("convkit") == pytest.approx(1 / 2 / 95)
    assert made(a=[1.0]).as_dict() == Race.from_dict(made(a=[1.0]).as_dict()).as_dict()


def test_a_contender_may_be_in_a_file(crew, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from fakes import Sleeper\nclass Mine(Sleeper): pass\n")
    result = run(crew, Contender("mine", f"{path}:Mine"), fake("other"), rounds=1)
    assert result.names == ("mine", "other")
    with pytest.raises(
        RuntimeError, match=r"contender 'mine': AttributeError: .*mine\.py has no 'Q'"
    ):
        run(crew, Contender("mine", f"{path}:Q"), rounds=1)


def test_arrays_are_outputs_too(crew):
    result = run(crew, fake("arrays", "Arrays"), fake("lists"), rounds=1)
    assert result.disagreement == 0.0


def test_facts_are_a_dict_and_are_asked_before_anything_is_timed(crew):
    with pytest.raises(RuntimeError, match=r"contender 'a': facts\(\) must give a dict, .*not 3"):
        run(crew, fake("a", "WrongFacts"))


def test_who_was_not_there_is_named(crew):
    result = run(crew, fake("a"), fake("gone", "broken", True), rounds=1)
    with pytest.raises(ValueError, match=r"race 'a case': gone was left out: .*no such library"):
        result.median("gone")
    for method in (result.median, result.spread, result.ratio, result.verdict):
        with pytest.raises(ValueError, match="race 'a case' has no contender 'x'; known: a"):
            method("x")


def test_a_deadline_leaves_one_round_and_no_verdict(crew):
    result = run(crew, fake("a"), fake("b"), rounds=50, deadline=time.monotonic())
    assert result.rounds == 1
    assert result.verdict("b") == "no verdict: 1 rounds, fewer than 5"


def test_a_busy_machine_is_marked_and_a_very_busy_one_gives_no_verdict(crew, others, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    contenders = [fake("a", seconds=0.001), fake("b", seconds=0.03)]
    results = {}
    for others.found in (3.0, 3.3, 3.5, None):  # one thread of four processors leaves three
        results[others.found] = run(crew, *contenders, rounds=5)
    assert results[3.0].load.shared == 0 and results[None].load is None
    assert not results[3.0].mark and not results[None].mark
    assert results[3.0].verdict("b").endswith("x faster")
    mark = "machine busy: other work on 3.3 of 4 processors"
    assert results[3.3].verdict("b").endswith(f"x faster ({mark})")
    assert results[3.3].faster("b") is True
    assert results[3.5].verdict("b") == "no verdict: " + mark.replace("3.3", "3.5")
    assert results[3.5].faster("b") is None
    again = Race.from_dict(json.loads(json.dumps(results[3.5].as_dict())))
    assert again.load == results[3.5].load and again.undecided == results[3.5].undecided
