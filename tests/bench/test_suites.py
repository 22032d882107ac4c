"""Suites: what they consist of, what they report, and a real race without PyTorch."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import convkit as ck
from convkit import _core
from convkit.bench import cases, machine, memory
from convkit.bench.cases import Case
from convkit.bench.load import Load
from convkit.bench.machine import Machine, Rates
from convkit.bench.outputs import disagreement
from convkit.bench.peers.layer_pass import LayerPass
from convkit.bench.peers.workload import Workload, without_dropout
from convkit.bench.racing import Race
from convkit.bench.report import Report
from convkit.bench.suites import SUITES, Options, run_suite, select
from convkit.ops import registry

RATES = Rates((100.0, 90.0, 80.0), (20.0,), (3.5, 3.4))
RACING = [name for name in SUITES if name != "memory"]


@pytest.fixture(autouse=True)
def _every_library(monkeypatch):
    """Nothing here needs the peers themselves."""
    monkeypatch.setattr(cases, "find_spec", lambda name: name)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", SUITES)
def test_every_suite_is_made(name, quick):
    chosen = select(name, Options(quick=quick))
    names = [case.name for case in chosen]
    assert len(set(names)) == len(names) >= 4
    for case in chosen:
        ours, *others = cases.contenders(case, quick=quick)
        assert ours.name == "convkit" and not ours.optional
        assert others and all(c.optional for c in others)
        assert not (quick and any("compile" in c.name for c in others))
        json.dumps([c.arguments for c in (ours, *others)])
        if "layer" in case.arguments:
            call = LayerPass(**case.arguments["layer"]).call()
            row = registry.kernels(call.op, call.pass_name)[0]
            assert isinstance(row.supports([*call.specs, *call.outputs()], call.params), bool)
        else:
            work = Workload(**case.arguments["workload"])
            assert work.network in ck.models.names()
            assert work.samples >= work.batch or work.mode == "predict" or work.compared == 2


def test_the_cases_that_are_aimed_at():
    names = {case.name for case in select("models", Options())}
    assert {f"lenet5, batch {n}" for n in (1, 32, 128, 512)} < names
    assert {"mlp 784-128-10, batch 32", "mlp 784-128-10, batch 128"} < names
    assert {"mlp 784-512-512-10, batch 128", "alexnet one-tower, batch 32"} < names
    assert {"alexnet one-tower, batch 128", "vgg16, batch 8"} < names
    assert {"lenet5 inference, batch 1", "alexnet one-tower inference, batch 1"} < names
    assert all(case.target for case in select("models", Options()))
    assert "alexnet one-tower, batch 128" not in {
        c.name for c in select("models", Options(quick=True))
    }
    classic = [c for c in select("layers", Options()) if "classic" in c.name]
    assert len(classic) == 5 * 4
    shapes = {tuple(c.arguments["layer"]["x"]): tuple(c.arguments["layer"]["w"]) for c in classic}
    assert shapes == {
        (128, 128, 128, 3): (11, 11, 3, 96), (128, 64, 64, 64): (9, 9, 64, 128),
        (128, 32, 32, 128): (9, 9, 128, 128), (128, 16, 16, 128): (7, 7, 128, 128),
        (128, 13, 13, 384): (3, 3, 384, 384),
    }  # fmt: skip
    assert (
        select("layers", Options(batch=2, cases=("classic.L1",)))[0].arguments["layer"]["x"][0] == 2
    )


def test_threads_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(_core, "usable_cpus", lambda: 24)
    counts = [case.threads for case in select("threads", Options(cases=("lenet5, batch 128",)))]
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]
    assert {c.threads for c in select("threads", Options(quick=True, threads=3))} == {1, 3}


def test_dropout_is_off_in_what_is_compared():
    work = Workload("mlp", 4, {"sizes": [6, 5, 3], "dropout": 0.5})
    model = work.model()
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Dropout", "Dense"]
    plain = without_dropout(model)
    assert [type(layer).__name__ for layer in plain.layers] == ["Dense", "Dense"]
    for a, b in zip(plain.get_weights(), work.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert without_dropout(plain) is plain


# ---- what is refused, before anything runs


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("modles", {}, "unknown suite 'modles'; did you mean 'models'"),
        ("kernels", {}, "rows of a table race in one process"),
        ("models", {"cases": "lenet6"}, r"\[models\] no case contains 'lenet6'"),
        ("models", {"peers": "tensorflow"}, r"\[models\] no peer contains 'tensorflow'; known: "),
        (
            "models",
            {"peers": "torch.compile", "quick": True},
            "with quick=True none of these peers",
        ),
        ("models", {"rounds": 0}, "suite 'models': rounds is 0, expected at least 1"),
        ("models", {"timeout": 0.0}, r"timeout is 0\.0, expected a number above 0"),
        ("models", {"timeout": float("nan")}, "timeout is nan, expected a number above 0"),
        ("memory", {"plot": "x.svg"}, r"\[memory\] there is no race to draw"),
        ("models", {"batch": 4}, "batch is for the suite layers"),
        ("layers", {"batch": 0}, "at least 1"),
        ("models", {"threads": 1000}, "threads must be from 1 to .* got 1000"),
        ("models", {"isa": "sse9"}, "unknown ISA 'sse9'"),
        ("models", {"plot": "x.bmp"}, "a plot is one of .pdf, .png, .svg, got x.bmp"),
    ],
)
def test_bad_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        run_suite(name, **options)


def test_a_missing_library_names_its_extra(monkeypatch, tmp_path):
    absent = "torch"
    monkeypatch.setattr(cases, "find_spec", lambda name: None if name == absent else name)
    with pytest.raises(ImportError, match=r"against PyTorch needs torch.*convkit\[bench\]"):
        run_suite("models")
    select("small", Options(peers=("numpy",)))  # which needs neither
    absent = "sklearn"
    with pytest.raises(ImportError, match=r"against scikit-learn needs scikit-learn.*\[bench\]\"$"):
        run_suite("small", peers="scikit")
    with pytest.raises(ImportError, match=r"or race against others: --peers torch$"):
        run_suite("small")
    monkeypatch.setattr("convkit.bench.report.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"plot of a suite needs matplotlib.*convkit\[plot\]"):
        run_suite("small", peers="numpy", plot=tmp_path / "x.svg")


def test_files_that_cannot_be_written_are_refused_first(tmp_path):
    folder = tmp_path / "not there"
    with pytest.raises(OSError, match=f"cannot write .*a.json: there is no folder {folder}"):
        run_suite("small", peers="numpy", json=folder / "a.json")
    with pytest.raises(OSError, match="is a folder"):
        run_suite("small", peers="numpy", markdown=tmp_path)
    with pytest.raises(OSError, match=r"there is no file x\.whl"):
        run_suite("memory", peers="numpy", wheel="x.whl")
    with pytest.raises(ValueError, match=r"x\.md is to hold two outputs"):
        run_suite("small", peers="numpy", json=tmp_path / "x.md", markdown=tmp_path / "x.md")


# ---- reports


def race_of(case, **seconds):
    seconds = seconds or {"convkit": 0.001, "torch eager": 0.003, "numpy": 0.002}
    noise = np.asarray([1.0, 1.1, 0.9, 1.0, 1.05])
    facts = {"flops": 2e7, "bytes": 4e6, "samples": 4, "kernel": "cpu_tiled"}
    times = {name: s * noise for name, s in seconds.items()}
    return Race(case.name, tuple(times), times, 1e-6, 2, RATES, {}, facts)


def report_of(name, quick=True):
    options = Options(quick=quick)
    report = Report.begin(name, SUITES[name].title, SUITES[name].notes, options, ["A=b"])
    report.machine = Machine("a cpu", "avx2", "a BLAS", 2, 4, 0.5, {"python": "3.11"}, RATES)
    for case in select(name, options):
        if name == "memory":
            found = {
                n: {
                    "peak_mb": p,
                    "before_mb": 50.0,
                    "allocations_per_step": a,
                    "faults_per_step": 3,
                }
                for n, p, a in (("convkit", 90.0, 0), ("torch eager", 120.0, None))
            }
            entry = {"contenders": found, "left_out": {}, "disagreement": 0.0}
            report.cases.append({"name": case.name, "target": None, "labels": {}, "memory": entry})
        else:
            report.add(case.name, race_of(case), case.target, case.labels)
        report.seconds[case.name] = 1.0
    return report


@pytest.mark.parametrize("name", SUITES)
def test_tables_and_markdown_are_made_of_the_stored_json(name, tmp_path):
    report = report_of(name)
    report.failed["a case"] = "it disagrees"
    report.write(tmp_path / "a.json", tmp_path / "a.md")
    again = Report.load(tmp_path / "a.json")
    assert again.as_dict() == report.as_dict()
    text = (tmp_path / "a.md").read_text()
    assert again.markdown() == report.markdown() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.md"]
    assert text.startswith(f"# {SUITES[name].title}\n\n```\na cpu, 4 cpus, 2 threads, avx2, 0.5 ot")
    assert "peak 90 (80-100) GFLOP/s, copy 20.0 (20.0-20.0) GB/s, clock about 3.5" in text
    assert "Unset in every contender: A=b" in text
    assert "- a case failed: it disagrees" in text
    summary = again.tables()[0]
    assert len(summary.rows) == len(report.cases) * (2 if name == "memory" else 1)
    assert all(len(row) == len(table.header) for table in again.tables() for row in table.rows)
    for case in report.cases:
        key = case["labels"].get("layer") or case["labels"].get("case") or case["name"]
        assert key in text or case["labels"]["axis"] in text
    assert summary.title in again.text() and summary.rows[0][0] in again.text()


def cells(report, table=0, row=0):
    found = report.tables()[table]
    return dict(zip(found.header, found.rows[row], strict=True))


def test_the_summary_says_what_was_reached():
    report = report_of("models")
    found = cells(report)
    assert found["case"] == "lenet5, batch 1" and found["best peer"] == "numpy"
    assert found["convkit, median ms (quartiles)"] == "1.000 (1.000-1.050)"
    assert found["of peak"] == "22%"  # 2e7 operations in 1 ms, of 90e9 in a second
    assert found["ratio (95 %)"] == "2.00 (2.00-2.00)"
    assert (found["target"], found["verdict"]) == ("8 missed", "2.00x faster")
    assert found["peak GFLOP/s (range)"] == "90 (80-100)"
    noisy = race_of(Case("noisy", {}, ()), convkit=0.001, numpy=1.0)
    noisy.seconds["numpy"] = np.asarray([0.0041, 0.0055, 0.003, 0.0042, 0.0038])
    report.add("noisy", noisy, 4.0, {})
    assert cells(report, row=-1)["target"] == "4 within the noise"
    few = race_of(Case("few", {}, ()), convkit=1.0, numpy=9.0)
    few.seconds.update({name: found[:1] for name, found in few.seconds.items()})
    report.add("few", few, 4.0, {})
    found = cells(report, row=-1)
    assert found["target"] == "4: no verdict"
    assert found["verdict"] == "no verdict: 1 rounds, fewer than 5"
    report.add("b", race_of(Case("b", {}, ()), convkit=1.0, numpy=5.0), 4.0, {})
    assert cells(report, row=-1)["target"] == "4 reached"
    alone = Race("c", ("convkit",), {"convkit": np.ones(5)}, 0.0, 2, RATES, {"numpy": "it died"})
    report.add("c", alone, 4.0, {})
    found = cells(report, row=-1)
    assert (found["target"], found["verdict"], found["of peak"]) == ("-", "no peer was left", "-")
    assert "c: left out numpy: it died" in report.text()
    assert cells(report, 1, -1)["median ms"] == "failed"


def test_a_share_of_the_peak_that_cannot_be_is_marked():
    report = report_of("models")
    for seconds, cell in ((2e7 / 90e9 / 4.4, "440%"), (2e7 / 90e9 / 4.6, "460% (implausible)")):
        report.add("a", race_of(Case("a", {}, ()), convkit=seconds, numpy=1.0), None, {})
        assert cells(report, row=-1)["of peak"] == cell
        assert cells(report, 1, -2)["of peak"] == cell


def test_races_on_a_busy_machine_are_marked():
    report = report_of("small")
    assert "Machine busy" not in report.text() and "busy with other work" not in report.text()
    busy = replace(race_of(Case("busy", {}, ())), load=Load(2.7, 4, 2))
    report.add("busy", busy, 1.5, {})
    assert cells(report, row=-1)["ratio to the best peer (95 %)"].endswith("), machine busy")
    found = cells(report, 1, -1)
    assert found["verdict"] == "no verdict: machine busy: other work on 2.7 of 4 processors"
    assert found["target"] == "1.5: no verdict"
    count = len(report.races)
    assert f"Machine busy: in 1 of {count} races" in report.text()
    assert "from 0.5 on, as in 1, there is no verdict" in report.text()
    report.machine = replace(report.machine, load=2.7)
    assert "was busy with other work, on 2.7 of its 4 processors at most" in report.text()


def test_layers_have_the_bound_of_the_roofline():
    found = cells(report_of("layers"))
    # 2e7 operations take 0.222 ms at 90 GFLOP/s, 4e6 bytes 0.2 ms at 20 GB/s.
    assert found["bound ms"] == "0.222 c" and found["of bound"] == "22%"
    assert (found["kernel"], found["GFLOP/s"], found["its GFLOP/s"]) == (
        "cpu_tiled",
        "20.0",
        "10.0",
    )
    assert found["pass"] == "forward"


def test_speed_ups_and_exponents(monkeypatch):
    monkeypatch.setattr(_core, "usable_cpus", lambda: 2)
    report = report_of("threads")
    two = race_of(Case("two", {}, ()), convkit=0.0005, numpy=0.0019)
    report.cases[1]["race"] = two.as_dict()
    found = cells(report, row=1)
    assert (
        found["threads"] == "2" and found["speed-up"] == "2.00" and found["its speed-up"] == "1.05"
    )
    report = report_of("scaling")
    report.cases[1]["race"] = race_of(Case("x", {}, ()), convkit=0.004, numpy=0.032).as_dict()
    first, second = cells(report), cells(report, row=1)
    assert (first["value"], second["value"], first["exponent"]) == ("1", "16", "-")
    assert (second["exponent"], second["its exponent"]) == ("0.50", "1.00")
    assert second["us a sample"] == "1000.0"


def test_memory_compares_peaks():
    found = cells(report_of("memory"))
    assert found["peak MB"] == "90" and found["of the least of the others"] == "75%"
    assert found["allocations a step"] == "0"
    assert cells(report_of("memory"), row=1)["allocations a step"] == "-"


@pytest.mark.parametrize("name", RACING)
def test_plots_of_stored_json(name, tmp_path):
    pytest.importorskip("matplotlib")
    report = Report.from_dict(json.loads(json.dumps(report_of(name).as_dict())))
    report.plot(tmp_path / "a.svg")
    picture = (tmp_path / "a.svg").read_text()
    for case in report.cases:
        assert case["name"] in picture
    assert "2.00x numpy" in picture and SUITES[name].title in picture
    report.plot(tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == picture
    with pytest.raises(ValueError, match=r"\[memory\] there is no race to draw"):
        report_of("memory").plot(tmp_path / "c.png")


def test_a_record_of_another_format_is_refused():
    with pytest.raises(ValueError, match=r"no record of `convkit bench` in format 1: .* None"):
        Report.from_dict({"machine": {}})


# ---- runs


def test_a_record_has_the_name_of_a_wheel_and_not_its_place(tmp_path):
    options = Options(wheel=str(tmp_path / "a.whl"))
    assert Report.begin("memory", "Memory", "", options, []).options["wheel"] == "a.whl"


def test_a_suite_goes_on_after_a_case_that_fails_and_keeps_what_it_has(fake_suite, tmp_path):
    seen = []
    path = tmp_path / "a.json"

    def progress(report, case):
        seen.append((case, len(json.loads(path.read_text())["cases"])))

    report = run_suite("models", rounds=5, quick=True, json=path, progress=progress)
    assert seen == [("first", 1), ("second", 1), ("third, one thread", 2)]
    assert list(report.failed) == ["second"] and "nonsense" in report.failed["second"]
    first, third = report.races
    assert first.names == ("convkit", "slow") and "exit code 3" in first.left_out["dies"]
    assert (first.rounds, third.threads, report.cases[0]["target"]) == (5, 1, 2.0)
    assert first.verdict("slow").endswith("faster")
    assert report.machine.cpu == _core.cpu_name()
    assert min(report.seconds.values()) > 0
    assert Report.load(path).markdown() == report.markdown()
    only = select("models", Options(cases=("FIRST", "third"), peers=("slow",)))
    assert [case.name for case in only] == ["first", "third, one thread"]


def test_convkit_against_numpy():
    """A real race, which takes seconds."""
    before = set(sys.modules)
    report = run_suite(
        "small", cases="mlp 784-128-10, batch 8", peers="numpy", quick=True, rounds=5, threads=1
    )
    assert report.failed == {}
    (race,) = report.races
    assert race.names == ("convkit", "numpy") and not race.left_out
    assert race.disagreement < 1e-4
    assert race.facts["samples"] == 8 and race.facts["flops"] > 2e6
    assert 0 < race.share_of_peak("convkit") < 1
    assert report.machine.threads == 1
    assert "sklearn" not in set(sys.modules) - before


def test_a_wrong_numpy_would_be_refused():
    from convkit.bench.peers import convkit_models, numpy_mlp

    work = {"network": "mlp", "batch": 8, "options": {"sizes": [12, 9, 4]}, "optimizer": "adam"}
    ours = convkit_models.Steps({**work, "rate": 0.001}, 1).outputs()
    theirs = numpy_mlp.Steps({**work, "rate": 0.001}, 1).outputs()
    assert set(ours) == {"outputs", "losses", *(f"change of weight {i}" for i in range(4))}
    assert disagreement(ours, theirs, 1e-3)[1] == ""
    other = numpy_mlp.Steps({**work, "rate": 0.0011}, 1).outputs()
    assert "losses differs" in disagreement(ours, other, 1e-7)[1]
    # The losses hardly show it, the change of the weights does.
    _, wrong = disagreement(ours, {**other, "losses": ours["losses"]}, 1e-3)
    assert wrong.startswith("change of weight 0 differs by")
    with pytest.raises(ValueError, match="is an MLP with Adam"):
        numpy_mlp.Steps({"network": "lenet5", "batch": 8}, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_real_process():
    chosen = {"cases": "mlp 784-512-512-10", "peers": "numpy", "threads": 1, "quick": True}
    report = run_suite("memory", **chosen)
    assert report.failed == {} and "import" not in report.extra
    found = report.cases[0]["memory"]["contenders"]
    assert list(found) == ["convkit", "numpy"]
    for name, m in found.items():
        assert 20 < m["before_mb"] <= m["peak_mb"] < 2000, name
    # Weights, gradients and two moments of 669,706 parameters.
    assert found["convkit"]["peak_mb"] > 4 * 4 * 0.669
    with memory.allocation_counter() as library:
        if library is not None:
            assert found["numpy"]["allocations_per_step"] > 0


def test_importing_is_timed_in_fresh_interpreters(monkeypatch):
    from convkit.bench import footprint

    every = dict(footprint._STATEMENTS)
    assert list(every) == ["nothing", "numpy", "convkit", "convkit, a model built"]
    assert {base for _, base in every.values()} == {"", "nothing", "numpy"}
    monkeypatch.setattr(footprint, "_STATEMENTS", {n: every[n] for n in ("nothing", "numpy")})
    found = footprint.import_times(1)
    assert found["numpy"]["more_than"] == "nothing" and found["numpy"]["more_s"] > 0
    assert found["nothing"]["more_s"] == 0 < found["nothing"]["median_s"]


def test_times_have_digits_however_small():
    from convkit.bench.tables import milliseconds

    times = (2.5, 1.0, 0.123456, 0.00123456, 0.000123456, 4.56e-7, 3.2e-9)
    found = [milliseconds(t) for t in times]
    assert found == ["2500", "1000", "123.5", "1.235", "0.123", "0.000456", "0.00000320"]


def test_what_holds_blas_back_is_named(monkeypatch):
    for name in machine.BLAS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert machine.unset_variables() == []
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert machine.unset_variables() == ["OPENBLAS_CORETYPE=Haswell"]
